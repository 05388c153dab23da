//! `analytica plan` against what is published.

use analytica::publish::SavedPlan;
use analytica::store::Expected;

use crate::root::{Ran, Root, ran};

const CONSUMER: &str = "consumers/engagement.yaml";

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Published, and then one thing changed.
fn changed() -> Root {
    let root = Root::starter();
    root.publish();
    root.edit(CONSUMER, "name: profile", "name: person");
    root
}

/// Environments, digests and times are others each time.
fn redacted(root: &Root, text: &str) -> String {
    let text = text.replace(&root.environment, "[env]");
    let digest = regex::Regex::new(r"\b[0-9a-f]{12}\b").expect("a pattern");
    let text = digest.replace_all(
        &text,
        |found: &regex::Captures<'_>| if found[0].starts_with("a1b2c3") { found[0].to_owned() } else { "[digest]".to_owned() },
    );
    regex::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC").expect("a pattern").replace_all(&text, "[time]").into_owned()
}

#[test]
fn a_change_is_shown_against_what_is_published() {
    let root = changed();
    let ran = root.run(&["plan"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    insta::assert_snapshot!(redacted(&root, &ran.stdout));
    insta::assert_snapshot!(redacted(&root, &root.run(&["plan", "--format", "markdown"]).stdout));
}

#[test]
fn the_exit_code_tells_of_changes_when_asked() {
    let root = Root::starter();
    assert_eq!(root.run(&["plan", "--exit-code"]).code, 3, "nothing is published");
    root.publish();
    let ran = root.run(&["plan", "--exit-code"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("no changes"), "{ran:?}");
    root.edit(CONSUMER, "owner: growth", "owner: crm");
    assert_eq!(root.run(&["plan", "--exit-code"]).code, 3);
    assert_eq!(root.run(&["plan"]).code, 0);
}

#[test]
fn json_says_the_same() {
    let root = changed();
    let published = root.publish();
    root.edit("transforms/engagement/loan.json.j2", "\"type\"", "\"kind\": 1,\n  \"type\"");
    let plan = json(&root.run(&["plan", "--format", "json"]));
    assert_eq!(plan["environment"], root.environment.as_str());
    assert_eq!((&plan["from"]["generation"], &plan["from"]["digest"]), (&2.into(), &(*published.digest.0).into()));
    assert_eq!(plan["summary"], serde_json::json!({ "add": 0, "change": 1, "remove": 0 }));
    assert_eq!(plan["changes"][0]["touches"][0]["routes"], serde_json::json!(["loan-events"]));
    assert_ne!(plan["to"]["digest"], plan["from"]["digest"]);
}

#[test]
fn a_plan_in_a_file_is_exactly_what_was_planned() {
    let root = changed();
    let (file, published) = (root.path("plan.json"), root.publish());
    root.edit(CONSUMER, "owner: growth", "owner: crm");
    let ran = root.run(&["plan", "--out", "plan.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("`analytica apply plan.json` publishes exactly that"), "{ran:?}");
    let plan = SavedPlan::read(&file).expect("a plan");
    assert_eq!((plan.environment.as_str(), &plan.against), (root.environment.as_str(), &Expected::from(Some(&published))));
    assert_eq!(plan.files, root.files().of_environment(&root.environment));
    assert_eq!(plan.digest, root.files().digest(&root.environment));
    let ran = root.run(&["plan", "--out", "nowhere/plan.json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot write the plan nowhere/plan.json"), "{ran:?}");
}

#[test]
fn findings_come_before_redis_is_asked() {
    let root = Root::starter();
    root.edit(CONSUMER, "engagement/loan.json.j2", "engagement/lone.json.j2");
    let away = |args: &[&str]| ran(root.command(args).env("ANALYTICA_REDIS_URL", "redis://127.0.0.1:1"));
    let human = away(&["plan"]);
    assert_eq!(human.code, 1, "{human:?}");
    assert!(human.stdout.contains("there is no transform") && human.stdout.contains("1 error"), "{human:?}");
    assert_eq!(human.stdout, away(&["validate"]).stdout);
    assert_eq!(json(&away(&["plan", "--format", "json"]))["errors"], 1);
    let markdown = away(&["plan", "--format", "markdown"]).stdout;
    assert!(markdown.starts_with("### analytica plan: the config root has errors\n\n```\nerror["), "{markdown}");
}

#[test]
fn a_redis_that_is_away_is_named_with_what_to_do() {
    let root = Root::starter();
    let ran = ran(root.command(&["plan"]).env("ANALYTICA_REDIS_URL", "redis://:hunter2@127.0.0.1:1"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("Redis at 127.0.0.1:1") && ran.stderr.contains("hint: ") && ran.stderr.contains("redis.url"), "{ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
}

#[test]
fn a_published_set_that_is_gone_is_no_empty_one() {
    let root = changed();
    let digest = root.publish().digest;
    root.forget(&format!("set:{digest}"));
    let ran = root.run(&["plan"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("the set of revision 2") && ran.stderr.contains("apply --recover"), "{ran:?}");
}

#[test]
fn no_secret_is_in_a_plan() {
    const SECRET: &str = "planted-5ecret-value";
    let root = changed();
    root.file("secret.txt", SECRET);
    root.edit(CONSUMER, "  auth:", "  headers: { X-Extra: \"${file:secret.txt}\" }\n  auth:");
    root.edit("consumers/warehouse.yaml", "\"${WAREHOUSE_URL:-sqlite:var/warehouse.db}\"", "\"${secret:WAREHOUSE_URL}\"");
    for format in ["human", "json", "markdown"] {
        let mut command = root.command(&["plan", "--out", "plan.json", "--format", format]);
        for name in ["DITTOFEED_WRITE_KEY", "WAREHOUSE_URL", "DITTOFEED_URL", "MONITORING_DIR"] {
            command.env(name, SECRET);
        }
        let ran = ran(&mut command);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("${secret:WAREHOUSE_URL}") && ran.stdout.contains("${file:secret.txt}"), "{format}: {ran:?}");
        let saved = SavedPlan::read(&root.path("plan.json")).expect("a plan");
        let kept: Vec<u8> = saved.files.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        for text in [&ran.stdout, &ran.stderr, &*String::from_utf8_lossy(&kept)] {
            assert!(!text.contains(SECRET), "{format}: {text}");
        }
    }
}

#[test]
fn environments_do_not_see_each_other() {
    let (one, other) = (changed(), Root::starter());
    assert!(one.run(&["plan"]).stdout.contains("from revision 1"));
    assert!(other.run(&["plan"]).stdout.contains("nothing is published yet"));
}
