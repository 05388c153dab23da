//! A plan for a pull request's comment.

use super::human::{heading, touches, unreadable};
use super::{Content, Migration, Plan, texts::harmless};

/// Characters. GitHub takes 65,536 in a comment; a workflow may put a line of its own around it.
const MOST: usize = 60_000;
/// What is kept free for the note of what is left out.
const NOTE: usize = 300;
/// Of one diff, so that one rewritten schema does not push out all others.
const MOST_OF_ONE: usize = 15_000;

/// The findings of a root that cannot be planned, as they are printed elsewhere.
pub fn refused_markdown(findings: &str) -> String {
    format!("### analytica plan: the config root has errors\n\n{}", fenced("", findings))
}

impl Plan {
    /// At most about 60,000 characters: what matters most first, and a note of what was left out.
    pub fn markdown(&self) -> String {
        let mut comment = Comment { text: String::new(), left: MOST - NOTE, out: 0 };
        comment.push(&format!("### analytica plan for `{}`: {}\n\n", self.environment, self.summary()));
        if self.is_empty() {
            comment.push(&format!("{}\n", escaped(&self.unchanged())));
            return comment.text;
        }
        comment.push(&format!("{}\n\n", escaped(&self.title())));
        if let Some(why) = &self.unreadable {
            comment.push(&format!("**{}**\n\n", escaped(&unreadable(why))));
        }
        if !self.identity.is_empty() {
            comment.push("**Identity and order**\n\n");
            for notice in &self.identity {
                comment.push(&format!("- ⚠️ {}\n", escaped(&notice.message)));
            }
            comment.push("\n");
        }
        self.list(&mut comment);
        for migration in &self.migrations {
            comment.push(&tables(migration));
        }
        for change in &self.changes {
            if let Content::Diff { text, .. } = &change.content {
                comment.push(&details(&format!("{} <code>{}</code>", change.action.sign(), html(&change.path)), "diff", text));
            }
        }
        if comment.out > 0 {
            comment.text += &format!(
                "\n_{} more do not fit into a comment: `analytica plan --env {}` shows everything._\n",
                comment.out, self.environment
            );
        }
        comment.text
    }

    fn list(&self, comment: &mut Comment) {
        comment.push("| | file | |\n| --- | --- | --- |\n");
        for change in &self.changes {
            let mut notes: Vec<String> = touches(change).iter().map(|line| escaped(line)).collect();
            match &change.content {
                Content::Withheld(why) => notes.push((*why).to_owned()),
                content if content.is_layout() => notes.push("only comments or formatting".to_owned()),
                _ => {}
            }
            comment.push(&format!("| {} | <code>{}</code> | {} |\n", change.action.sign(), html(&change.path), notes.join("<br>")));
        }
        comment.push("\n");
    }
}

/// Blocks that are taken whole or counted as left out.
struct Comment {
    text: String,
    left: usize,
    out: usize,
}

impl Comment {
    fn push(&mut self, block: &str) {
        let size = block.chars().count();
        match size <= self.left {
            true => {
                self.text += block;
                self.left -= size;
            }
            false => self.out += 1,
        }
    }
}

fn tables(migration: &Migration) -> String {
    let sql = migration.statements.iter().map(|statement| format!("{statement};")).collect::<Vec<_>>().join("\n");
    let mut block = String::new();
    if !sql.is_empty() {
        block += &details(&html(&heading(migration)), "sql", &sql);
    }
    for todo in &migration.by_hand {
        block += &format!("- ⚠️ {}\n", escaped(todo));
    }
    block + "\n"
}

fn details(summary: &str, language: &str, text: &str) -> String {
    format!("<details><summary>{summary}</summary>\n\n{}\n</details>\n", fenced(language, text))
}

/// Never ended by what stands in it.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let shown: String = text.chars().take(MOST_OF_ONE).collect();
    let cut = if shown.len() < text.len() { "\n… cut here: the command in a terminal shows all of it" } else { "" };
    format!("{fence}{language}\n{}{cut}\n{fence}\n", shown.trim_end_matches('\n'))
}

fn html(text: &str) -> String {
    harmless(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('|', "&#124;")
}

/// Our own sentences, with names of others in them: backquotes stay code, nothing else is markup.
fn escaped(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '`' => {
                inside = !inside;
                out.push(c);
            }
            // escaped, it would still be a mention
            '@' if !inside => out.push_str("@<!-- -->"),
            '|' => out.push_str("\\|"),
            '*' | '_' | '<' | '>' | '[' | ']' | '\\' | '~' | '#' if !inside => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_no_markup() {
        assert_eq!(escaped("by <b>*ana*</b>: `a_b` @all"), "by \\<b\\>\\*ana\\*\\</b\\>: `a_b` @<!-- -->all");
        let block = details("s", "diff", "+```\n+</details>");
        assert!(block.contains("````diff\n+```\n+</details>\n````"), "{block}");
    }
}
