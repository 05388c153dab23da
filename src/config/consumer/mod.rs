//! consumers/<name>.yaml with its environment laid over it → `Consumer`; and, on the machine that delivers, `Consumer` → `Configured`.

mod columns;
mod delivery;
mod route;
mod secrets;
mod sink;
mod target;

pub use secrets::CLEAR_SECRET;
pub(super) use secrets::warn_of_clear;

use std::sync::Arc;

use super::fill::{Fill, forbid_variables};
use super::findings::{Findings, Located, Place};
use super::node::Node;
use super::section::{Section, located};
use super::set::{Configured, Consumer, ConsumerState, DeliverySection, EventType, Queue, Transform, Unconfigured};
use super::sinks::Sink;
use super::variables::Variables;

/// What a consumer's routes may name.
pub(super) struct Known<'a> {
    pub events: &'a std::collections::BTreeMap<Arc<str>, EventType>,
    pub transforms: &'a std::collections::BTreeMap<Arc<str>, Transform>,
}

/// Sections that an environment may lay over a consumer.
pub(super) const OVERLAID: [&str; 4] = ["enabled", "sink", "queue", "delivery"];

/// A consumer and whether it is enabled; None where too little of it can be read. `name` is checked by the caller.
pub(super) fn decode(name: &str, node: &Node, known: &Known<'_>, findings: &mut Findings) -> Option<(Consumer, bool)> {
    let keys = &["version", "description", "owner", "enabled", "state", "sink", "routes", "queue", "delivery"];
    let file = Section::file(node, "a consumer", keys, findings)?;
    for part in ["description", "owner", "enabled", "state", "routes", "queue"] {
        if let Some(node) = file.get(part) {
            forbid_variables(node, &format!("`{part}`"), findings);
        }
    }
    let enabled = file.bool("enabled", findings).unwrap_or(true);
    let states = [("active", ConsumerState::Active), ("draining", ConsumerState::Draining)];
    let state = file.one_of("state", &states, findings).unwrap_or(ConsumerState::Active);
    let queue = queue(&file, findings);
    let delivery = delivery::decode(file.get("delivery"), Fill::Defaults, findings);
    let sink_node = file.require("sink", findings);
    let sink = sink_node.and_then(|node| sink::decode(node, Fill::Defaults, findings));
    if let Some(node) = sink_node {
        secrets::refuse_clear(node, findings);
    }
    let routes = route::decode(&file, sink.as_ref(), known, findings);
    let consumer = Consumer {
        name: name.into(),
        description: file.string("description", findings),
        owner: file.string("owner", findings),
        state,
        sink: sink?,
        routes,
        queue,
        delivery: DeliverySection {
            keep_event: delivery.keep_event,
            sink: Arc::new(sink_node?.clone()),
            delivery: file.get("delivery").cloned().map(Arc::new),
            definition: Arc::new(node.to_json()),
        },
        at: node.at.clone(),
    };
    Some((consumer, enabled))
}

fn queue(file: &Section<'_>, findings: &mut Findings) -> Queue {
    // Six: divisible by one, two, three and six workers, and small enough to have many consumers.
    let mut queue = Queue { partitions: 6, key: None };
    let Some(section) = file.get("queue").and_then(|node| Section::open(node, "a queue", &["partitions", "key"], findings)) else {
        return queue;
    };
    if let Some(partitions) = section.integer("partitions", 1..=10_000, findings) {
        queue.partitions = partitions as u32;
    }
    queue.key = section.get("key").and_then(|node| expression(node, findings));
    queue
}

/// Text that the pipeline compiles; here it is only not empty.
fn expression(node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    let mut text = located(node, findings)?;
    if text.value.trim().is_empty() {
        findings.push(node.error("empty-expression", "an empty expression"));
        return None;
    }
    // between quotes, what is written starts behind the first
    if node.width as usize == text.value.chars().count() + 2 {
        text.at.column += 1;
    }
    Some(text)
}

impl Consumer {
    /// Fills the variables of `sink` and `delivery` in. Err names what is missing on this machine: the consumer's queue waits.
    pub fn configure(&self, variables: &dyn Variables) -> Result<Configured, Unconfigured> {
        let mut findings = Findings::default();
        let delivery = delivery::decode(self.delivery.delivery.as_deref(), Fill::Machine(variables), &mut findings);
        let written = sink::decode(&self.delivery.sink, Fill::Machine(variables), &mut findings);
        let unconfigured = |place: &Place, reason: String| Unconfigured { place: place.clone(), reason };
        if let Some(finding) = findings.iter().find(|finding| finding.severity == super::Severity::Error) {
            return Err(unconfigured(&finding.at, finding.message.clone()));
        }
        let written = written.ok_or_else(|| unconfigured(&self.at, "its sink cannot be read".to_owned()))?;
        let sink = sink::resolve(&written, &self.delivery.sink, variables).map_err(|(place, reason)| unconfigured(&place, reason))?;
        Ok(Configured { sink, delivery })
    }

    /// Whether queue records and dead letters carry the original event. Takes no variables: orchestrators read it too.
    pub fn keep_event(&self) -> bool {
        self.delivery.keep_event
    }

    /// The type of the sink.
    pub fn kind(&self) -> super::SinkKind {
        Sink::kind(&self.sink)
    }

    /// Whether both definitions say the same, wherever it is written.
    pub(super) fn same(&self, other: &Consumer) -> bool {
        self.delivery.definition == other.delivery.definition
    }

    /// Whether both deliver alike: same sink, queue and delivery settings. A delivery that runs may then go on, whatever the routes say.
    pub fn delivers_like(&self, other: &Consumer) -> bool {
        let part = |consumer: &Consumer, name: &str| consumer.delivery.definition.get(name).cloned();
        ["sink", "queue", "delivery"].iter().all(|name| part(self, name) == part(other, name))
    }
}
