//! What expressions, templates and targets see of one record and one delivery. What is costly is made when first asked for.

use std::cell::OnceCell;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::Value;
use uuid::Uuid;

use super::envelope::Header;
use super::event::Event;
use super::expression::Found;
use super::template::{Meta, Parts, Scope, Templates};
use super::{Origin, Record};

/// What is known of a record while its routes run.
pub(super) struct Seen<'a> {
    pub event: &'a Arc<Event>,
    pub header: &'a Header<'a>,
    pub record: &'a Record<'a>,
    /// Where the event first came from: a replayed record says so.
    pub origin: &'a Origin,
    pub source: &'a Arc<str>,
    pub version: u32,
    /// The set's digest.
    pub revision: &'a Arc<str>,
    pub now: Timestamp,
    pub meta: OnceCell<Value>,
}

impl Seen<'_> {
    /// What templates see as `meta`: the record's own coordinates.
    pub fn meta(&self) -> Value {
        let make = || {
            let own = self.record.origin;
            Meta {
                source: self.source.clone(),
                topic: own.topic.clone(),
                partition: own.partition,
                offset: own.offset,
                timestamp_ms: own.timestamp_ms,
                headers: self.record.headers.to_vec(),
                schema_version: self.version,
                revision: self.revision.clone(),
            }
            .into_value()
        };
        self.meta.get_or_init(make).clone()
    }
}

/// What one delivery's expressions and templates see.
pub(super) struct View<'a> {
    pub seen: &'a Seen<'a>,
    pub templates: &'a Templates,
    pub consumer: &'a Value,
    /// The element and its number, under `each`.
    pub element: Option<(Found<'a>, usize)>,
    pub id: Uuid,
    scope: OnceCell<Scope>,
}

impl<'a> View<'a> {
    pub fn new(
        seen: &'a Seen<'a>,
        templates: &'a Templates,
        consumer: &'a Value,
        element: Option<(Found<'a>, usize)>,
        id: Uuid,
    ) -> View<'a> {
        View { seen, templates, consumer, element, id, scope: OnceCell::new() }
    }

    pub fn event(&self) -> &'a Arc<Event> {
        self.seen.event
    }

    /// The same for templates.
    pub fn scope(&self) -> &Scope {
        self.scope.get_or_init(|| {
            // An element that is null is null to a template, not undefined.
            let value = |item: &Found<'a>| if item.is_null() { Value::from(()) } else { item.clone().into_value(self.seen.event) };
            Scope::new(Parts {
                event: self.seen.event.value(),
                digits: Some(self.seen.event.clone()),
                meta: self.seen.meta(),
                consumer: self.consumer.clone(),
                element: self.element.as_ref().map(|(item, index)| (value(item), *index as u64)),
                delivery_id: self.id,
                taken_up: self.seen.now,
            })
        })
    }
}
