//! Files → config set. Pure: what the files say and nothing else decides what comes out, and one look finds everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumer::Known;
use super::environments::{self, Variant, Variants};
use super::files::{Entry, Files};
use super::findings::{Finding, Findings, Place};
use super::node::Node;
use super::set::{ConfigSet, Limits, Transform};
use super::{events, json, sources, yaml};

/// What one look at the files gave.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// There only where no finding is an error.
    pub set: Option<ConfigSet>,
    /// Everything, sorted.
    pub findings: Findings,
    draft: ConfigSet,
    variants: Variants,
}

impl Loaded {
    /// Every consumer as each environment has it, by name: only for looking further for findings.
    pub fn variants(&self) -> &BTreeMap<Arc<str>, Vec<Variant>> {
        &self.variants
    }

    /// What could be read, errors or not: only for looking further for findings, never for running.
    pub fn draft(&self) -> &ConfigSet {
        &self.draft
    }
}

/// Reads and checks the set of one environment. Every other environment is laid over the consumers too, to find what is wrong with it.
pub fn load(files: &Files, environment: &str) -> Loaded {
    let mut findings = Findings::default();
    files.report(&mut findings);
    let (sources, limits) = match ["sources.yaml", "sources.json"].iter().find_map(|path| Some((*path, files.get(path)?))) {
        Some((path, bytes)) => {
            document(&path.into(), bytes, &mut findings).map(|node| sources::decode(&node, &mut findings)).unwrap_or_default()
        }
        None => {
            findings.push(Finding::error("no-sources", Place::file("sources.yaml"), "sources.yaml is missing: nothing comes in"));
            (Vec::new(), Limits::default())
        }
    };
    let events = events::decode(files, &mut findings);
    let transforms = transforms(files, &mut findings);
    let known = Known { events: &events, transforms: &transforms };
    let (consumers, variants) = environments::consumers(files, environment, &known, &mut findings);

    let draft =
        ConfigSet { environment: environment.into(), digest: files.digest(environment), sources, limits, events, transforms, consumers };
    let set = (!findings.has_errors()).then(|| draft.clone());
    Loaded { set, findings: findings.sorted(), draft, variants }
}

/// Reads a YAML or JSON file, by its name's end.
pub(super) fn document(path: &Arc<str>, bytes: &[u8], findings: &mut Findings) -> Option<Node> {
    let source = utf8(path, bytes, findings)?;
    match path.ends_with(".json") {
        true => json::read(path, source, findings),
        false => yaml::read(path, source, findings),
    }
}

/// Whether two texts of a definition or schema hold the same values: comments, layout and the order of keys do not count. Never where one cannot be read.
pub fn say_the_same(path: &str, old: &[u8], new: &[u8]) -> bool {
    let path: Arc<str> = path.into();
    let values = |bytes| {
        let mut findings = Findings::default();
        let node = document(&path, bytes, &mut findings);
        node.filter(|_| findings.is_empty()).map(|node| node.to_json())
    };
    values(old).is_some_and(|old| values(new) == Some(old))
}

/// A file's text, without a byte order mark.
fn utf8<'a>(path: &Arc<str>, bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = &bytes[..error.valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = String::from_utf8_lossy(good.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()).chars().count() + 1;
            findings.push(Finding::error(
                "not-utf8",
                Place::new(path.clone(), line as u32, column as u32),
                "the file is not UTF-8 from here on",
            ));
            None
        }
    }
}

fn transforms(files: &Files, findings: &mut Findings) -> BTreeMap<Arc<str>, Transform> {
    let mut transforms = BTreeMap::new();
    for (path, bytes) in files.iter() {
        let Entry::Transform { name } = Entry::of(path) else { continue };
        let Some(source) = utf8(path, bytes, findings) else { continue };
        let name: Arc<str> = name.into();
        transforms.insert(name.clone(), Transform { name, file: path.clone(), source: source.into() });
    }
    transforms
}
