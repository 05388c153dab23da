//! Variables in scalars that are not strings in the end (`max_records: "${BATCH:-100}"`): they are filled in before the value is read, and take the
//! field's type.

use super::findings::{Finding, Findings};
use super::node::{Kind, Node};
use super::text::Text;
use super::variables::Variables;

/// What is known when variables are filled in.
#[derive(Clone, Copy)]
pub(super) enum Fill<'v> {
    /// The defaults alone: any machine must be able to check a set. What has none is `Pending`.
    Defaults,
    /// This machine's variables: what is missing is a finding.
    Machine(&'v dyn Variables),
}

impl Fill<'_> {
    /// The value with every variable in it filled in.
    pub fn fill(self, node: &Node, findings: &mut Findings) -> Node {
        let kind = match &node.kind {
            Kind::Text(source) => self.scalar(node, source, findings),
            Kind::List(items) => Kind::List(items.iter().map(|item| self.fill(item, findings)).collect()),
            Kind::Map(map) => Kind::Map(map.iter().map(|(key, value)| (key.clone(), self.fill(value, findings))).collect()),
            kind => kind.clone(),
        };
        Node { at: node.at.clone(), width: node.width, kind }
    }

    fn scalar(self, node: &Node, source: &str, findings: &mut Findings) -> Kind {
        let text = match Text::new(source) {
            Ok(text) => text,
            Err(error) => {
                findings.push(bad_variable(node, &error.to_string()));
                return Kind::Pending;
            }
        };
        if text.has_secrets() {
            findings
                .push(node.error("misplaced-secret", "a secret has no place here").hint("secrets and files stand in a consumer's `sink`"));
            return Kind::Pending;
        }
        if !text.has_variables() {
            return Kind::Text(text.with_defaults().unwrap_or_default());
        }
        match self {
            Fill::Defaults => text.with_defaults().map_or(Kind::Pending, Kind::Filled),
            Fill::Machine(variables) => match text.resolve(variables) {
                Ok(value) => Kind::Filled(value.expose().to_owned()),
                Err(error) => {
                    findings.push(node.error("unset-variable", error.to_string()));
                    Kind::Pending
                }
            },
        }
    }
}

/// A finding about a variable that is written wrongly.
pub(super) fn bad_variable(node: &Node, message: &str) -> Finding {
    node.error("bad-variable", message).hint("write `$${` for a literal `${`")
}

/// A finding for each variable in a part of a definition that all workers must read alike.
pub(super) fn forbid_variables(node: &Node, what: &str, findings: &mut Findings) {
    node.each_text(&mut |node, source| {
        if Text::new(source).is_ok_and(|text| text.has_variables()) {
            findings.push(
                node.error("misplaced-variable", format!("a variable in {what}: all workers must read the same"))
                    .hint("what differs between environments stands in environments/<env>.yaml"),
            );
        }
    });
}
