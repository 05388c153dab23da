//! What is wrong with a schema document, placed where it is written. A schema that builds is only looked through for slips and broken examples; one
//! that does not is searched for the reason.

use serde_json::{Map, Value};
use url::Url;

use super::instance::TapeJson;
use super::keywords::{self, Keyword, escape};
use super::references::{self, SetResources};
use super::violation::{expectation, violation};
use super::{EventSchema, PatternOptions};
use crate::config::{ConfigSet, Finding, Findings, Place, Schema};
use crate::pipeline::json::Tape;

/// The types that a schema may ask for.
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// All schemas of a set by event name and version; those that do not build are only findings.
pub(in crate::pipeline) type Compiled = std::collections::BTreeMap<(std::sync::Arc<str>, u32), EventSchema>;

/// Compiles every schema of the set.
pub(in crate::pipeline) fn compile(set: &ConfigSet, findings: &mut Findings) -> Compiled {
    let resources = SetResources::new(set);
    let mut compiled = Compiled::new();
    for event in set.events.values() {
        for (version, schema) in &event.versions {
            if let Some(built) = compile_one(schema, &resources, findings) {
                compiled.insert((event.name.clone(), *version), built);
            }
        }
    }
    compiled
}

fn compile_one(schema: &Schema, resources: &SetResources, findings: &mut Findings) -> Option<EventSchema> {
    let mut check = Check { schema, resources, findings };
    check.keywords();
    match EventSchema::build(schema, resources) {
        Ok(built) => {
            check.examples(&built);
            Some(built)
        }
        Err(error) => {
            check.why(&error);
            None
        }
    }
}

struct Check<'a> {
    schema: &'a Schema,
    resources: &'a SetResources,
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// Where a pointer is written; failing that, where what holds it is.
    fn place(&self, pointer: &str) -> Place {
        let mut at = pointer;
        loop {
            if let Some(place) = self.schema.places.get(at) {
                return place.clone();
            }
            match at.rfind('/') {
                Some(end) => at = &at[..end],
                None => return Place::file(self.schema.file.clone()),
            }
        }
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn keywords(&mut self) {
        let mut found = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, pointer| {
            for keyword in members.keys() {
                match keywords::classify(keyword) {
                    Keyword::Known | Keyword::Annotation => {}
                    other => found.push((format!("{pointer}/{}", escape(keyword)), keyword.clone(), other)),
                }
            }
        });
        for (pointer, keyword, class) in found {
            let at = self.place(&pointer);
            let width = keyword.chars().count() + 2;
            let message = format!("`{keyword}` is not a keyword of JSON Schema");
            self.push(match class {
                Keyword::Misspelt(meant) => {
                    Finding::error("schema-keyword", at, message).hint(format!("did you mean `{meant}`?")).width(width)
                }
                _ => Finding::warning("schema-keyword", at, message).hint("an annotation of your own is written `x-…`").width(width),
            });
        }
    }

    /// Each `examples` against the schema that it stands in.
    fn examples(&mut self, root: &EventSchema) {
        let mut found: Vec<(String, &Value)> = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, pointer| {
            if let Some(Value::Array(examples)) = members.get("examples") {
                found.extend(examples.iter().enumerate().map(|(n, example)| (format!("{pointer}/examples/{n}"), example)));
            }
        });
        if found.is_empty() {
            return;
        }
        let inner = if found.iter().any(|(pointer, _)| !pointer.starts_with("/examples/")) { self.inner_schemas() } else { None };
        let mut tape = Tape::default();
        for (pointer, example) in found {
            let holder = pointer.rsplitn(3, '/').nth(2).unwrap_or_default();
            let validator = match holder {
                "" => Some(&root.validator),
                holder => inner.as_ref().and_then(|map| map.get(&format!("#{holder}"))),
            };
            let text = example.to_string();
            let (Some(validator), Ok(())) = (validator, tape.fill(&text)) else { continue };
            if let Some(error) = validator.iter_errors(tape.root(&text)).next() {
                let wrong = violation(&error);
                let subject = if wrong.path.is_empty() { String::new() } else { format!("{} ", wrong.path) };
                let number = pointer.rsplit('/').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0) + 1;
                let at = self.place(&pointer);
                self.push(Finding::error(
                    "schema-example",
                    at,
                    format!("example {number} breaks its own schema: {subject}{}", wrong.message),
                ));
            }
        }
    }

    fn inner_schemas(&self) -> Option<jsonschema::ValidatorMap<TapeJson>> {
        // The document built a moment ago, so its parts do as well; where one does not, its examples go unchecked.
        self.options().build_map(&self.schema.document).ok()
    }

    fn options(&self) -> jsonschema::ValidationOptions<'static, std::sync::Arc<dyn jsonschema::Retrieve>, TapeJson> {
        jsonschema::options_for::<TapeJson>()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .with_base_uri(references::uri(&self.schema.file))
            .with_retriever(self.resources.clone())
    }

    /// Why a schema does not build: every reason that can be placed, else what the library says.
    fn why(&mut self, error: &jsonschema::ValidationError<'_>) {
        let before = self.findings.len();
        self.draft();
        if self.findings.len() == before {
            self.types();
            self.meta();
        }
        self.patterns();
        self.references();
        if self.findings.len() == before {
            let at = self.place(error.instance_path().as_str());
            self.push(Finding::error("schema-invalid", at, format!("this schema cannot be used: {}", error.masked())));
        }
    }

    fn draft(&mut self) {
        let Some(Value::String(draft)) = self.schema.document.get("$schema") else { return };
        let known = ["draft-04/", "draft-06/", "draft-07/", "draft/2019-09/", "draft/2020-12/"];
        if !known.iter().any(|part| draft.contains("json-schema.org/") && draft.contains(part)) {
            let at = self.place("/$schema");
            self.push(
                Finding::error("schema-draft", at, format!("`{draft}` is not a draft of JSON Schema that can be used"))
                    .hint("use `https://json-schema.org/draft/2020-12/schema`, or leave it out"),
            );
        }
    }

    fn types(&mut self) {
        let mut found = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, pointer| {
            let written: Vec<(String, &str)> = match members.get("type") {
                Some(Value::String(name)) => vec![(format!("{pointer}/type"), name.as_str())],
                Some(Value::Array(names)) => {
                    names.iter().enumerate().filter_map(|(n, name)| Some((format!("{pointer}/type/{n}"), name.as_str()?))).collect()
                }
                _ => Vec::new(),
            };
            found.extend(written.into_iter().filter(|(_, name)| !TYPES.contains(name)).map(|(at, name)| (at, name.to_owned())));
        });
        for (pointer, name) in found {
            let at = self.place(&pointer);
            let finding = Finding::error("schema-type", at, format!("`{name}` is not a type of JSON"));
            self.push(match TYPES.into_iter().max_by_key(|t| (strsim::normalized_damerau_levenshtein(t, &name) * 1000.0) as u32) {
                Some(near) if strsim::normalized_damerau_levenshtein(near, &name) >= 0.5 => finding.hint(format!("did you mean `{near}`?")),
                _ => finding.hint(format!("one of {}", TYPES.join(", "))),
            });
        }
    }

    /// Against the metaschema of its draft.
    fn meta(&mut self) {
        // An unknown draft is found above; without one it is 2020-12's.
        let Ok(validator) = jsonschema::meta::validator_for(&self.schema.document) else { return };
        let wrong: Vec<(String, String)> = validator
            .iter_errors(&self.schema.document)
            .map(|error| (error.instance_path().as_str().to_owned(), expectation(error.kind())))
            .collect();
        for (pointer, message) in wrong {
            if pointer.ends_with("/type") || pointer.rsplit_once('/').is_some_and(|(parent, _)| parent.ends_with("/type")) {
                continue; // `types` has said it better
            }
            let at = self.place(&pointer);
            let name = pointer.rsplit('/').next().unwrap_or_default();
            let subject = if name.is_empty() { "the schema".to_owned() } else { format!("`{name}`") };
            self.push(Finding::error("schema-invalid", at, format!("{subject} {message}")));
        }
    }

    fn patterns(&mut self) {
        let mut found = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, pointer| {
            if let Some(Value::String(pattern)) = members.get("pattern") {
                found.push((format!("{pointer}/pattern"), pattern.clone()));
            }
            if let Some(Value::Object(patterns)) = members.get("patternProperties") {
                found.extend(patterns.keys().map(|p| (format!("{pointer}/patternProperties/{}", escape(p)), p.clone())));
            }
        });
        for (pointer, pattern) in found {
            let alone = serde_json::json!({ "pattern": pattern });
            if jsonschema::options().with_pattern_options(PatternOptions::regex()).build(&alone).is_ok() {
                continue;
            }
            let at = self.place(&pointer);
            let finding = Finding::error("schema-pattern", at, format!("the pattern `{pattern}` cannot be run in linear time"));
            let special = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| pattern.contains(look));
            self.push(if special {
                finding.hint("lookahead and lookbehind are not available: several `pattern`s under `allOf`, or `not`, say the same")
            } else {
                finding.hint("back references are not available; check the brackets and escapes")
            });
        }
    }

    fn references(&mut self) {
        let base = base_uri(self.schema);
        let mut found: Vec<(String, String)> = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, pointer| {
            for keyword in ["$ref", "$dynamicRef"] {
                if let Some(Value::String(reference)) = members.get(keyword) {
                    found.push((format!("{pointer}/{keyword}"), reference.clone()));
                }
            }
        });
        for (pointer, reference) in found {
            let Some((message, hint)) = self.reference(base.as_ref(), &reference) else { continue };
            let at = self.place(&pointer);
            self.push(Finding::error("schema-ref", at, message).hint(hint));
        }
    }

    /// What is wrong with one reference.
    fn reference(&self, base: Option<&Url>, reference: &str) -> Option<(String, &'static str)> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if address.is_empty() {
            self.schema.document.clone()
        } else {
            let resolved = match base.map_or_else(|| Url::parse(address), |base| base.join(address)) {
                Ok(resolved) => resolved,
                Err(_) => return Some((format!("`$ref: {reference}` is not an address"), "write a path relative to this file")),
            };
            if resolved.host_str() == Some("json-schema.org") {
                return None; // the library carries the metaschemas
            }
            match self.resources.get(resolved.as_str()) {
                Some(document) => document,
                None if matches!(resolved.scheme(), "http" | "https") => {
                    return Some((
                        format!("`$ref: {reference}` would be fetched over the network: it is not in the config set"),
                        "references stay inside the config set: copy that schema into `schemas/` and name it by a relative path",
                    ));
                }
                None => {
                    return Some((
                        format!("`$ref: {reference}` leads to {}, which is not in the config set", references::readable(resolved.as_str())),
                        "a path is relative to this file, such as `../kyc_submitted/1.json`",
                    ));
                }
            }
        };
        let missing = || Some((format!("`$ref: {reference}` leads to nothing"), "definitions stand under `$defs`: `#/$defs/name`"));
        match fragment {
            "" => None,
            pointer if pointer.starts_with('/') => {
                let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
                if document.pointer(&decoded).is_some() { None } else { missing() }
            }
            anchor => {
                let mut there = false;
                let named = |members: &Map<String, Value>| {
                    ["$anchor", "$dynamicAnchor"].iter().any(|k| members.get(*k).and_then(Value::as_str) == Some(anchor))
                        || members.get("$id").and_then(Value::as_str).and_then(|id| id.strip_prefix('#')) == Some(anchor)
                };
                keywords::walk(&document, "", &mut |members, _| there |= named(members));
                if there { None } else { missing() }
            }
        }
    }
}

/// What relative references are relative to.
fn base_uri(schema: &Schema) -> Option<Url> {
    let file = Url::parse(&references::uri(&schema.file)).ok()?; // our own addresses parse
    match schema.document.get("$id").and_then(Value::as_str) {
        Some(id) => file.join(id).ok(), // an `$id` that is no address is the metaschema's finding
        None => Some(file),
    }
}
