//! A published config set: which one, when, by whom, from what.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;

use super::StoreError;
use crate::config::{ConfigSet, Digest};

/// The layout of what is published that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Where a publication stands among all of its environment: epochs begin when a Redis that lost publications is taken up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision {
    pub epoch: u64,
    pub generation: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 | 1 => write!(f, "{}", self.generation),
            epoch => write!(f, "{epoch}.{}", self.generation),
        }
    }
}

impl std::str::FromStr for Revision {
    type Err = String;

    fn from_str(text: &str) -> Result<Revision, String> {
        let (epoch, generation) = text.split_once('.').unwrap_or(("1", text));
        match (epoch.parse(), generation.parse()) {
            (Ok(epoch), Ok(generation)) => Ok(Revision { epoch, generation }),
            _ => Err(format!("`{text}` is no revision: `history` lists them, such as 12")),
        }
    }
}

/// How a publication came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Apply,
    Rollback,
    /// The set that another environment runs.
    Promote,
}

const KINDS: [(&str, Kind); 3] = [("apply", Kind::Apply), ("rollback", Kind::Rollback), ("promote", Kind::Promote)];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("apply", |(name, _)| name)
    }
}

/// How many objects a set holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Versions of events.
    pub schemas: usize,
    pub transforms: usize,
    pub consumers: usize,
}

impl Counts {
    pub fn of(set: &ConfigSet) -> Counts {
        Counts {
            schemas: set.events.values().map(|event| event.versions.len()).sum(),
            transforms: set.transforms.len(),
            consumers: set.consumers.len(),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} schemas, {} transforms, {} consumers", self.schemas, self.transforms, self.consumers)
    }
}

/// What a publisher says of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub kind: Kind,
    pub by: String,
    pub message: Option<String>,
    /// The commit that the root was at.
    pub git_commit: Option<String>,
    /// The root held changes that were not committed.
    pub dirty: bool,
    /// A check was overruled with `--force`.
    pub forced: bool,
    pub counts: Counts,
}

/// One publication, as `current` and the log hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    pub revision: Revision,
    pub digest: Digest,
    /// By Redis' clock.
    pub at: Timestamp,
    pub label: Label,
}

impl Label {
    /// Fields of the two records, beside those that the publishing script writes itself (`Publication::parse` reads both).
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("format", FORMAT.to_string()),
            ("kind", self.kind.name().to_owned()),
            ("by", self.by.clone()),
            ("git_sha", self.git_commit.clone().unwrap_or_default()),
            ("schemas", self.counts.schemas.to_string()),
            ("transforms", self.counts.transforms.to_string()),
            ("consumers", self.counts.consumers.to_string()),
            ("dirty", u8::from(self.dirty).to_string()),
            ("forced", u8::from(self.forced).to_string()),
        ];
        fields.push(("message", self.message.clone().unwrap_or_default()));
        fields
    }
}

impl Publication {
    /// Reads a record; `place` names it in errors.
    pub(super) fn parse(record: &HashMap<String, String>, place: &str) -> Result<Publication, StoreError> {
        let corrupt = |why: String| StoreError::Corrupt { what: place.to_owned(), why };
        let field = |name: &str| record.get(name).map(String::as_str).ok_or_else(|| corrupt(format!("it has no `{name}`")));
        let number = |name: &str| -> Result<u64, StoreError> {
            let text = field(name)?;
            text.parse().map_err(|_| corrupt(format!("its `{name}` is no number")))
        };
        let format = number("format")?;
        if format > u64::from(FORMAT) {
            return Err(StoreError::Future { what: place.to_owned(), format });
        }
        let said = |name: &str| record.get(name).filter(|text| !text.is_empty()).cloned();
        let count = |name: &str| said(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let digest = field("digest")?;
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(corrupt("its `digest` is no SHA-256".to_owned()));
        }
        let at = i64::try_from(number("at")?).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        Ok(Publication {
            revision: Revision { epoch: number("epoch")?, generation: number("generation")? },
            digest: Digest(digest.into()),
            at: at.ok_or_else(|| corrupt("its `at` is no time".to_owned()))?,
            label: Label {
                kind: KINDS.iter().find(|(name, _)| said("kind").as_deref() == Some(name)).map_or(Kind::Apply, |(_, kind)| *kind),
                by: said("by").unwrap_or_default(),
                message: said("message"),
                git_commit: said("git_sha"),
                dirty: count("dirty") > 0,
                forced: count("forced") > 0,
                counts: Counts { schemas: count("schemas"), transforms: count("transforms"), consumers: count("consumers") },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_ordered_by_epoch_first() {
        let revision = |text: &str| text.parse::<Revision>().unwrap();
        assert!(revision("2.3") > revision("7"));
        assert_eq!((revision("7").to_string(), revision("2.3").to_string()), ("7".to_owned(), "2.3".to_owned()));
        assert!("seven".parse::<Revision>().is_err());
    }

    #[test]
    fn a_record_from_the_future_is_not_guessed_at() {
        let label = Label {
            kind: Kind::Rollback,
            by: "ana".to_owned(),
            message: None,
            git_commit: Some("a1".to_owned()),
            dirty: true,
            forced: false,
            counts: Counts { schemas: 1, transforms: 2, consumers: 3 },
        };
        let mut record: HashMap<String, String> = label.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in [("epoch", "1"), ("generation", "4"), ("at", "1767600000000"), ("digest", &"ab".repeat(32))] {
            record.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(Publication::parse(&record, "current").unwrap().label, label);
        record.insert("format".to_owned(), "2".to_owned());
        assert!(matches!(Publication::parse(&record, "current"), Err(StoreError::Future { format: 2, .. })));
        record.remove("format");
        assert!(matches!(Publication::parse(&record, "current"), Err(StoreError::Corrupt { .. })));
    }
}
