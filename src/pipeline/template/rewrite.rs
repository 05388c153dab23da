//! From the check's edits to the text that the engine compiles, and from its offsets back to the text that people wrote.

use std::collections::{BTreeMap, HashMap};

/// What a file's prints go into; one file may be compiled once for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Mode {
    /// JSON, outside a string.
    Json,
    /// The inside of a JSON string.
    InString,
    /// Text that a block or a macro captures, to be printed later.
    Text,
    Path,
    Query,
    Header,
}

impl Mode {
    /// What is put behind a template's name where it is compiled for this; no file's name holds a `#`.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Mode::InString => "#string",
            Mode::Text => "#text",
            Mode::Json | Mode::Path | Mode::Query | Mode::Header => "",
        }
    }
}

/// Insertions by offset.
pub(super) type Edits = BTreeMap<usize, String>;

/// The edits of one file: those of its macros hold in every mode that it is compiled for.
#[derive(Debug, Default)]
pub(super) struct FileEdits {
    pub(super) macros: Edits,
    pub(super) by_mode: HashMap<Mode, Edits>,
}

/// A text for the engine, and its insertions: where each ends in it, and how long it is.
pub(super) struct Rewritten {
    pub(super) text: String,
    pub(super) map: Map,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Map(Vec<(usize, usize)>);

impl Map {
    /// The offset in the text as it was written; a place in an insertion is where it was inserted.
    pub(super) fn original(&self, offset: usize) -> usize {
        let mut inserted = 0;
        for (end, length) in &self.0 {
            if *end > offset {
                // inside this insertion, or before it
                return (offset - inserted).min(end - length - inserted);
            }
            inserted += length;
        }
        offset - inserted
    }
}

impl FileEdits {
    pub(super) fn rewrite(&self, source: &str, mode: Mode) -> Rewritten {
        let mut all: BTreeMap<usize, &str> = self.macros.iter().map(|(at, text)| (*at, text.as_str())).collect();
        all.extend(self.by_mode.get(&mode).into_iter().flatten().map(|(at, text)| (*at, text.as_str())));
        let mut text = String::with_capacity(source.len() + 16 * all.len());
        let (mut map, mut from) = (Map::default(), 0);
        for (at, insertion) in all {
            text.push_str(&source[from..at]);
            text.push_str(insertion);
            map.0.push((text.len(), insertion.len()));
            from = at;
        }
        text.push_str(&source[from..]);
        Rewritten { text, map }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back_to_the_text_as_it_was_written() {
        let mut edits = FileEdits::default();
        edits.macros.insert(2, "(".into());
        edits.by_mode.insert(Mode::InString, Edits::from([(5, ")|__string".into())]));
        let rewritten = edits.rewrite("{{ a }}", Mode::InString);
        assert_eq!(rewritten.text, "{{( a )|__string}}");
        let back = |part: &str| rewritten.map.original(rewritten.text.find(part).expect("part"));
        assert_eq!((back("{{"), back("a"), back("__string"), back("}}")), (0, 3, 5, 5));
    }
}
