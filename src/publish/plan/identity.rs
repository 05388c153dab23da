//! Changes of what things are known by: delivery ids, queues and the order in them.

use std::sync::Arc;

use crate::config::{ConfigSet, Consumer, Files, Render, Route, Source, Target};

/// Something that a diff shows but does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Stable, kebab-case name of the kind of notice.
    pub code: &'static str,
    pub consumer: Option<Arc<str>>,
    /// The new name of one that was renamed.
    pub route: Option<Arc<str>>,
    /// Starts in lower case, ends without a full stop.
    pub message: String,
}

const NEW_IDS: &str = "get new ids, replays will not be recognised";

/// By consumer, sources last. `files` are the new set's.
pub(super) fn notices(old: &ConfigSet, new: &ConfigSet, files: &Files) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut fresh: Vec<&Consumer> = new.consumers.values().filter(|consumer| !old.consumers.contains_key(&consumer.name)).collect();
    for before in old.consumers.values() {
        if let Some(after) = new.consumers.get(&before.name) {
            consumer(before, after, &mut notices);
            continue;
        }
        let kept = files.get(&before.at.file).is_some();
        let renamed = fresh.iter().position(|after| !kept && alike(before, after)).map(|at| fresh.remove(at));
        notices.push(gone(before, renamed, kept));
    }
    for after in &new.sources {
        if let Some(before) = old.sources.iter().find(|before| before.name == after.name) {
            notices.extend(source(before, after));
        }
    }
    notices
}

/// Whether a definition that is gone looks like one that is new.
fn alike(before: &Consumer, after: &Consumer) -> bool {
    let names = |consumer: &Consumer| consumer.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    before.kind() == after.kind() && names(before) == names(after)
}

fn gone(before: &Consumer, renamed: Option<&Consumer>, kept: bool) -> Notice {
    let name = &before.name;
    let (code, message) = match renamed {
        Some(after) => (
            "consumer-renamed",
            format!(
                "consumer `{name}` is `{}` now: what waits in the queue of `{name}` is not delivered, and deliveries of `{}` {NEW_IDS}",
                after.name, after.name
            ),
        ),
        None => {
            let what = if kept { "is not enabled here any more" } else { "is removed" };
            (
                if kept { "consumer-disabled" } else { "consumer-removed" },
                format!("consumer `{name}` {what}: what waits in its queue is not delivered; `state: draining` delivers it first"),
            )
        }
    };
    Notice { code, consumer: Some(renamed.map_or_else(|| name.clone(), |after| after.name.clone())), route: None, message }
}

fn consumer(before: &Consumer, after: &Consumer, notices: &mut Vec<Notice>) {
    let name = &after.name;
    let mut say = |code, message| notices.push(Notice { code, consumer: Some(name.clone()), route: None, message });
    if before.kind() != after.kind() {
        let (was, is) = (before.kind().name(), after.kind().name());
        say(
            "sink-type-changed",
            format!("the sink of `{name}` is {is} now, was {was}: what waits in its queue does not fit it, so let the queue drain first"),
        );
    }
    let (was, is) = (before.queue.partitions, after.queue.partitions);
    if is != was {
        let more = match is > was {
            true => "; while records wait, `apply` asks for a flag",
            false => "; a topic never shrinks, the partitions left over get nothing new",
        };
        say(
            "partitions-changed",
            format!("the queue of `{name}` has {is} partitions now, was {was}: order per key is not kept across the change{more}"),
        );
    }
    let key = |consumer: &Consumer| consumer.queue.key.as_ref().map(|key| key.value.clone());
    if key(before) != key(after) {
        let shown = |key: Option<String>| key.map_or_else(|| "the default".to_owned(), |key| format!("`{key}`"));
        let (was, is) = (shown(key(before)), shown(key(after)));
        say("queue-key-changed", format!("the queue key of `{name}` is {is} now, was {was}: order per key is not kept across the change"));
    }
    routes(before, after, notices);
}

fn routes(before: &Consumer, after: &Consumer, notices: &mut Vec<Notice>) {
    let find = |consumer: &Consumer, name: &str| consumer.routes.iter().position(|route| *route.name == *name);
    let mut fresh: Vec<&Route> = after.routes.iter().filter(|route| find(before, &route.name).is_none()).collect();
    let mut say = |code, route: &Arc<str>, message| {
        notices.push(Notice { code, consumer: Some(after.name.clone()), route: Some(route.clone()), message });
    };
    for was in &before.routes {
        if let Some(is) = find(after, &was.name).map(|at| &after.routes[at]) {
            if was.each.is_some() != is.each.is_some() {
                let what = if is.each.is_some() { "makes one delivery per element now" } else { "makes one delivery an event now" };
                say("elements-changed", &is.name, format!("route `{}` of `{}` {what}: its deliveries {NEW_IDS}", is.name, after.name));
            }
            continue;
        }
        let renamed = fresh.iter().position(|is| same_work(was, is)).map(|at| fresh.remove(at));
        match renamed {
            Some(is) => say(
                "route-renamed",
                &is.name,
                format!("route `{}` of `{}` is `{}` now: deliveries of route `{}` {NEW_IDS}", was.name, after.name, is.name, is.name),
            ),
            None => say(
                "route-removed",
                &was.name,
                format!(
                    "route `{}` of `{}` is removed: another route that takes its events makes deliveries with other ids, replays will not be recognised",
                    was.name, after.name
                ),
            ),
        }
    }
}

/// Whether two routes do the same but for their names: they take the same events, or render alike, to the same target.
fn same_work(was: &Route, is: &Route) -> bool {
    let events = |route: &Route| route.events.iter().map(|pattern| pattern.value.clone()).collect::<Vec<_>>();
    let same_render = match (&was.render, &is.render) {
        (Render::Transform(was), Render::Transform(is)) => was.value == is.value,
        (Render::Columns(was), Render::Columns(is)) => was.keys().eq(is.keys()),
        _ => false,
    };
    same_target(&was.target, &is.target) && (same_render || events(was) == events(is))
}

fn same_target(was: &Target, is: &Target) -> bool {
    match (was, is) {
        (Target::Request(was), Target::Request(is)) => (was.method, &was.path.value) == (is.method, &is.path.value),
        (Target::Table(was), Target::Table(is)) => was.name == is.name,
        (Target::Topic(was), Target::Topic(is)) => was.name.value == is.name.value,
        (Target::Path(was), Target::Path(is)) => was.value == is.value,
        (Target::Queue, Target::Queue) => true,
        _ => false,
    }
}

fn source(before: &Source, after: &Source) -> Option<Notice> {
    let (was, is) = (&before.envelope, &after.envelope);
    (was.id != is.id || was.name != is.name).then(|| Notice {
        code: "event-ids-changed",
        consumer: None,
        route: None,
        message: format!("names or ids of events of source `{}` are read elsewhere: their deliveries {NEW_IDS}", after.name),
    })
}
