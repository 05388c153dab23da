//! One route for one event: condition, elements, id, key, payload, target. What fails becomes a dead letter of that consumer alone.

use std::sync::Arc;

use uuid::Uuid;

use super::expression::{Expression, Failure, Found};
use super::process::{Pipeline, Scratch};
use super::route::{CompiledColumn, CompiledRoute, CompiledValue, PlannedRoute, Rendering};
use super::template::Rendered;
use super::view::{Seen, View};
use super::{Accepted, DeadLetter, Delivery, QueueKey, RenderStage};

pub(super) struct Render<'a> {
    pub pipeline: &'a Pipeline,
    pub planned: &'a PlannedRoute,
    pub seen: &'a Seen<'a>,
}

type Failed = (RenderStage, Failure);

impl<'a> Render<'a> {
    fn route(&self) -> &'a CompiledRoute {
        &self.planned.route
    }

    /// Adds the route's deliveries and dead letters of this event.
    pub fn run(&self, scratch: &mut Scratch, accepted: &mut Accepted) {
        let route = self.route();
        if let Some(when) = route.when.as_ref().filter(|when| !when.uses_element()) {
            match self.with_view(None, scratch, |view| when.holds(view)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => return accepted.dead.push(self.dead(None, (RenderStage::When, failure), scratch)),
            }
        }
        let Some(each) = &route.each else { return self.one(None, scratch, accepted) };
        match self.elements(each, scratch) {
            Ok(elements) => {
                for (index, element) in elements.into_iter().enumerate() {
                    self.one(Some((element, index)), scratch, accepted);
                }
            }
            Err(failure) => accepted.dead.push(self.dead(None, (RenderStage::Each, failure), scratch)),
        }
    }

    /// A list that is missing has no elements.
    fn elements(&self, each: &Expression, scratch: &mut Scratch) -> Result<Vec<Found<'a>>, Failure> {
        let list = self.with_view(None, scratch, |view| each.evaluate(view))?;
        if list.is_null() {
            return Ok(Vec::new());
        }
        list.elements().ok_or_else(|| Failure { at: each.at().clone(), message: format!("`each` needs a list, not {}", list.type_name()) })
    }

    fn one(&self, element: Option<(Found<'a>, usize)>, scratch: &mut Scratch, accepted: &mut Accepted) {
        match self.delivery(element.clone(), scratch) {
            Ok(Some(delivery)) => accepted.deliveries.push(delivery),
            Ok(None) => {}
            Err(failed) => accepted.dead.push(self.dead(element.map(|(_, index)| index), failed, scratch)),
        }
    }

    fn delivery(&self, element: Option<(Found<'a>, usize)>, scratch: &mut Scratch) -> Result<Option<Delivery>, Failed> {
        let route = self.route();
        let id = self.id(element.as_ref().map(|(_, index)| *index), scratch);
        self.with_id(id, element, |view| {
            let at = |stage: RenderStage| move |failure: Failure| (stage, failure);
            if let Some(when) = route.when.as_ref().filter(|when| when.uses_element())
                && !when.holds(view).map_err(at(RenderStage::When))?
            {
                return Ok(None);
            }
            let key = self.key(view).map_err(at(RenderStage::Key))?;
            let payload = match &route.rendering {
                Rendering::Columns(columns) => row(columns, view).map_err(at(RenderStage::Columns))?,
                Rendering::Transform { template, .. } => {
                    let mut payload = Vec::with_capacity(USUAL_PAYLOAD);
                    let rendered = view.templates.render(*template, view.scope(), &mut payload);
                    match rendered.map_err(|e| (RenderStage::Transform, Failure { at: e.at, message: e.message }))? {
                        Rendered::Payload => payload,
                        Rendered::Nothing => return Ok(None),
                    }
                }
            };
            self.within_limit(&payload)?;
            let target = route.target.render(view).map_err(at(RenderStage::Target))?;
            Ok(Some(Delivery { route: Arc::clone(&route.info), id, key, target, payload }))
        })
    }

    fn within_limit(&self, payload: &[u8]) -> Result<(), Failed> {
        let limit = self.pipeline.limits.max_payload_bytes;
        if payload.len() <= limit {
            return Ok(());
        }
        let (stage, at) = match &self.route().rendering {
            Rendering::Columns(columns) => (RenderStage::Columns, columns.first().map(|column| column.at.clone())),
            Rendering::Transform { at, .. } => (RenderStage::Transform, Some(at.clone())),
        };
        let at = at.unwrap_or_else(|| crate::config::Place::file("consumers"));
        Err((stage, Failure { at, message: format!("the payload has {} bytes, more than the {limit} of `limits.payload`", payload.len()) }))
    }

    /// The consumer's key expression, else the user, the anonymous id, the record's own key, its partition.
    fn key(&self, view: &View<'_>) -> Result<QueueKey, Failure> {
        let Some(expression) = &self.route().key else { return Ok(self.usual_key()) };
        let found = expression.evaluate(view)?;
        match found.text(view.event()) {
            Some(text) => Ok(QueueKey::Bytes(text.into_owned().into_bytes())),
            None if found.is_null() => Ok(self.usual_key()),
            None => Err(Failure { at: expression.at().clone(), message: format!("{} cannot be a key", found.type_name()) }),
        }
    }

    fn usual_key(&self) -> QueueKey {
        let header = self.seen.header;
        match (header.user.or(header.anonymous), self.seen.record.key) {
            (Some(text), _) => QueueKey::Bytes(text.as_bytes().to_vec()),
            (None, Some(key)) => QueueKey::Bytes(key.to_vec()),
            (None, None) => QueueKey::Partition(self.seen.record.origin.partition),
        }
    }

    fn id(&self, element: Option<usize>, scratch: &mut Scratch) -> Uuid {
        self.planned.names.id(self.seen.header.id, self.seen.origin, element, &mut scratch.text)
    }

    fn dead(&self, element: Option<usize>, (stage, failure): Failed, scratch: &mut Scratch) -> DeadLetter {
        let id = self.id(element, scratch);
        // The key orders what fails with what follows; where it is the key that fails, the usual one does.
        let key = match stage {
            RenderStage::Key => self.usual_key(),
            _ => self.with_id(id, None, |view| self.key(view)).unwrap_or_else(|_| self.usual_key()),
        };
        DeadLetter { route: Arc::clone(&self.route().info), id, key, stage, error: failure.to_string() }
    }

    fn with_view<T>(&self, element: Option<(Found<'a>, usize)>, scratch: &mut Scratch, f: impl FnOnce(&View<'a>) -> T) -> T {
        let id = self.id(element.as_ref().map(|(_, index)| *index), scratch);
        self.with_id(id, element, f)
    }

    fn with_id<T>(&self, id: Uuid, element: Option<(Found<'a>, usize)>, f: impl FnOnce(&View<'a>) -> T) -> T {
        f(&View::new(self.seen, &self.pipeline.templates, &self.route().consumer, element, id))
    }
}

/// Bytes that most payloads fit in.
const USUAL_PAYLOAD: usize = 512;

/// One JSON object, columns in the order of the definition.
fn row(columns: &[CompiledColumn], view: &View<'_>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(USUAL_PAYLOAD);
    out.push(b'{');
    for column in columns {
        out.extend_from_slice(&column.opening);
        match &column.value {
            CompiledValue::Constant(json) => out.extend_from_slice(json),
            CompiledValue::Expression(expression) => {
                let found = expression.evaluate(view)?;
                if column.required && found.is_null() {
                    return Err(Failure { at: column.at.clone(), message: format!("column `{}` is required, and null", column.name) });
                }
                found
                    .write(view.event(), &mut out)
                    .map_err(|what| Failure { at: expression.at().clone(), message: format!("column `{}` is {what}", column.name) })?;
            }
        }
    }
    out.push(b'}');
    Ok(out)
}
