//! Whether a template can come to JSON at all. Walks the syntax tree with every state in which its text so far may leave a reader of JSON; where none is
//! left, whatever the event, no output is JSON. What a piece prints is taken for anything that it might be, and a piece that cannot be followed ends the look.

use std::collections::BTreeMap;

use minijinja::machinery::ast::{Call, CallType, EmitExpr, Expr, ForLoop, IfCond, Spanned, Stmt};

use super::super::source::File;
use super::names;
use crate::config::Finding;

/// More states than a template that people can read has; past it the look ends.
const MOST_STATES: usize = 64;
/// Turns of one loop before it is given up: one that goes on changing opens or closes something each time.
const MOST_TURNS: usize = 8;

/// Loops in each other: each is walked at least twice for every turn of the one around it.
const MOST_LOOPS: usize = 6;
/// Includes in each other; one that includes itself has a finding of its own.
const MOST_INCLUDES: usize = 20;

/// Where a reader of JSON is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    at: At,
    /// What is open, outermost first: the bracket, and the file and offset where it stands.
    open: Vec<(u8, usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A value must stand here; `first`: or the end of its list.
    Value {
        first: bool,
    },
    /// A name must stand here; `first`: or the end of its object.
    Name {
        first: bool,
    },
    Colon,
    /// After a value. A number may go on: `1` and a print that gives 2 are 12.
    After {
        number: bool,
    },
    /// In a string, which is a name or a value; `escaped`: after a backslash.
    Text {
        name: bool,
        escaped: bool,
    },
    /// In `true`, `false` or `null`.
    Word,
}

/// Why nothing after a place can be JSON.
struct Dead {
    file: usize,
    offset: usize,
    expected: &'static str,
}

/// The look at a piece ended: it may print anything.
struct Lost;

struct Shape<'c, 's> {
    files: &'s [File<'s>],
    by_name: &'c BTreeMap<&'s str, usize>,
    file: usize,
    states: Vec<State>,
    /// The first place where the last state ended; of branches, the last one that was walked.
    dead: Option<Dead>,
    /// Names of macros and imports seen so far: what they print may be anything.
    macros: Vec<&'s str>,
    includes: usize,
    loops: usize,
}

/// A finding where no output of this template can be JSON. An empty one may be.
pub(in super::super) fn never_json<'s>(files: &'s [File<'s>], by_name: &BTreeMap<&'s str, usize>, entry: usize) -> Option<Finding> {
    let start = State { at: At::Value { first: false }, open: Vec::new() };
    let mut shape = Shape { files, by_name, file: entry, states: vec![start], dead: None, macros: Vec::new(), includes: 0, loops: 0 };
    shape.template(entry).ok()?;
    let text = |file: usize| files[file].text;
    if shape.states.is_empty() {
        let Dead { file, offset, expected } = shape.dead?;
        let finding = Finding::error("never-json", text(file).place(offset), format!("this can never become JSON: {expected} here"));
        return Some(finding.hint("whatever the event, the payload would be refused: mend the text around this place"));
    }
    let ends = |state: &State| state.open.is_empty() && matches!(state.at, At::After { .. } | At::Word | At::Value { .. });
    if shape.states.iter().any(ends) {
        return None;
    }
    let state = shape.states.first()?;
    let (bracket, file, offset) = *state.open.last()?;
    let (open, close) = if bracket == b'{' { ("{", "}") } else { ("[", "]") };
    let finding =
        Finding::error("never-json", text(file).place(offset), format!("this can never become JSON: the `{open}` here is never closed"));
    Some(finding.hint(format!("close it with `{close}`")))
}

impl<'s> Shape<'_, 's> {
    fn template(&mut self, file: usize) -> Result<(), Lost> {
        let Some(Stmt::Template(tree)) = &self.files[file].tree else { return Err(Lost) };
        self.includes += 1;
        if self.includes > MOST_INCLUDES {
            return Err(Lost);
        }
        let around = std::mem::replace(&mut self.file, file);
        self.body(&tree.children)?;
        self.file = around;
        self.includes -= 1;
        Ok(())
    }

    fn body(&mut self, statements: &'s [Stmt<'s>]) -> Result<(), Lost> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &'s Stmt<'s>) -> Result<(), Lost> {
        match statement {
            Stmt::EmitRaw(raw) => {
                self.text(raw.raw, raw.span().start_offset as usize);
                Ok(())
            }
            Stmt::EmitExpr(emit) => self.print(emit),
            Stmt::IfCond(choice) => self.choice(choice),
            Stmt::ForLoop(each) => self.each(each),
            Stmt::WithBlock(with) => self.body(&with.body),
            Stmt::Include(include) => {
                let Expr::Const(name) = &include.name else { return Err(Lost) };
                let file = name.value.as_str().and_then(|name| self.by_name.get(name).copied()).ok_or(Lost)?;
                self.template(file)
            }
            Stmt::Macro(decl) => {
                self.macros.push(decl.name);
                Ok(())
            }
            Stmt::FromImport(import) => {
                for (name, alias) in &import.names {
                    if let Expr::Var(bound) = alias.as_ref().unwrap_or(name) {
                        self.macros.push(bound.id);
                    }
                }
                Ok(())
            }
            Stmt::Set(_) | Stmt::SetBlock(_) | Stmt::Import(_) | Stmt::Do(_) => Ok(()),
            // blocks are another template's to fill, and a loop that is left early has not printed its body
            _ => Err(Lost),
        }
    }

    fn print(&mut self, emit: &'s Spanned<EmitExpr<'s>>) -> Result<(), Lost> {
        if let Expr::Call(call) = &emit.expr
            && !self.is_value(call)
        {
            return Err(Lost);
        }
        let offset = emit.expr.span().start_offset as usize;
        self.step(offset, |state| match state.at {
            At::Value { .. } => Some(At::After { number: true }),
            At::Name { .. } => Some(At::Colon),
            At::After { number: true } => Some(state.at),
            At::Text { name, .. } => Some(At::Text { name, escaped: false }),
            At::Colon | At::After { number: false } | At::Word => None,
        });
        Ok(())
    }

    /// Whether a call that is printed alone gives a value, not a macro's text.
    fn is_value(&self, call: &Call<'s>) -> bool {
        match call.identify_call() {
            CallType::Function(name) => names::FUNCTIONS.contains(&name) && !self.macros.contains(&name),
            CallType::Method(of, _) => !matches!(of, Expr::Var(_)),
            _ => false,
        }
    }

    fn choice(&mut self, choice: &'s Spanned<IfCond<'s>>) -> Result<(), Lost> {
        let before = self.states.clone();
        self.body(&choice.true_body)?;
        let after_true = std::mem::replace(&mut self.states, before);
        self.body(&choice.false_body)?;
        let after_false = std::mem::replace(&mut self.states, after_true);
        self.join(after_false)
    }

    /// Any number of turns, and `else` where there is none.
    fn each(&mut self, each: &'s Spanned<ForLoop<'s>>) -> Result<(), Lost> {
        self.loops += 1;
        if self.loops > MOST_LOOPS {
            return Err(Lost);
        }
        let before = self.states.clone();
        let mut turns = Vec::new();
        for turn in 0.. {
            self.body(&each.body)?;
            let new: Vec<State> = self.states.iter().filter(|state| !turns.contains(*state)).cloned().collect();
            if new.is_empty() {
                break;
            }
            if turn == MOST_TURNS {
                return Err(Lost);
            }
            turns.extend(new.iter().cloned());
            self.states = new;
        }
        self.loops -= 1;
        self.states = before;
        self.body(&each.else_body)?;
        self.join(turns)
    }

    fn join(&mut self, others: Vec<State>) -> Result<(), Lost> {
        for state in others {
            if !self.states.contains(&state) {
                self.states.push(state);
            }
        }
        if self.states.len() > MOST_STATES { Err(Lost) } else { Ok(()) }
    }

    /// Takes every state one step on; those that `next` has none for end.
    fn step(&mut self, offset: usize, next: impl Fn(&State) -> Option<At>) {
        let Some(first) = self.states.first().cloned() else { return };
        let mut on: Vec<State> = Vec::new();
        for mut state in std::mem::take(&mut self.states) {
            let Some(at) = next(&state) else { continue };
            state.at = at;
            if !on.contains(&state) {
                on.push(state);
            }
        }
        if on.is_empty() {
            self.dead = Some(Dead { file: self.file, offset, expected: first.expected() });
        }
        self.states = on;
    }

    fn text(&mut self, text: &str, start: usize) {
        for (at, byte) in text.bytes().enumerate() {
            let (file, offset) = (self.file, start + at);
            match byte {
                b'{' | b'[' if !self.in_text() => {
                    let inside = if byte == b'{' { At::Name { first: true } } else { At::Value { first: true } };
                    self.step(offset, |state| matches!(state.at, At::Value { .. }).then_some(inside));
                    self.states.iter_mut().for_each(|state| state.open.push((byte, file, offset)));
                }
                b'}' | b']' if !self.in_text() => {
                    self.step(offset, |state| state.closes(byte).then_some(At::After { number: false }));
                    self.states.iter_mut().for_each(|state| state.open.truncate(state.open.len().saturating_sub(1)));
                }
                _ => self.step(offset, |state| state.after(byte)),
            }
        }
    }

    /// Whether a string is open: the check of the strings has made sure that it is in all states or in none.
    fn in_text(&self) -> bool {
        self.states.iter().any(|state| matches!(state.at, At::Text { .. }))
    }
}

impl State {
    fn inside(&self) -> Option<u8> {
        self.open.last().map(|(bracket, ..)| *bracket)
    }

    fn closes(&self, byte: u8) -> bool {
        let ready = match self.at {
            At::After { .. } | At::Word => true,
            At::Value { first } | At::Name { first } => first,
            _ => false,
        };
        ready && self.inside() == Some(if byte == b'}' { b'{' } else { b'[' })
    }

    /// Every byte but brackets outside strings.
    fn after(&self, byte: u8) -> Option<At> {
        if let At::Text { name, escaped } = self.at {
            return Some(match byte {
                b'"' if !escaped && name => At::Colon,
                b'"' if !escaped => At::After { number: false },
                _ => At::Text { name, escaped: byte == b'\\' && !escaped },
            });
        }
        let comma = match self.inside() {
            Some(b'{') => Some(At::Name { first: false }),
            Some(_) => Some(At::Value { first: false }),
            None => None,
        };
        match (self.at, byte) {
            // a number or a word ends here; which it was does not matter any more
            (At::After { .. } | At::Word, b' ' | b'\t' | b'\r' | b'\n') => Some(At::After { number: false }),
            (at, b' ' | b'\t' | b'\r' | b'\n') => Some(at),
            (At::Value { .. }, b'"') => Some(At::Text { name: false, escaped: false }),
            (At::Value { .. }, b'-' | b'0'..=b'9') => Some(At::After { number: true }),
            (At::Value { .. }, b't' | b'f' | b'n') => Some(At::Word),
            (At::Word, b'a'..=b'z') => Some(At::Word),
            (At::Name { .. }, b'"') => Some(At::Text { name: true, escaped: false }),
            (At::Colon, b':') => Some(At::Value { first: false }),
            (At::After { number: true }, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => Some(self.at),
            (At::After { .. } | At::Word, b',') => comma,
            _ => None,
        }
    }

    /// What the text should go on with, for people.
    fn expected(&self) -> &'static str {
        match (self.at, self.inside()) {
            (At::Value { first: true }, _) => "a value or `]` must stand",
            (At::Value { .. }, _) => "a value must stand",
            (At::Name { first: true }, _) => "a name in quotes or `}` must stand",
            (At::Name { .. }, _) => "a name in quotes must stand",
            (At::Colon, _) => "`:` must stand",
            (At::After { .. } | At::Word, Some(b'{')) => "`,` or `}` must stand",
            (At::After { .. } | At::Word, Some(_)) => "`,` or `]` must stand",
            (At::After { .. } | At::Word, None) => "the payload is complete, nothing more may stand",
            (At::Text { .. }, _) => "a string must end",
        }
    }
}
