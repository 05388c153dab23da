//! Which schemas refer to which: what a change of one reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use url::Url;

use super::keywords::walk;
use super::references::uri;
use crate::config::{ConfigSet, Schema};

/// Of each schema's file that others refer to by `$ref`: the files of those, that refer to it directly or through others.
pub fn referring(set: &ConfigSet) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let direct = direct(set);
    let through = |file: &Arc<str>| {
        let (mut reached, mut ahead) = (BTreeSet::new(), vec![file]);
        while let Some(next) = ahead.pop() {
            ahead.extend(direct.get(next).into_iter().flatten().filter(|other| *other != file && reached.insert(Arc::clone(other))));
        }
        reached
    };
    direct.keys().map(|file| (file.clone(), through(file))).filter(|(_, reached)| !reached.is_empty()).collect()
}

fn direct(set: &ConfigSet) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let schemas = || set.events.values().flat_map(|event| event.versions.values());
    let mut by_address: BTreeMap<String, Arc<str>> = BTreeMap::new();
    for schema in schemas() {
        let addresses = [Some(uri(&schema.file)), base(schema).map(String::from)];
        by_address.extend(addresses.into_iter().flatten().map(|address| (address, schema.file.clone())));
    }
    let mut direct: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for schema in schemas() {
        for target in targets(schema).iter().filter_map(|address| by_address.get(address)) {
            direct.entry(target.clone()).or_default().insert(schema.file.clone());
        }
    }
    direct
}

/// The addresses that a schema's references lead to, without their fragments.
fn targets(schema: &Schema) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    let Some(base) = base(schema) else { return targets };
    walk(&schema.document, "", &mut |members, _| {
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(mut target) = members.get(keyword).and_then(Value::as_str).and_then(|reference| base.join(reference).ok()) {
                target.set_fragment(None);
                targets.insert(target.into());
            }
        }
    });
    targets
}

/// What its references are relative to. None for an `$id` that is no address: a finding of its own.
fn base(schema: &Schema) -> Option<Url> {
    let file = Url::parse(&uri(&schema.file)).ok()?;
    let mut base = match schema.document.get("$id").and_then(Value::as_str) {
        Some(id) => file.join(id).ok()?,
        None => file,
    };
    base.set_fragment(None);
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Files, load};

    #[test]
    fn references_are_followed_backwards() {
        let files: Files = [
            ("sources.yaml", "version: 1\nsources: { web: { topics: [e], envelope: segment } }\n"),
            ("schemas/money/1.json", r##"{"$defs": {"amount": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/amount"}}}"##),
            ("schemas/order/1.json", r##"{"$id": "https://x.test/order", "properties": {"total": {"$ref": "analytica:///schemas/money/1.json#/$defs/amount"}}}"##),
            ("schemas/parcel/1.json", r#"{"properties": {"order": {"$ref": "https://x.test/order"}}}"#),
            ("schemas/parcel/2.json", r#"{"properties": {"amount": {"$ref": "../money/1.json"}}}"#),
            ("schemas/other/1.json", r#"{"properties": {"$ref": {"const": "../money/1.json"}}}"#),
        ]
        .into_iter()
        .map(|(path, text)| (path, text.as_bytes().to_vec()))
        .collect();
        let loaded = load(&files, "dev");
        let referring = referring(loaded.draft());
        let of = |file: &str| referring.get(file).into_iter().flatten().map(|file| file.to_string()).collect::<Vec<_>>();
        assert_eq!(of("schemas/money/1.json"), ["schemas/order/1.json", "schemas/parcel/1.json", "schemas/parcel/2.json"]);
        assert_eq!(of("schemas/order/1.json"), ["schemas/parcel/1.json"]);
        assert!(of("schemas/parcel/1.json").is_empty());
    }
}
