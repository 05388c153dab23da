//! A plan for a terminal.

use std::fmt::Write;

use super::{Action, Change, Content, Known, Migration, Plan, Touch, destination, origin, texts::harmless};

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const BOLD: &str = "1";
const DIM: &str = "2";

impl Plan {
    /// Ends with a line break.
    pub fn human(&self, colour: bool) -> String {
        let page = Page { text: String::new(), colour };
        page.plan(self)
    }

    /// From what to what.
    pub(super) fn title(&self) -> String {
        match &self.from {
            Some(from) => format!("{}: from {} to {}", self.environment, origin(from), destination(self)),
            None => format!("{}: nothing is published yet; the root is {}: {}", self.environment, destination(self), self.counts),
        }
    }

    /// Where nothing differs.
    pub(super) fn unchanged(&self) -> String {
        match &self.from {
            Some(from) => format!("{}: no changes: the root is what is published as {}", self.environment, origin(from)),
            None => format!("{}: nothing is published, and the root is empty", self.environment),
        }
    }
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn plan(mut self, plan: &Plan) -> String {
        if plan.is_empty() {
            self.line("", &plan.unchanged());
            return self.text;
        }
        self.line(BOLD, &plan.title());
        if let Some(why) = &plan.unreadable {
            self.line(YELLOW, &unreadable(why));
        }
        self.line("", "");
        plan.changes.iter().for_each(|change| self.change(change));
        self.identity(plan);
        self.migrations(plan);
        self.line("", "");
        self.line(BOLD, &plan.summary());
        self.text
    }

    fn line(&mut self, style: &str, text: &str) {
        self.styled(style, text);
        self.text.push('\n');
    }

    fn styled(&mut self, style: &str, text: &str) {
        // names, too, are others' text
        let text = harmless(text);
        let done = match self.colour && !style.is_empty() {
            true => write!(self.text, "\u{1b}[{style}m{text}\u{1b}[0m"),
            false => write!(self.text, "{text}"),
        };
        done.expect("writing to a String cannot fail");
    }

    fn change(&mut self, change: &Change) {
        let style = match change.action {
            Action::Add => GREEN,
            Action::Change => YELLOW,
            Action::Remove => RED,
        };
        self.styled(style, &format!("{} {}", change.action.sign(), change.path));
        if change.content.is_layout() {
            self.styled(DIM, "  only comments or formatting");
        }
        self.text.push('\n');
        match &change.content {
            Content::Whole => {}
            Content::Withheld(why) => self.line("", &format!("    {why}")),
            Content::Diff { text, .. } => text.lines().for_each(|line| self.diff_line(line)),
        }
        for line in touches(change) {
            self.line(CYAN, &format!("    {line}"));
        }
    }

    fn diff_line(&mut self, line: &str) {
        let style = match line.chars().next() {
            Some('+') => GREEN,
            Some('-') => RED,
            Some('@' | '\\') => DIM,
            _ => "",
        };
        self.line(style, format!("    {line}").trim_end());
    }

    fn identity(&mut self, plan: &Plan) {
        if !plan.identity.is_empty() {
            self.line("", "");
            self.line(BOLD, "identity and order");
        }
        for notice in &plan.identity {
            self.line(YELLOW, &format!("! {}", notice.message));
        }
    }

    fn migrations(&mut self, plan: &Plan) {
        for migration in &plan.migrations {
            self.line("", "");
            self.line(BOLD, &heading(migration));
            for statement in &migration.statements {
                format!("{statement};").lines().for_each(|line| self.line("", &format!("    {line}")));
            }
            for todo in &migration.by_hand {
                self.line(YELLOW, &format!("! {todo}"));
            }
        }
    }
}

pub(super) fn unreadable(why: &str) -> String {
    format!("only files are compared: this version cannot read what is published ({why})")
}

/// `tables of warehouse, which its workers make (SQLite, by the URL's default)`
pub(super) fn heading(migration: &Migration) -> String {
    let who = match (migration.by_worker, migration.statements.is_empty()) {
        (_, true) => ", which no worker changes",
        (true, false) => ", which its workers make",
        (false, false) => ": `migrate: none`, so make these yourself before you apply",
    };
    let known = match migration.known {
        Known::Written => "",
        Known::Default => ", by the URL's default",
        Known::Unknown => "; the URL is known to workers only",
    };
    format!("tables of {}{who} ({}{known})", migration.consumer, migration.dialect.name())
}

/// A line for each consumer that a change touches.
pub(super) fn touches(change: &Change) -> Vec<String> {
    let none = if change.action == Action::Remove { "touched no consumer" } else { "touches no consumer" };
    match &change.touches {
        None => Vec::new(),
        Some(touches) if touches.is_empty() => vec![none.to_owned()],
        Some(touches) => touches.iter().map(|touch| one(touch, change.action)).collect(),
    }
}

/// `touches engagement: journey-events, profile (through engagement/track.json.j2)`
fn one(touch: &Touch, action: Action) -> String {
    let list = |names: &std::collections::BTreeSet<std::sync::Arc<str>>| names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let mut line = format!("{} {}", if action == Action::Remove { "touched" } else { "touches" }, touch.consumer);
    if !touch.routes.is_empty() {
        line += &format!(": {}", list(&touch.routes));
    }
    if !touch.through.is_empty() {
        line += &format!(" (through {})", list(&touch.through));
    }
    line
}
