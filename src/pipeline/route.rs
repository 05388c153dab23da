//! Routes compiled once a set, and the plan of each event name and version: what is to be done with such an event, found by one lookup.

use std::collections::HashMap;
use std::sync::Arc;

use globset::Glob;
use minijinja::Value;

use super::expression::{Available, Expression, compile};
use super::ids::DeliveryNames;
use super::json::write_string;
use super::schema::{Compiled, EventSchema};
use super::target::TargetPlan;
use super::template::{ROOTS, TemplateId, Templates, consumer_value};
use super::{RouteInfo, Target};
use crate::config::{Column, ColumnValue, ConfigSet, Consumer, ConsumerState, EventPattern, Findings, Located, Place, Render, Route};

/// One route, ready to render.
#[derive(Debug)]
pub(super) struct CompiledRoute {
    pub info: Arc<RouteInfo>,
    pub consumer: Value,
    pub when: Option<Expression>,
    pub each: Option<Expression>,
    /// The consumer's queue key.
    pub key: Option<Arc<Expression>>,
    pub rendering: Rendering,
    pub target: TargetPlan,
}

#[derive(Debug)]
pub(super) enum Rendering {
    Transform { template: TemplateId, at: Place },
    Columns(Vec<CompiledColumn>),
}

#[derive(Debug)]
pub(super) struct CompiledColumn {
    pub name: String,
    /// `"name":`, behind a comma where it is not the first.
    pub opening: Vec<u8>,
    pub value: CompiledValue,
    pub required: bool,
    pub at: Place,
}

#[derive(Debug)]
pub(super) enum CompiledValue {
    Expression(Expression),
    /// JSON.
    Constant(Vec<u8>),
}

/// What is done with one version of an event.
#[derive(Debug)]
pub(super) struct VersionPlan {
    pub version: u32,
    pub deprecated: bool,
    pub schema: EventSchema,
    pub routes: Vec<PlannedRoute>,
}

#[derive(Debug)]
pub(super) struct PlannedRoute {
    pub route: Arc<CompiledRoute>,
    pub names: DeliveryNames,
}

#[derive(Debug)]
pub(super) struct EventPlan {
    pub name: Arc<str>,
    pub default_version: u32,
    pub versions: Vec<VersionPlan>,
}

impl EventPlan {
    /// The plan for a version; without one, for the default.
    pub fn version(&self, version: Option<u32>) -> Option<&VersionPlan> {
        let wanted = version.unwrap_or(self.default_version);
        self.versions.iter().find(|plan| plan.version == wanted)
    }
}

/// Whether a pattern takes an event of this name and version. The glob must have compiled.
pub(super) struct Matcher {
    glob: globset::GlobMatcher,
    version: Option<u32>,
}

impl Matcher {
    /// None where the glob is none: `config` says so.
    pub fn new(pattern: &EventPattern) -> Option<Matcher> {
        let glob = Glob::new(&pattern.glob).ok()?.compile_matcher(); // `config` has made a finding of it
        Some(Matcher { glob, version: pattern.version })
    }

    pub fn takes(&self, name: &str, version: u32) -> bool {
        self.version.is_none_or(|wanted| wanted == version) && self.glob.is_match(name)
    }
}

/// What all routes of a set come to.
pub(super) struct Routes {
    pub infos: Vec<Arc<RouteInfo>>,
    pub plans: HashMap<Arc<str>, EventPlan>,
}

/// Compiles every route, draining consumers' too, and plans every event.
pub(super) fn plan(set: &ConfigSet, schemas: Compiled, templates: &mut Templates, findings: &mut Findings) -> Routes {
    let mut infos = Vec::new();
    let mut active: Vec<(Vec<Matcher>, Arc<CompiledRoute>)> = Vec::new();
    for consumer in set.consumers.values() {
        for (info, matchers, route) in compile_consumer(set, consumer, templates, findings) {
            infos.push(info);
            if let Some(route) = route
                && consumer.state == ConsumerState::Active
            {
                active.push((matchers, Arc::new(route)));
            }
        }
    }
    Routes { infos, plans: plans(set, schemas, &active) }
}

/// The routes of one consumer, each with what it takes; without a `CompiledRoute` where one has findings.
pub(super) fn compile_consumer(
    set: &ConfigSet,
    consumer: &Consumer,
    templates: &mut Templates,
    findings: &mut Findings,
) -> Vec<(Arc<RouteInfo>, Vec<Matcher>, Option<CompiledRoute>)> {
    let key = consumer.queue.key.as_ref().and_then(|key| compile(key, Available::Event, templates, findings)).map(Arc::new);
    let value = consumer_value(&consumer.name);
    let mut compiled = Vec::new();
    for route in &consumer.routes {
        let info = Arc::new(RouteInfo {
            consumer: consumer.name.clone(),
            route: route.name.clone(),
            sink: consumer.sink.kind(),
            partitions: consumer.queue.partitions,
            keep_event: consumer.keep_event(),
        });
        let matchers = route.events.iter().filter_map(|pattern| Matcher::new(&pattern.value)).collect();
        let ready = compile_route(set, consumer, route, info.clone(), value.clone(), key.clone(), templates, findings);
        compiled.push((info, matchers, ready));
    }
    compiled
}

#[allow(clippy::too_many_arguments)] // one place that brings all rooms' parts of a route together
fn compile_route(
    set: &ConfigSet,
    consumer: &Consumer,
    route: &Route,
    info: Arc<RouteInfo>,
    value: Value,
    key: Option<Arc<Expression>>,
    templates: &mut Templates,
    findings: &mut Findings,
) -> Option<CompiledRoute> {
    let before = findings.len();
    let available = if route.each.is_some() { Available::Element } else { Available::Event };
    let when = route.when.as_ref().and_then(|when| compile(when, available, templates, findings));
    let each = route.each.as_ref().and_then(|each| compile(each, Available::Event, templates, findings));
    let rendering = match &route.render {
        Render::Columns(columns) => {
            let compiled = columns
                .iter()
                .enumerate()
                .filter_map(|(n, (name, column))| compile_column(n, name, column, available, templates, findings));
            Some(Rendering::Columns(compiled.collect()))
        }
        Render::Transform(name) => transform(set, name, available, templates, findings),
    };
    let target = TargetPlan::compile(&route.target, available, templates, findings);
    let wrong = consumer.queue.key.is_some() && key.is_none();
    if wrong || findings.iter().skip(before).any(|f| f.severity == crate::config::Severity::Error) {
        return None;
    }
    Some(CompiledRoute { info, consumer: value, when, each, key, rendering: rendering?, target: target? })
}

/// The root names that a route's templates may use.
pub(super) fn roots(available: Available) -> Vec<&'static str> {
    ROOTS.into_iter().filter(|root| available == Available::Element || !matches!(*root, "item" | "index")).collect()
}

fn transform(
    set: &ConfigSet,
    name: &Located<String>,
    available: Available,
    templates: &Templates,
    findings: &mut Findings,
) -> Option<Rendering> {
    // One that is missing is `config`'s finding.
    set.transforms.get(name.value.as_str())?;
    findings.extend(templates.check(&name.value, &roots(available)));
    // Without one, what is wrong with it is among the findings already.
    templates.template(&name.value).map(|template| Rendering::Transform { template, at: name.at.clone() })
}

fn compile_column(
    position: usize,
    name: &str,
    column: &Column,
    available: Available,
    templates: &Templates,
    findings: &mut Findings,
) -> Option<CompiledColumn> {
    let value = match &column.value {
        ColumnValue::Expr(text) => CompiledValue::Expression(compile(text, available, templates, findings)?),
        ColumnValue::Const(value) => CompiledValue::Constant(value.to_string().into_bytes()),
    };
    let mut opening = if position == 0 { Vec::new() } else { vec![b','] };
    write_string(name, &mut opening);
    opening.push(b':');
    Some(CompiledColumn { name: name.to_owned(), opening, value, required: column.required, at: column.at.clone() })
}

fn plans(set: &ConfigSet, mut schemas: Compiled, active: &[(Vec<Matcher>, Arc<CompiledRoute>)]) -> HashMap<Arc<str>, EventPlan> {
    let mut plans = HashMap::new();
    for event in set.events.values() {
        let mut versions = Vec::new();
        for (version, document) in &event.versions {
            let Some(schema) = schemas.remove(&(event.name.clone(), *version)) else { continue };
            let taken = active.iter().filter(|(matchers, _)| matchers.iter().any(|matcher| matcher.takes(&event.name, *version)));
            let routes = taken.map(|(_, route)| PlannedRoute {
                route: route.clone(),
                names: DeliveryNames::new(&route.info.consumer, &route.info.route, &event.name),
            });
            versions.push(VersionPlan { version: *version, deprecated: document.deprecated.is_some(), schema, routes: routes.collect() });
        }
        plans.insert(event.name.clone(), EventPlan { name: event.name.clone(), default_version: event.default_version, versions });
    }
    plans
}

/// The target of a route that is the same for every event, as its header has it.
pub(super) fn target_json(target: &Target) -> Arc<str> {
    // Strings and numbers in structs: there is nothing in it that JSON cannot say.
    serde_json::to_string(target).unwrap_or_default().into()
}
