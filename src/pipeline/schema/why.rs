//! Why a schema does not build: drafts, types, patterns and references, each at its place; what none of them explains, from the metaschema.

use serde_json::{Map, Value};
use url::Url;

use super::PatternOptions;
use super::check::Check;
use super::keywords::{self, escape};
use super::references;
use super::violation::expectation;
use crate::config::{Finding, Schema};

/// The types that a schema may ask for.
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// What to do about what a metaschema refuses.
const BOOK: &str = "json-schema.org/understanding-json-schema says what each keyword takes";

impl Check<'_> {
    /// Why a schema does not build: every reason that can be placed; without one, what the library says.
    pub(super) fn why(&mut self, error: &jsonschema::ValidationError<'_>) -> Option<Finding> {
        let before = self.findings.len();
        self.draft();
        if self.findings.len() == before {
            self.types();
            self.meta();
        }
        self.patterns();
        self.references();
        (self.findings.len() == before).then(|| {
            let message = format!("this schema cannot be used: {}", error.masked());
            self.error("schema-invalid", error.instance_path().as_str(), message)
        })
    }

    fn draft(&mut self) {
        let Some(Value::String(draft)) = self.schema.document.get("$schema") else { return };
        let known = ["draft-04/", "draft-06/", "draft-07/", "draft/2019-09/", "draft/2020-12/"];
        if !known.iter().any(|part| draft.contains("json-schema.org/") && draft.contains(part)) {
            let finding = self.error("schema-draft", "/$schema", format!("`{draft}` is not a draft of JSON Schema that can be used"));
            self.findings.push(finding.hint("use `https://json-schema.org/draft/2020-12/schema`, or leave it out"));
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
            let finding = self.error("schema-type", &pointer, format!("`{name}` is not a type of JSON"));
            self.findings.push(
                match TYPES.into_iter().max_by_key(|t| (strsim::normalized_damerau_levenshtein(t, &name) * 1000.0) as u32) {
                    Some(near) if strsim::normalized_damerau_levenshtein(near, &name) >= 0.5 => {
                        finding.hint(format!("did you mean `{near}`?"))
                    }
                    _ => finding.hint(format!("one of {}", TYPES.join(", "))),
                },
            );
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
            let name = pointer.rsplit('/').next().unwrap_or_default();
            let subject = if name.is_empty() { "the schema".to_owned() } else { format!("`{name}`") };
            self.findings.push(self.error("schema-invalid", &pointer, format!("{subject} {message}")).hint(BOOK));
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
            let (message, hint) = match regex::Regex::new(&pattern) {
                _ if is_backtracking(&pattern) => (
                    format!("the pattern `{pattern}` cannot be run in linear time"),
                    "lookahead, lookbehind and back references are not available: several `pattern`s under `allOf`, or `not`, say much of it",
                ),
                Err(regex::Error::CompiledTooBig(_)) => {
                    (format!("the pattern `{pattern}` is too large"), "make its counted repetitions smaller, or use `maxLength`")
                }
                Err(error) => (
                    format!("the pattern `{pattern}` is not a regular expression: {}", reason(&error)),
                    "check its brackets and escapes; a literal one is written with a backslash",
                ),
                Ok(_) => (format!("the pattern `{pattern}` is not a regular expression of JSON Schema"), "write it as ECMA-262 does"),
            };
            // the name of a member of `patternProperties` is the pattern
            let finding = match pointer.ends_with("/pattern") {
                true => self.error("schema-pattern", &pointer, message),
                false => self.key_error("schema-pattern", &pointer, message),
            };
            self.findings.push(finding.hint(hint));
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
            self.findings.push(self.error("schema-ref", &pointer, message).hint(hint));
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
                None if self.resources.is_broken(resolved.as_str()) => return None,
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

/// Whether only an engine that goes back over its text could run it.
fn is_backtracking(pattern: &str) -> bool {
    let look = ["(?=", "(?!", "(?<=", "(?<!", "\\k<"].iter().any(|look| pattern.contains(look));
    let bytes = pattern.as_bytes();
    // an escaped backslash escapes nothing
    let mut at = 0;
    while !look && at + 1 < bytes.len() {
        match bytes[at] {
            b'\\' if matches!(bytes[at + 1], b'1'..=b'9') => return true,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    look
}

/// The last line of what the regex crate draws: the reason without the picture.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
