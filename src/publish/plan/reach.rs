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
    let (was, is) = (old.map(Reach::of), Reach::of(new));
    for change in changes.iter_mut().filter(|change| !change.content.is_layout()) {
        let reach = if change.action == Action::Remove { was.as_ref() } else { Some(&is) };
        change.touches = match Entry::of(&change.path) {
            Entry::Schema { .. } | Entry::Event { .. } | Entry::Transform { .. } => reach.map(|reach| reach.touched(&change.path)),
            Entry::Environment { .. } => Some(overlaid(before, after, environment)),
            _ => None,
        };
    }
}

/// What leads from a file to the routes behind it, for one set.
struct Reach<'a> {
    side: &'a Side,
    /// Schema's file → event and version.
    versions: BTreeMap<&'a str, (&'a str, u32)>,
    /// Schema's file → the files that refer to it.
    referring: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Transform or partial → the routes that render by it, and through which transform where that is another.
    users: BTreeMap<&'a str, Vec<User<'a>>>,
}

struct User<'a> {
    consumer: &'a Arc<str>,
    route: &'a Arc<str>,
    through: Option<Arc<str>>,
}

impl<'a> Reach<'a> {
    fn of(side: &'a Side) -> Reach<'a> {
        let mut versions = BTreeMap::new();
        for event in side.set.events.values() {
            versions.extend(event.versions.iter().map(|(version, schema)| (&*schema.file, (&*event.name, *version))));
        }
        let mut users: BTreeMap<&str, Vec<User<'_>>> = BTreeMap::new();
        for consumer in side.set.consumers.values() {
            for route in &consumer.routes {
                let Render::Transform(transform) = &route.render else { continue };
                let user = |through| User { consumer: &consumer.name, route: &route.name, through };
                users.entry(&transform.value).or_default().push(user(None));
                for part in side.pipeline.parts(&transform.value) {
                    users.entry(part).or_default().push(user(Some(transform.value.as_str().into())));
                }
            }
        }
        Reach { side, versions, referring: referring(&side.set), users }
    }

    fn touched(&self, path: &str) -> Vec<Touch> {
        let mut touches = Touches::default();
        match Entry::of(path) {
            Entry::Schema { .. } => {
                self.takers(path, None, &mut touches);
                for file in self.referring.get(path).into_iter().flatten() {
                    self.takers(file, Some(file), &mut touches);
                }
            }
            Entry::Event { folder } => {
                let beside = format!("schemas/{folder}/");
                let files = self.versions.keys().filter(|file| file.starts_with(&beside));
                files.for_each(|file| self.takers(file, None, &mut touches));
            }
            Entry::Transform { name } => {
                for user in self.users.get(name).into_iter().flatten() {
                    touches.add(user.consumer, Some(user.route), user.through.as_ref());
                }
            }
            _ => {}
        }
        touches.0.into_values().collect()
    }

    /// The routes that take the event of this schema.
    fn takers(&self, file: &str, through: Option<&Arc<str>>, touches: &mut Touches) {
        let Some((event, version)) = self.versions.get(file) else { return };
        for taker in self.side.pipeline.takers(event, *version) {
            touches.add(&taker.consumer, Some(&taker.route), through);
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
