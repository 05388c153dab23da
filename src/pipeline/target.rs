//! Where a route's payloads go: made once a set where nothing in it depends on the event, for each delivery where something does.

use std::sync::Arc;

use super::expression::{Available, Expression, Failure, compile};
use super::route::{roots, target_json};
use super::template::{Context, Inline, Templates};
use super::view::View;
use super::{RequestTarget, Target, TopicTarget};
use crate::config::{self, BodyForm, Findings, Located, Method, Place, Request};

#[derive(Debug)]
pub(super) enum TargetPlan {
    Static(Arc<str>),
    Request(Box<RequestPlan>),
    Topic { name: String, key: Expression },
}

#[derive(Debug)]
pub(super) struct RequestPlan {
    method: Method,
    body: BodyForm,
    path: (Inline, Place),
    query: Vec<(String, Inline)>,
    headers: Vec<(String, Inline)>,
}

impl TargetPlan {
    /// None where it has findings.
    pub fn compile(
        target: &config::Target,
        available: Available,
        templates: &mut Templates,
        findings: &mut Findings,
    ) -> Option<TargetPlan> {
        let same = |target: Target| Some(TargetPlan::Static(target_json(&target)));
        match target {
            config::Target::Table(table) => same(Target::Table(table.clone())),
            config::Target::Path(path) => same(Target::Path(path.value.clone())),
            config::Target::Queue => same(Target::Queue),
            config::Target::Topic(topic) => match &topic.key {
                None => same(Target::Topic(TopicTarget { name: topic.name.value.clone(), key: None })),
                Some(key) => {
                    let key = compile(key, available, templates, findings)?;
                    Some(TargetPlan::Topic { name: topic.name.value.clone(), key })
                }
            },
            config::Target::Request(request) => RequestPlan::compile(request, available, templates, findings),
        }
    }

    /// The target of one delivery as JSON.
    pub fn render(&self, view: &View<'_>) -> Result<Arc<str>, Failure> {
        match self {
            TargetPlan::Static(json) => Ok(json.clone()),
            TargetPlan::Request(request) => request.render(view).map(|request| target_json(&Target::Request(request))),
            TargetPlan::Topic { name, key } => {
                let found = key.evaluate(view)?;
                let text = found.text(view.event());
                if text.is_none() && !found.is_null() {
                    return Err(Failure { at: key.at().clone(), message: format!("{} cannot be a record's key", found.type_name()) });
                }
                Ok(target_json(&Target::Topic(TopicTarget { name: name.clone(), key: text.map(std::borrow::Cow::into_owned) })))
            }
        }
    }
}

fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

impl RequestPlan {
    fn compile(request: &Request, available: Available, templates: &mut Templates, findings: &mut Findings) -> Option<TargetPlan> {
        let texts = || std::iter::once(&request.path).chain(request.query.values()).chain(request.headers.values());
        if !texts().any(|text| is_template(&text.value)) {
            let query = request.query.iter().map(|(name, text)| (name.as_str(), text.value.as_str()));
            let headers = request.headers.iter().map(|(name, text)| (name.clone(), text.value.clone())).collect();
            let path = with_query(request.path.value.clone(), query);
            let target = RequestTarget { method: request.method, path, headers, body: request.body };
            return Some(TargetPlan::Static(target_json(&Target::Request(target))));
        }
        let roots = roots(available);
        let mut inline = |context: Context, text: &Located<String>| match templates.compile_inline(context, text, &roots) {
            Ok(inline) => Some(inline),
            Err(more) => {
                findings.extend(more);
                None
            }
        };
        let path = inline(Context::Path, &request.path);
        let query: Vec<_> = request.query.iter().map(|(name, text)| (name, inline(Context::Query, text))).collect();
        let headers: Vec<_> = request.headers.iter().map(|(name, text)| (name, inline(Context::Header, text))).collect();
        let all = |named: Vec<(&String, Option<Inline>)>| {
            named.into_iter().map(|(name, text)| Some((name.clone(), text?))).collect::<Option<Vec<_>>>()
        };
        Some(TargetPlan::Request(Box::new(RequestPlan {
            method: request.method,
            body: request.body,
            path: (path?, request.path.at.clone()),
            query: all(query)?,
            headers: all(headers)?,
        })))
    }

    fn render(&self, view: &View<'_>) -> Result<RequestTarget, Failure> {
        let text = |inline: &Inline| -> Result<String, Failure> {
            let mut text = String::new();
            view.templates.render_inline(inline, view.scope(), &mut text).map_err(|e| Failure { at: e.at, message: e.message })?;
            Ok(text)
        };
        let (path, at) = &self.path;
        let path = text(path)?;
        if !path.starts_with('/') {
            return Err(Failure { at: at.clone(), message: "a request path starts with `/`".to_owned() });
        }
        let mut query = Vec::with_capacity(self.query.len());
        for (name, inline) in &self.query {
            query.push((name.as_str(), text(inline)?));
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, inline) in &self.headers {
            headers.push((name.clone(), text(inline)?));
        }
        let path = with_query(path, query.iter().map(|(name, value)| (*name, value.as_str())));
        Ok(RequestTarget { method: self.method, path, headers, body: self.body })
    }
}

/// Values are percent-encoded where they were rendered; names are the definition's.
fn with_query<'a>(mut path: String, query: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    for (name, value) in query {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(name);
        path.push('=');
        path.push_str(value);
    }
    path
}
