//! What `analytica validate` finds, and where.

mod consumers;
mod environments;
mod look;
mod paths;
mod schemas;
mod templates;

use std::fs;
use std::process::Output;

use assert_cmd::Command;

/// A config root that is right until a test breaks it.
struct Root(tempfile::TempDir);

const QUEUE: &str = "version: 1\nsink: { type: queue }\nroutes:\n  - name: all\n    events: [\"*\"]\n    transform: a.json.j2\n";

const WAREHOUSE: &str = "version: 1\nsink: { type: warehouse, url: \"sqlite:var/w.db\" }\nroutes:\n  - name: all\n    events: [\"*\"]\n    table: { name: events, key: [id] }\n    columns: { id: event.messageId }\n";

fn root() -> Root {
    let root = Root(tempfile::tempdir().expect("a temporary folder"));
    root.file("analytica.yaml", "version: 1\n")
        .file("sources.yaml", "version: 1\nsources:\n  web: { topics: [web.events], envelope: segment }\n")
        .file("schemas/kyc_started/1.json", "{\"type\": \"object\", \"properties\": {\"messageId\": {\"type\": \"string\"}}}")
        .file("transforms/a.json.j2", "{\"id\": \"{{ event.messageId }}\"}")
}

impl Root {
    fn file(self, path: &str, text: &str) -> Root {
        let file = self.0.path().join(path);
        fs::create_dir_all(file.parent().expect("files lie in a folder")).expect("folders can be made");
        fs::write(file, text).expect("files can be written");
        self
    }

    fn consumer(self, text: &str) -> Root {
        self.file("consumers/a.yaml", text)
    }

    fn validate(&self, more: &[&str]) -> Validated {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
        command.env_clear().args(["validate", "--root"]).arg(self.0.path()).args(more);
        Validated(command.output().expect("the binary runs"))
    }
}

struct Validated(Output);

impl Validated {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    #[track_caller]
    fn fails_with(&self, place: &str, words: &str) {
        let text = self.text();
        assert_eq!(self.0.status.code(), Some(1), "{text}");
        assert!(text.contains(place) && text.contains(words), "{place} and {words:?} are not in\n{text}");
    }

    /// A warning, which lets the root pass.
    #[track_caller]
    fn warns_of(&self, place: &str, words: &str) {
        let text = self.text();
        assert_eq!(self.0.status.code(), Some(0), "{text}");
        assert!(text.contains("warning[") && text.contains(place) && text.contains(words), "{place} and {words:?} are not in\n{text}");
    }

    /// How many findings there are, by the last line.
    #[track_caller]
    fn counts(&self, errors_and_warnings: &str) {
        let text = self.text();
        assert!(text.lines().last().is_some_and(|last| last.starts_with(errors_and_warnings)), "not {errors_and_warnings}:\n{text}");
    }

    #[track_caller]
    fn passes(&self) {
        assert_eq!(self.0.status.code(), Some(0), "{}", self.text());
    }
}

#[test]
fn a_right_root_passes() {
    root().consumer(WAREHOUSE).validate(&[]).passes();
}

#[test]
fn each_mistake_is_found_where_it_stands() {
    for (from, to, place, words) in [
        ("table: {", "tabel: {", "consumers/a.yaml:6:5", "did you mean `table`?"),
        ("version: 1", "version: 3", "consumers/a.yaml:1:10", "format version"),
        ("events: [\"*\"]", "events: [kyc_startd]", "consumers/a.yaml:5:14", "did you mean `kyc_started`?"),
        ("events: [\"*\"]", "events: [kyc_started@7]", "consumers/a.yaml:5:14", "has no version 7"),
        ("key: [id]", "key: [ids]", "consumers/a.yaml:6:34", "did you mean `id`?"),
        ("columns: { id: event.messageId }", "transform: b.json.j2", "consumers/a.yaml:7:16", "there is no transform"),
        ("table: { name: events, key: [id] }", "path: a.ndjson", "consumers/a.yaml:6:5", "its target is `table`"),
        ("sqlite:var/w.db", "postgres://app:hunter2@db/app", "consumers/a.yaml:2:31", "a password in a URL in clear"),
        ("columns:", "name: all\n    columns:", "consumers/a.yaml:7:5", "stands twice"),
        ("name: all", "name: \"${NAME}\"", "consumers/a.yaml:4:11", "environments/<env>.yaml"),
        ("routes:", "delivery: { batch: { max_records: 0 } }\nroutes:", "consumers/a.yaml:3:35", "from 1 to 100000"),
        ("routes:", "routes: [", "consumers/a.yaml", "not valid YAML"),
    ] {
        root().consumer(&WAREHOUSE.replace(from, to)).validate(&[]).fails_with(place, words);
    }
}

#[test]
fn all_findings_come_at_once_and_no_secret_is_shown() {
    let text = WAREHOUSE.replace("sqlite:var/w.db", "postgres://app:hunter2@db/app").replace("table:", "tabel:").replace("\"*\"", "nope");
    let validated = root().consumer(&text).validate(&[]);
    validated.fails_with("consumers/a.yaml:5:14", "no schema for `nope`");
    validated.fails_with("consumers/a.yaml:6:5", "unknown key `tabel`");
    assert!(!validated.text().contains("hunter2"), "{}", validated.text());
}

#[test]
fn environments_are_checked() {
    let overlay = "version: 1\nconsumers:\n  b: { enabled: false }\n";
    root()
        .consumer(WAREHOUSE)
        .file("environments/prod.yaml", overlay)
        .validate(&[])
        .fails_with("environments/prod.yaml:3:3", "there is no consumer `b`");
    root().consumer(WAREHOUSE).validate(&["--env", "prod"]).fails_with("environments", "there is no environment `prod`");
}

#[test]
fn json_has_stable_fields() {
    let validated = root().consumer(&WAREHOUSE.replace("table:", "tabel:")).validate(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&validated.text()).expect("stdout is JSON");
    let found = report["findings"].as_array().expect("a list").iter().find(|f| f["code"] == "unknown-key").expect("the finding");
    assert_eq!(
        (&found["file"], &found["line"], &found["column"], &found["severity"]),
        (&"consumers/a.yaml".into(), &6.into(), &5.into(), &"error".into())
    );
}

#[test]
fn a_root_that_is_not_there_is_a_usage_error() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
    command.env_clear().args(["validate"]).current_dir(empty.path()).assert().code(2);
}

#[test]
fn mistakes_in_every_kind_of_file_are_found() {
    const SCHEMA: &str = "schemas/kyc_started/1.json";
    const TRANSFORM: &str = "transforms/a.json.j2";
    for (file, text, place, words) in [
        (SCHEMA, "{\"type\": \"object\",}", SCHEMA, "json"),
        (SCHEMA, "{\"type\": \"object\", \"type\": \"object\"}", "schemas/kyc_started/1.json:1:", "twice"),
        (SCHEMA, "{\"type\": \"objekt\"}", "schemas/kyc_started/1.json:1:", "objekt"),
        (SCHEMA, "{\"propertis\": {}}", "schemas/kyc_started/1.json:1:2", "did you mean `properties`?"),
        (SCHEMA, "{\"properties\": {\"a\": {\"$ref\": \"https://example.com/a.json\"}}}", "schemas/kyc_started/1.json:1:", "$ref"),
        (SCHEMA, "{\"properties\": {\"a\": {\"pattern\": \"(a)\\\\1\"}}}", "schemas/kyc_started/1.json:1:", "linear"),
        (SCHEMA, "{\"type\": \"object\", \"examples\": [7]}", "schemas/kyc_started/1.json:1:", "example"),
        ("schemas/kyc_started/2.yaml", "# nothing yet\n", "schemas/kyc_started/2.yaml", "accept every event"),
        ("schemas/kyc_started/event.yaml", "version: 1\ndefault_version: 3\n", "schemas/kyc_started/event.yaml:2:18", "has no version 3"),
        (TRANSFORM, "{\"id\": {{ event.messageId }", "transforms/a.json.j2:1:", "syntax"),
        (TRANSFORM, "{\"id\": {{ event.messageId | uper }}}", "transforms/a.json.j2:1:", "did you mean `upper`?"),
        (TRANSFORM, "{% include \"_no.j2\" %}", "transforms/a.json.j2:1:12", "no template `_no.j2`"),
        (TRANSFORM, "{\"id\": {{ item.a }}}", "transforms/a.json.j2:1:11", "`item` is not known here"),
        (TRANSFORM, "\u{feff}{\"id\":\r\n {{ evnt.a }}}\r\n", "transforms/a.json.j2:2:5", "did you mean `event`?"),
        ("sources.yaml", "version: 1\nsources:\n  web: { topics: [web.events], envelope: segmnt }\n", "sources.yaml:3:42", "segment"),
        (
            "sources.yaml",
            "version: 1\nsources:\n  a: { topics: [\"w.*\"] , envelope: segment }\n  b: { topics: [w.x], envelope: segment }\n",
            "sources.yaml:4:17",
            "one source",
        ),
        ("analytica.yaml", "version: 1\nkafka: { brokrs: [\"a:1\"] }\n", "analytica.yaml:2:10", "did you mean `brokers`?"),
        ("consumers/b.yaml", "", "consumers/b.yaml:1:1", "`routes` is missing"),
    ] {
        root().consumer(QUEUE).file(file, text).validate(&[]).fails_with(place, words);
    }
}

#[test]
fn expressions_are_checked_in_their_place() {
    for (when, place, words) in [
        ("evnt.userId", "consumers/a.yaml:8:11", "did you mean `event`?"),
        ("event.userId ==", "consumers/a.yaml:8:", "not an expression"),
        ("item.kind", "consumers/a.yaml:8:11", "each"),
        ("event.userId | uper", "consumers/a.yaml:8:", "did you mean `upper`?"),
        ("", "consumers/a.yaml:8:5", "has no value"),
    ] {
        root().consumer(&format!("{WAREHOUSE}    when: {when}\n")).validate(&[]).fails_with(place, words);
    }
    let long = vec!["event.a"; 20_000].join(" and ");
    root().consumer(&format!("{WAREHOUSE}    when: {long}\n")).validate(&[]).fails_with("consumers/a.yaml:8:", "longer than");
}

#[test]
fn a_template_of_very_many_operators_ends_nothing() {
    let sum = vec!["1"; 50_000].join("+");
    root().consumer(QUEUE).file("transforms/a.json.j2", &format!("[{{{{ {sum} }}}}]")).validate(&[]).passes();
}

#[test]
fn no_secret_is_shown_beside_another_finding() {
    const HTTP: &str = "version: 1\nsink: { type: http, base_url: \"http://127.0.0.1:1\", AUTH }\nroutes:\n  - name: all\n    events: [\"*\"]\n    transform: a.json.j2\n    request: { path: /x }\n";
    for auth in [
        "auth: { basic: \"key:hunter2hunter2\", foo: 1 }",
        "auth: { baisc: \"key:hunter2hunter2\" }",
        "headers: { Authorization: \"Bearer hunter2hunter2\", X-Api-Key: hunter2hunter2 }",
    ] {
        let validated = root().consumer(&HTTP.replace("AUTH", auth)).validate(&[]);
        validated.fails_with("consumers/a.yaml:2:", "");
        assert!(!validated.text().contains("hunter2"), "{}", validated.text());
    }
}
