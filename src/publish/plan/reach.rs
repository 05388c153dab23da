//! Whom a change touches: the consumers and routes behind a schema, a transform, a partial or an environment's file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Action, Change, Side};
use crate::config::{self, Entry, Files, Render};
use crate::pipeline::referring;

/// A consumer that a change touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    pub consumer: Arc<str>,
    /// None of them: its settings are touched, not its routes.
    pub routes: BTreeSet<Arc<str>>,
    /// The transforms that include what changed, or the schemas that refer to it.
    pub through: BTreeSet<Arc<str>>,
}

/// Says of each change whom it touches: what is removed by the old set, everything else by the new one.
pub(super) fn fill(changes: &mut [Change], old: Option<&Side>, new: &Side, before: &Files, after: &Files, environment: &str) {
    for change in changes.iter_mut().filter(|change| !change.content.is_layout()) {
        let side = if change.action == Action::Remove { old } else { Some(new) };
        change.touches = match Entry::of(&change.path) {
            Entry::Schema { .. } | Entry::Event { .. } | Entry::Transform { .. } => side.map(|side| side.touched(&change.path)),
            Entry::Environment { .. } => Some(overlaid(before, after, environment)),
            _ => None,
        };
    }
}

impl Side {
    fn touched(&self, path: &str) -> Vec<Touch> {
        let mut touches = Touches::default();
        match Entry::of(path) {
            Entry::Schema { .. } => {
                self.takers_of(path, None, &mut touches);
                for file in referring(&self.set, path) {
                    self.takers_of(&file, Some(&file), &mut touches);
                }
            }
            Entry::Event { .. } => {
                // `schemas/<event>/event.yaml`: all versions beside it
                let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
                let beside = |file: &str| file.rsplit_once('/').is_some_and(|(other, _)| other == folder);
                let schemas = self.set.events.values().flat_map(|event| event.versions.values());
                schemas.filter(|schema| beside(&schema.file)).for_each(|schema| self.takers_of(&schema.file, None, &mut touches));
            }
            Entry::Transform { name } => self.users_of(name, &mut touches),
            _ => {}
        }
        touches.0.into_values().collect()
    }

    /// The routes that take the event of this schema.
    fn takers_of(&self, file: &str, through: Option<&Arc<str>>, touches: &mut Touches) {
        for event in self.set.events.values() {
            for (version, _) in event.versions.iter().filter(|(_, schema)| *schema.file == *file) {
                for taker in self.pipeline.takers(&event.name, *version) {
                    touches.add(&taker.consumer, Some(&taker.route), through);
                }
            }
        }
    }

    /// The routes that render by this transform, or by one that it takes part in.
    fn users_of(&self, name: &str, touches: &mut Touches) {
        for consumer in self.set.consumers.values() {
            for route in &consumer.routes {
                let Render::Transform(transform) = &route.render else { continue };
                if transform.value == name {
                    touches.add(&consumer.name, Some(&route.name), None);
                } else if self.pipeline.parts(&transform.value).iter().any(|part| **part == *name) {
                    touches.add(&consumer.name, Some(&route.name), Some(&transform.value.as_str().into()));
                }
            }
        }
    }
}

/// The consumers that are others by the environment's file alone.
fn overlaid(before: &Files, after: &Files, environment: &str) -> Vec<Touch> {
    let is_overlay = |path: &str| matches!(Entry::of(path), Entry::Environment { name } if name == environment);
    let rest = after.iter().filter(|(path, _)| !is_overlay(path));
    let mixed: Files =
        rest.chain(before.iter().filter(|(path, _)| is_overlay(path))).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
    let (mixed, after) = (config::load(&mixed, environment), config::load(after, environment));
    let consumers = config::diff(mixed.draft(), after.draft()).consumers;
    let mut touches = Touches::default();
    for consumer in consumers.added.iter().chain(&consumers.changed).chain(&consumers.removed) {
        touches.add(consumer, None, None);
    }
    touches.0.into_values().collect()
}

/// By consumer.
#[derive(Default)]
struct Touches(BTreeMap<Arc<str>, Touch>);

impl Touches {
    fn add(&mut self, consumer: &Arc<str>, route: Option<&Arc<str>>, through: Option<&Arc<str>>) {
        let empty = || Touch { consumer: consumer.clone(), routes: BTreeSet::new(), through: BTreeSet::new() };
        let touch = self.0.entry(consumer.clone()).or_insert_with(empty);
        touch.routes.extend(route.cloned());
        touch.through.extend(through.cloned());
    }
}
