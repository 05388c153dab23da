//! The look of the report: what people see of a broken root.

use super::{QUEUE, Root, WAREHOUSE, root};

/// The findings as they are printed; `validate` names files by their path in the root, so nothing differs from run to run.
fn report(root: &Root) -> String {
    root.validate(&[]).text()
}

#[test]
fn a_schema_with_slips() {
    let schema = "{\n  \"type\": \"objekt\",\n  \"requird\": [\"id\"],\n  \"properties\": {\n    \"id\": { \"type\": \"string\", \"pattern\": \"(a\" },\n    \"at\": { \"format\": \"datetime\" },\n    \"sum\": { \"$ref\": \"#/$defs/money\" }\n  }\n}\n";
    insta::assert_snapshot!(report(&root().file("schemas/kyc_started/1.json", schema)));
}

#[test]
fn a_template_and_what_it_reads() {
    let root = root()
        .consumer(QUEUE)
        .file("transforms/a.json.j2", "{\n  \"id\": {{ event.mesageId }},\n  \"name\": {{ event.userId | uper }},\n  \"short\": {{ event.userId | truncate(9) }}\n}\n")
        .file("transforms/b.json.j2", "{\n  \"id\": {{ event.messageId }},\n}\n");
    insta::assert_snapshot!(report(&root));
}

#[test]
fn environments_that_differ() {
    let root = root()
        .consumer(&format!("{WAREHOUSE}queue: {{ key: evnt.userId }}\n"))
        .file(
            "environments/production.yaml",
            "version: 1\nconsumers:\n  a:\n    sink: { url: \"clickhouse://db/app\" }\n    queue: { key: event.userId }\n",
        )
        .file("environments/staging.yaml", "version: 1\nconsumers:\n  b: { enabled: false }\n");
    insta::assert_snapshot!(report(&root));
}

#[test]
fn a_secret_and_a_second_file() {
    let http = QUEUE.replace("{ type: queue }", "{ type: http, base_url: \"http://127.0.0.1:1\", auth: { bearer: hunter2hunter2 } }");
    let root = root().consumer(&format!("{http}    request: {{ path: /x }}\n")).file("sources.json", "{}");
    insta::assert_snapshot!(report(&root));
}
