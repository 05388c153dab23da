//! A consumer's `delivery`: batches, order, retry, time limits. Its variables take the field's type, so it is read twice: once with defaults, to
//! check it anywhere; once on the machine that delivers.

use crate::config::fill::{Fill, forbid_variables};
use crate::config::findings::Findings;
use crate::config::node::Node;
use crate::config::section::{Section, integer, items};
use crate::config::set::{Delivery, Order};
use crate::config::units::{Limit, Rate, Size, Span};

pub(super) fn decode(node: Option<&Node>, fill: Fill<'_>, findings: &mut Findings) -> Delivery {
    let mut delivery = Delivery::default();
    let Some(node) = node else { return delivery };
    if let Some(keep_event) = node.get("keep_event") {
        forbid_variables(keep_event, "`keep_event`", findings);
    }
    let filled = fill.fill(node, findings);
    let keys = &["batch", "concurrency", "order", "retry", "max_age", "rate_limit", "timeout", "responses", "keep_event"];
    let Some(section) = Section::open(&filled, "`delivery`", keys, findings) else { return delivery };

    batch(&section, &mut delivery, findings);
    if let Some(concurrency) = section.integer("concurrency", 1..=1024, findings) {
        delivery.concurrency = concurrency as usize;
    }
    if let Some(order) = section.one_of("order", &[("key", Order::Key), ("none", Order::None)], findings) {
        delivery.order = order;
    }
    retry(&section, &mut delivery, findings);
    match section.unit("max_age", findings) {
        Some(Limit(Some(age))) if age.is_zero() => {
            findings.push(section.error("max_age", "out-of-range", "with a `max_age` of zero every record is too old"))
        }
        Some(Limit(age)) => delivery.max_age = age,
        None => {}
    }
    if let Some(Rate(rate)) = section.unit("rate_limit", findings) {
        delivery.rate_limit = Some(rate);
    }
    match section.unit("timeout", findings) {
        Some(Span(time)) if time.is_zero() => {
            findings.push(section.error("timeout", "out-of-range", "a `timeout` of zero lets no request through"))
        }
        Some(Span(time)) => delivery.timeout = time,
        None => {}
    }
    responses(&section, &mut delivery, findings);
    if let Some(keep_event) = section.bool("keep_event", findings) {
        delivery.keep_event = keep_event;
    }
    delivery
}

fn batch(section: &Section<'_>, delivery: &mut Delivery, findings: &mut Findings) {
    let keys = &["max_records", "max_bytes", "max_wait"];
    let Some(batch) = section.get("batch").and_then(|node| Section::open(node, "`batch`", keys, findings)) else { return };
    if let Some(records) = batch.integer("max_records", 1..=100_000, findings) {
        delivery.max_records = records as usize;
    }
    match batch.unit("max_bytes", findings) {
        Some(Size(0)) => findings.push(batch.error("max_bytes", "out-of-range", "a batch of zero bytes holds no record")),
        Some(Size(bytes)) => delivery.max_bytes = bytes,
        None => {}
    }
    if let Some(Span(wait)) = batch.unit("max_wait", findings) {
        delivery.max_wait = wait;
    }
}

fn retry(section: &Section<'_>, delivery: &mut Delivery, findings: &mut Findings) {
    let keys = &["initial", "max", "give_up_after"];
    let Some(retry) = section.get("retry").and_then(|node| Section::open(node, "`retry`", keys, findings)) else { return };
    match retry.unit("initial", findings) {
        Some(Span(time)) if time.is_zero() => {
            findings.push(retry.error("initial", "out-of-range", "retries without a pause would be a flood"))
        }
        Some(Span(time)) => delivery.retry_initial = time,
        None => {}
    }
    if let Some(Span(time)) = retry.unit("max", findings) {
        delivery.retry_max = time;
    } else {
        delivery.retry_max = delivery.retry_max.max(delivery.retry_initial);
    }
    if delivery.retry_max < delivery.retry_initial {
        let name = if retry.get("max").is_some() { "max" } else { "initial" };
        findings.push(retry.error(name, "out-of-range", "the longest pause (`max`) is shorter than the first one (`initial`)"));
    }
    if let Some(Limit(time)) = retry.unit("give_up_after", findings) {
        delivery.give_up_after = time;
    }
}

fn responses(section: &Section<'_>, delivery: &mut Delivery, findings: &mut Findings) {
    let Some(responses) = section.get("responses").and_then(|node| Section::open(node, "`responses`", &["pause", "dead"], findings)) else {
        return;
    };
    let codes = |name: &str, findings: &mut Findings| -> Vec<u16> {
        let list = responses.get(name).map(|node| items(node, findings)).unwrap_or_default();
        list.iter().filter_map(|node| integer(node, 100..=599, findings)).map(|code| code as u16).collect()
    };
    delivery.pause_on = codes("pause", findings);
    delivery.dead_on = codes("dead", findings);
    if let Some(code) = delivery.pause_on.iter().find(|code| delivery.dead_on.contains(code)) {
        findings.push(responses.error(
            "dead",
            "contradiction",
            format!("the status {code} cannot both pause the queue and make a dead letter"),
        ));
    }
}
