//! The starter root (the project's own) through the real thing: no findings in any environment, and simulated journeys come out as they should.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use analytica::config::{ConfigSet, Files, Loaded, load};
use analytica::pipeline::{Origin, Outcome, Pipeline, Record, Scratch, check};
use analytica::simulate::{Simulation, SimulationOptions};

fn loaded(environment: &str) -> Loaded {
    let files = Files::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the root can be read");
    load(&files, environment)
}

fn set(environment: &str) -> ConfigSet {
    let loaded = loaded(environment);
    let findings: Vec<String> = loaded.findings.iter().map(|f| format!("{}: {} ({})", f.at, f.message, f.code)).collect();
    assert!(findings.is_empty(), "{environment}: {findings:#?}");
    loaded.set.expect("a set without findings")
}

#[test]
fn it_has_no_findings_in_any_environment() {
    for environment in ["dev", "staging", "production"] {
        let set = set(environment);
        let findings: Vec<String> = check(&loaded(environment)).iter().map(|f| format!("{}: {} ({})", f.at, f.message, f.code)).collect();
        assert!(findings.is_empty(), "{environment}: {findings:#?}");
        assert_eq!(set.consumers.keys().map(|name| &**name).collect::<Vec<_>>(), ["engagement", "monitoring", "warehouse"]);
    }
}

#[test]
fn simulated_journeys_come_out_as_they_should() {
    let pipeline = Pipeline::compile(&set("dev")).unwrap_or_else(|findings| panic!("{findings:?}"));
    let mut scratch = Scratch::default();
    let mut rejected = BTreeMap::<&str, usize>::new();
    let mut routes = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let simulation = Simulation::new(SimulationOptions { users: 1500, broken: 0.05, ..SimulationOptions::new(11) });
    for (offset, event) in simulation.enumerate() {
        let origin = Origin { topic: event.topic.into(), partition: 0, offset: offset as i64, timestamp_ms: event.time.as_millisecond() };
        let record = Record { origin: &origin, key: Some(event.key.as_bytes()), headers: &[], value: &event.value };
        match (pipeline.process(&record, event.time, &mut scratch), event.broken) {
            (Outcome::Rejected(rejection), Some(fault)) => {
                assert_eq!(rejection.reason.name(), fault.reason(), "{fault:?}: {}", String::from_utf8_lossy(&event.value));
                assert!(!rejection.errors.is_empty(), "{fault:?} says nothing of what is wrong");
                *rejected.entry(fault.reason()).or_default() += 1;
            }
            (Outcome::Accepted(accepted), None) => {
                assert_eq!(&*accepted.event, event.name);
                assert!(accepted.dead.is_empty(), "{:?}", accepted.dead);
                assert!(!accepted.deliveries.is_empty(), "{} goes to nobody", event.name);
                for delivery in accepted.deliveries {
                    let payload = serde_json::from_slice::<serde_json::Value>(&delivery.payload);
                    assert!(payload.is_ok_and(|p| p.is_object()), "{}", String::from_utf8_lossy(&delivery.payload));
                    assert_eq!(ids.insert(delivery.id), !event.duplicate, "an id belongs to one delivery, and to its resend");
                    routes.insert(format!("{}/{}", delivery.route.consumer, delivery.route.route));
                }
            }
            (outcome, broken) => panic!("{broken:?} came out as {outcome:?}: {}", String::from_utf8_lossy(&event.value)),
        }
    }
    assert_eq!(rejected.len(), 5, "{rejected:?}");
    let all: BTreeSet<String> = pipeline.routes().iter().map(|route| format!("{}/{}", route.consumer, route.route)).collect();
    assert_eq!(routes, all, "every route has deliveries");
}
