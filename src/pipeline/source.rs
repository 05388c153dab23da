//! Topic → source: exact names first, then patterns.

use std::collections::HashMap;
use std::sync::Arc;

use globset::{Glob, GlobMatcher};

use super::envelope::EnvelopeReader;
use crate::config::ConfigSet;

#[derive(Debug)]
pub(super) struct EventSource {
    pub name: Arc<str>,
    pub envelope: EnvelopeReader,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: Vec<EventSource>,
    exact: HashMap<String, usize>,
    patterns: Vec<(GlobMatcher, usize)>,
}

impl Sources {
    pub fn compile(set: &ConfigSet) -> Sources {
        let mut compiled = Sources::default();
        for source in &set.sources {
            let index = compiled.sources.len();
            compiled.sources.push(EventSource { name: source.name.clone(), envelope: EnvelopeReader::new(&source.envelope) });
            for topic in &source.topics {
                if !topic.value.contains(['*', '?', '[', '{']) {
                    compiled.exact.entry(topic.value.clone()).or_insert(index);
                    continue;
                }
                // One that is no pattern is `config`'s finding.
                if let Ok(glob) = Glob::new(&topic.value) {
                    compiled.patterns.push((glob.compile_matcher(), index));
                }
            }
        }
        compiled
    }

    pub fn get(&self, index: usize) -> &EventSource {
        &self.sources[index]
    }

    /// The index of the source that listens to a topic.
    pub fn find(&self, topic: &str) -> Option<usize> {
        self.exact
            .get(topic)
            .copied()
            .or_else(|| self.patterns.iter().find(|(pattern, _)| pattern.is_match(topic)).map(|(_, index)| *index))
    }
}
