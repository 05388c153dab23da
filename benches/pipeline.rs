//! The pipeline alone on W1, on one core: `cargo bench --bench pipeline`. The budget is 4 µs an event where every template takes the general path.
//! Each stage holds the ones above it: the difference of two lines is what the second one adds.

#[path = "w1/mod.rs"]
mod w1;

use std::cell::RefCell;

use analytica::config::{self, Files};
use analytica::pipeline::{Event, Origin, Outcome, Pipeline, Record, Scratch};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use jiff::Timestamp;

const TOPIC: &str = "bench.events";
/// Enough that no cache of the processor holds them all: 10,000 events are some 4 MB.
const EVENTS: usize = 10_000;

fn main() {
    divan::main();
}

/// W1 with some of its consumers.
fn pipeline(consumers: &[&str]) -> Pipeline {
    let wanted =
        |path: &str| path.strip_prefix("consumers/").is_none_or(|file| consumers.iter().any(|name| file == format!("{name}.yaml")));
    let files: Files = w1::root(TOPIC).into_iter().filter(|(path, _)| wanted(path)).map(|(path, text)| (path, text.into_bytes())).collect();
    let loaded = config::load(&files, config::DEFAULT_ENVIRONMENT);
    let set = loaded.set.expect("W1 is a good root");
    Pipeline::compile(&set).expect("W1 compiles")
}

fn whole(bencher: Bencher<'_, '_>, consumers: &[&str]) {
    let pipeline = pipeline(consumers);
    let events = w1::events(EVENTS, 1);
    let scratch = RefCell::new(Scratch::default());
    let now = Timestamp::UNIX_EPOCH;
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let mut scratch = scratch.borrow_mut();
        let mut accepted = 0;
        for (offset, event) in events.iter().enumerate() {
            let origin = Origin { topic: TOPIC.into(), partition: 0, offset: offset as i64, timestamp_ms: 0 };
            let record = Record { origin: &origin, key: Some(event.key.as_bytes()), headers: &[], value: &event.value };
            let outcome = pipeline.process(&record, now, &mut scratch);
            accepted += usize::from(matches!(black_box(outcome), Outcome::Accepted(_)));
        }
        accepted
    });
}

#[divan::bench]
fn a_parse(bencher: Bencher<'_, '_>) {
    let events = w1::events(EVENTS, 1);
    let event = RefCell::new(Event::default());
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let mut event = event.borrow_mut();
        events.iter().filter(|sent| black_box(event.fill(&sent.value)).is_ok()).count()
    });
}

#[divan::bench]
fn b_parse_and_validate(bencher: Bencher<'_, '_>) {
    whole(bencher, &[]);
}

#[divan::bench]
fn c_and_columns(bencher: Bencher<'_, '_>) {
    whole(bencher, &["warehouse"]);
}

#[divan::bench]
fn d_and_all_templates(bencher: Bencher<'_, '_>) {
    whole(bencher, &["warehouse", "engagement", "monitoring"]);
}
