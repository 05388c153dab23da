//! `$ref` inside the config set: each schema has an address of its own made of its path, and nothing is looked up anywhere else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jsonschema::{Retrieve, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use crate::config::ConfigSet;

/// A scheme that no client fetches: an address under it is a path in the config root.
const ROOT: &str = "analytica:///";

/// The address of a file of the set.
pub(super) fn uri(file: &str) -> String {
    const SET: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}')
        .add(b'\\');
    format!("{ROOT}{}", utf8_percent_encode(file, SET))
}

/// The file that an address stands for, as it is written in a message.
pub(super) fn readable(address: &str) -> &str {
    address.strip_prefix(ROOT).unwrap_or(address)
}

/// All schemas of the set by path and, where they have one, by `$id`.
#[derive(Debug, Clone)]
pub(super) struct SetResources {
    documents: Arc<HashMap<String, Arc<Value>>>,
    /// Addresses of files that are there and cannot be read.
    broken: Arc<HashSet<String>>,
}

impl SetResources {
    pub fn new(set: &ConfigSet) -> SetResources {
        let mut documents = HashMap::new();
        for schema in set.events.values().flat_map(|event| event.versions.values()) {
            if let Some(id) = schema.document.get("$id").and_then(Value::as_str) {
                documents.insert(without_fragment(id).to_owned(), Arc::clone(&schema.document));
            }
            documents.insert(uri(&schema.file), Arc::clone(&schema.document));
        }
        let broken = set.events.values().flat_map(|event| event.broken.values()).map(|file| uri(file)).collect();
        SetResources { documents: Arc::new(documents), broken: Arc::new(broken) }
    }

    /// Whether a file at an address has findings in place of a document.
    pub fn is_broken(&self, address: &str) -> bool {
        self.broken.contains(without_fragment(address))
    }

    /// The document at an address, its fragment aside.
    pub fn get(&self, address: &str) -> Option<Arc<Value>> {
        self.documents.get(without_fragment(address)).map(Arc::clone)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it is not in the config set")]
struct NotInTheSet;

impl Retrieve for SetResources {
    fn retrieve(&self, address: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        self.get(address.as_str()).map(|document| Value::clone(&document)).ok_or_else(|| NotInTheSet.into())
    }
}

fn without_fragment(address: &str) -> &str {
    address.split_once('#').map_or(address, |(address, _)| address)
}
