//! Simulated journeys against the starter root's schemas: valid ones validate, broken ones break for the reason they say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use analytica::simulate::{Fault, LOAN_TOPIC, SimulatedEvent, Simulation, SimulationOptions, WEB_TOPIC};
use serde_json::Value;

/// The schemas of the starter root, by event name and version.
fn schemas() -> HashMap<(String, u64), jsonschema::Validator> {
    let mut found = HashMap::new();
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")).expect("schemas") {
        let folder = folder.expect("an entry").path();
        for file in std::fs::read_dir(&folder).expect("a schema folder") {
            let file = file.expect("an entry").path();
            let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let Ok(version) = stem.parse() else { continue };
            let text = std::fs::read_to_string(&file).expect("a schema");
            let document: Value = match file.extension().and_then(|e| e.to_str()) {
                Some("json") => serde_json::from_str(&text).expect("JSON"),
                _ => serde_yaml::from_str(&text).expect("YAML"),
            };
            let validator = jsonschema::options()
                .should_validate_formats(true)
                .with_pattern_options(jsonschema::PatternOptions::regex())
                .build(&document)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for example in document["examples"].as_array().expect("a schema without examples") {
                let errors: Vec<_> = validator.iter_errors(example).map(|e| e.to_string()).collect();
                assert!(errors.is_empty(), "{}: its example breaks it: {errors:?}", file.display());
            }
            let name = folder.file_name().and_then(|n| n.to_str()).expect("a name").to_string();
            found.insert((name, version), validator);
        }
    }
    found
}

fn simulation(seed: u64, users: u64) -> Simulation {
    Simulation::new(SimulationOptions { users, ..SimulationOptions::new(seed) })
}

/// Name and version by the envelope of the topic's source.
fn name_and_version(topic: &str, event: &Value) -> (Option<String>, u64) {
    let (name, version) = match topic {
        WEB_TOPIC => (event.get("event").or(event.get("type")), &event["context"]["protocols"]["event_version"]),
        _ => (event.get("activity"), &event["v"]),
    };
    (name.and_then(Value::as_str).map(str::to_string), version.as_u64().unwrap_or(1))
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| simulation(seed, 200).collect::<Vec<SimulatedEvent>>();
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn taking_more_users_in_does_not_change_the_first_ones() {
    let of_first = |users| {
        let all: Vec<_> = simulation(3, users).collect();
        let first = all[0].value.clone();
        let device = serde_json::from_slice::<Value>(&first).expect("valid")["anonymousId"].clone();
        all.into_iter().filter(|e| serde_json::from_slice::<Value>(&e.value).is_ok_and(|v| v["anonymousId"] == device)).collect::<Vec<_>>()
    };
    assert_eq!(of_first(1), of_first(300));
}

#[test]
fn every_event_that_is_not_broken_validates_against_the_starter_schemas() {
    let schemas = schemas();
    let mut seen = BTreeSet::new();
    for event in simulation(1, 3000).filter(|e| e.broken.is_none()) {
        let value: Value = serde_json::from_slice(&event.value).expect("JSON");
        let (name, version) = name_and_version(event.topic, &value);
        assert_eq!(name.as_deref(), Some(event.name));
        let schema = schemas.get(&(event.name.to_string(), version)).unwrap_or_else(|| panic!("no schema for {}@{version}", event.name));
        let errors: Vec<_> = schema.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{value:#}\n{errors:#?}");
        seen.insert((event.name.to_string(), version));
    }
    assert_eq!(seen, schemas.into_keys().collect(), "each schema has events");
}

#[test]
fn every_broken_event_breaks_for_the_reason_it_says() {
    let schemas = schemas();
    let mut seen = BTreeSet::new();
    let all = Simulation::new(SimulationOptions { users: 400, broken: 1.0, ..SimulationOptions::new(5) });
    for event in all {
        let fault = event.broken.expect("all are broken");
        assert!(!event.value.iter().any(|b| matches!(b, b'\n' | b'\t')), "one event is one line");
        let reason = match serde_json::from_slice::<Value>(&event.value) {
            Err(_) => "malformed",
            Ok(_) if fault == Fault::KeyTwice => "malformed", // serde_json keeps the last of two equal keys
            Ok(value) => match name_and_version(event.topic, &value) {
                (None, _) => "bad_envelope",
                (Some(name), _) if !schemas.keys().any(|(n, _)| *n == name) => "unknown_event",
                (Some(name), version) => match schemas.get(&(name, version)) {
                    None => "unknown_version",
                    Some(schema) => {
                        assert!(!schema.is_valid(&value), "{fault:?} is valid: {value:#}");
                        "schema_violation"
                    }
                },
            },
        };
        assert_eq!(reason, fault.reason(), "{fault:?}: {}", String::from_utf8_lossy(&event.value));
        seen.insert(fault);
    }
    assert_eq!(seen.len(), 10, "all faults happen: {seen:?}");
}

#[test]
fn events_arrive_in_order_of_time_and_users_are_interleaved() {
    let all: Vec<_> = simulation(2, 500).collect();
    assert!(all.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let switches = all.windows(2).filter(|pair| pair[0].key != pair[1].key).count();
    assert!(switches * 10 > all.len() * 9, "{switches} switches between users in {} events", all.len());
}

#[test]
fn the_funnel_narrows_at_every_step_and_variant_b_converts_better_where_it_is_tested() {
    let mut reached: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
    for event in simulation(4, 6000).filter(|e| e.broken.is_none() && e.topic == WEB_TOPIC && e.name != "page_viewed") {
        let value: Value = serde_json::from_slice(&event.value).expect("JSON");
        let p = &value["properties"];
        let step = p["step_number"].as_u64().expect("a step number");
        reached.entry((p["variant"].as_str().expect("a variant").to_string(), step)).or_default().insert(event.key.to_string());
    }
    let users = |variant: &str, step| reached[&(variant.to_string(), step)].len() as f64;
    for variant in ["a", "b"] {
        for step in 1..11 {
            // A lost (broken) event may make a step a little smaller than the next one
            assert!(users(variant, step + 1) < users(variant, step) * 1.01, "{variant}: step {step}");
        }
        assert!(users(variant, 11) > 0.0);
    }
    let chose = |variant| users(variant, 8) / users(variant, 7);
    assert!(chose("b") > chose("a") * 1.15, "a {:.2}, b {:.2}", chose("a"), chose("b"));
}

#[test]
fn shares_are_as_asked_for() {
    let all: Vec<_> = simulation(6, 6000).collect();
    let share = |f: &dyn Fn(&SimulatedEvent) -> bool| all.iter().filter(|e| f(e)).count() as f64 / all.len() as f64;
    let broken = share(&|e| e.broken.is_some());
    assert!((0.003..0.007).contains(&broken), "{broken}");
    let twice = share(&|e| e.duplicate);
    assert!((0.0015..0.0045).contains(&twice), "{twice}");
    let loans = share(&|e| e.topic == LOAN_TOPIC);
    assert!((0.01..0.1).contains(&loans), "{loans}");
    let size = all.iter().map(|e| e.value.len()).sum::<usize>() / all.len();
    assert!((380..480).contains(&size), "{size} bytes on average; the reference workload has 430");
}

#[test]
fn a_duplicate_is_its_first_one_byte_for_byte() {
    let all: Vec<_> = Simulation::new(SimulationOptions { users: 200, duplicates: 0.2, ..SimulationOptions::new(9) }).collect();
    let mut firsts = BTreeSet::new();
    let mut twice = 0;
    for event in &all {
        match event.duplicate {
            false => _ = firsts.insert(event.value.clone()),
            true => {
                twice += 1;
                assert!(firsts.contains(&event.value), "it comes after its first one");
            }
        }
    }
    assert!(twice > 100, "{twice}");
}

/// The real binary: standard output as lines, standard error, exit code.
fn analytica(arguments: &[&str]) -> (Vec<String>, String, Option<i32>) {
    let run =
        std::process::Command::new(env!("CARGO_BIN_EXE_analytica")).arg("simulate").args(arguments).output().expect("the binary runs");
    let lines = String::from_utf8(run.stdout).expect("UTF-8").lines().map(str::to_owned).collect();
    (lines, String::from_utf8_lossy(&run.stderr).into_owned(), run.status.code())
}

#[test]
fn the_verb_prints_one_event_a_line_and_nothing_else() {
    let (lines, told, code) = analytica(&["--events", "500", "--seed", "3", "--broken", "0"]);
    assert_eq!((lines.len(), code), (500, Some(0)), "{told}");
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object())));
    assert!(told.contains("500 events, of them 0 broken"), "{told}");
    assert_eq!(lines, analytica(&["--events", "500", "--seed", "3", "--broken", "0"]).0);
    assert_ne!(lines, analytica(&["--events", "500", "--seed", "4", "--broken", "0"]).0);
}

#[test]
fn with_keys_a_line_is_what_kcat_splits_at_its_tab() {
    let (lines, _, _) = analytica(&["--events", "200", "--source", "loan", "--broken", "0", "--with-keys"]);
    assert_eq!(lines.len(), 200);
    for line in lines {
        let (key, event) = line.split_once('\t').expect("a tab");
        let event: Value = serde_json::from_str(event).expect("JSON");
        assert_eq!(event["vars"]["user"], key);
    }
}

#[test]
fn a_share_over_one_is_a_usage_error() {
    let (lines, told, code) = analytica(&["--broken", "2"]);
    assert_eq!((lines.len(), code), (0, Some(2)));
    assert!(told.contains("expected a share from 0 to 1"), "{told}");
    assert_eq!(analytica(&["--users", "1", "--events", "1"]).2, Some(2));
}
