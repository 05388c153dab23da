//! What is wrong with a schema document, placed where it is written. A schema that builds is only looked through for slips and for examples that
//! break it; one that does not is searched for the reason.

use serde_json::{Value, json};

use super::instance::TapeJson;
use super::keywords::{self, Keyword, escape};
use super::references::{self, SetResources};
use super::violation::violation;
use super::{EventSchema, PatternOptions};
use crate::config::{ConfigSet, Finding, Findings, Place, Schema, Spot, closest, listed};
use crate::pipeline::json::Tape;

/// All schemas of a set by event name and version; those that do not build are only findings.
pub(in crate::pipeline) type Compiled = std::collections::BTreeMap<(std::sync::Arc<str>, u32), EventSchema>;

/// Formats that are checked, some of them not in the oldest drafts.
const FORMATS: [&str; 19] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
    "uuid",
];

/// Compiles every schema of the set.
pub(in crate::pipeline) fn compile(set: &ConfigSet, findings: &mut Findings) -> Compiled {
    let resources = SetResources::new(set);
    let mut compiled = Compiled::new();
    let (mut own, mut unexplained) = (Findings::default(), Findings::default());
    for event in set.events.values() {
        for (version, schema) in &event.versions {
            let mut check = Check { schema, resources: &resources, findings: &mut own };
            check.keywords();
            check.formats();
            match EventSchema::build(schema, &resources) {
                Ok(built) => {
                    check.examples(&built);
                    compiled.insert((event.name.clone(), *version), built);
                }
                Err(error) => {
                    if let Some(finding) = check.why(&error) {
                        unexplained.push(finding);
                    }
                }
            }
        }
    }
    // What fails for no reason of its own refers to what does: one mistake, one finding.
    let explained = own.has_errors() || set.events.values().any(|event| !event.broken.is_empty());
    findings.extend(own);
    if !explained {
        findings.extend(unexplained);
    }
    compiled
}

pub(super) struct Check<'a> {
    pub(super) schema: &'a Schema,
    pub(super) resources: &'a SetResources,
    pub(super) findings: &'a mut Findings,
}

impl Check<'_> {
    /// Where a pointer is written; failing that, where what holds it is.
    fn spot(&self, pointer: &str) -> Option<&Spot> {
        let mut at = pointer;
        loop {
            match (self.schema.places.get(at), at.rfind('/')) {
                (Some(spot), _) => return Some(spot),
                (None, Some(end)) => at = &at[..end],
                (None, None) => return None,
            }
        }
    }

    /// A finding about the value at a pointer.
    pub(super) fn error(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Finding {
        match self.spot(pointer) {
            Some(spot) => Finding::error(code, spot.value.clone(), message).width(spot.width as usize),
            None => Finding::error(code, Place::file(self.schema.file.clone()), message),
        }
    }

    /// A finding about the name of the member at a pointer.
    pub(super) fn key_error(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Finding {
        match self.spot(pointer).and_then(|spot| spot.key.clone()) {
            Some((key, width)) => Finding::error(code, key, message).width(width as usize),
            None => self.error(code, pointer, message),
        }
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
            let finding = self.key_error("schema-keyword", &pointer, format!("`{keyword}` is not a keyword of JSON Schema"));
            self.findings.push(match class {
                Keyword::Misspelt(meant) => finding.hint(format!("did you mean `{meant}`?")),
                _ => finding.as_warning().hint("an annotation of your own is written `x-…`"),
            });
        }
    }

    /// A format that nobody knows is never checked.
    fn formats(&mut self) {
        let mut found: Vec<(String, &str)> = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, pointer| {
            if let Some(Value::String(format)) = members.get("format") {
                found.push((format!("{pointer}/format"), format));
            }
        });
        found.retain(|(_, format)| !self.is_checked(format));
        for (pointer, format) in found {
            let finding = self.error("schema-format", &pointer, format!("the format `{format}` is not checked: any value passes"));
            self.findings.push(finding.as_warning().hint(match closest(format, FORMATS) {
                Some(same) if same == format => {
                    format!("this draft of JSON Schema does not know `{same}`: 2020-12 does, which is what a schema without `$schema` is")
                }
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the formats are {}; `pattern` checks any other", listed(FORMATS)),
            }));
        }
    }

    fn is_checked(&self, format: &str) -> bool {
        let Some(draft) = self.schema.document.get("$schema") else { return FORMATS.contains(&format) };
        let alone = json!({ "$schema": draft, "format": format });
        let built = jsonschema::options().should_validate_formats(true).should_ignore_unknown_formats(false).build(&alone);
        // a draft that is none has a finding of its own
        built.is_ok() || jsonschema::options().build(&json!({ "$schema": draft })).is_err()
    }

    /// Each of `examples`, and each `default`, against the schema that it stands in.
    fn examples(&mut self, root: &EventSchema) {
        let mut found: Vec<Sample<'_>> = Vec::new();
        keywords::walk(&self.schema.document, "", &mut |members, holder| {
            let sample = |end: String, value| Sample { holder: holder.to_owned(), pointer: format!("{holder}/{end}"), value };
            found.extend(members.get("default").map(|value| sample("default".to_owned(), value)));
            if let Some(Value::Array(examples)) = members.get("examples") {
                found.extend(examples.iter().enumerate().map(|(n, value)| sample(format!("examples/{n}"), value)));
            }
        });
        let inner = if found.iter().any(|sample| !sample.holder.is_empty()) { self.inner_schemas() } else { None };
        let mut tape = Tape::default();
        for Sample { holder, pointer, value } in found {
            let validator = match holder.as_str() {
                "" => Some(&root.validator),
                holder => inner.as_ref().and_then(|map| map.get(&format!("#{holder}"))),
            };
            let text = value.to_string();
            let (Some(validator), Ok(())) = (validator, tape.fill(&text)) else { continue };
            let Some(error) = validator.iter_errors(tape.root(&text)).next() else { continue };
            let wrong = violation(&error);
            let subject = if wrong.path.is_empty() { String::new() } else { format!("{} ", wrong.path) };
            self.findings.push(match pointer.rsplit('/').next().and_then(|n| n.parse::<usize>().ok()) {
                Some(n) => {
                    let message = format!("example {} breaks its own schema: {subject}{}", n + 1, wrong.message);
                    self.error("schema-example", &pointer, message).hint("mend the example, or the schema that refuses it")
                }
                None => {
                    let message = format!("the default breaks its own schema: {subject}{}", wrong.message);
                    self.error("schema-default", &pointer, message).as_warning().hint("mend the default, or the schema that refuses it")
                }
            });
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
}

/// A value that a schema gives of itself.
struct Sample<'a> {
    /// The pointer of the schema it stands in.
    holder: String,
    pointer: String,
    value: &'a Value,
}
