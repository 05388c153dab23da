//! What is found in consumer definitions, settings and the names of files.

use super::{QUEUE, WAREHOUSE, root};

#[test]
fn two_files_of_one_definition_are_refused_by_name() {
    for (more, less) in [
        ("sources.json", "sources.yaml"),
        ("consumers/a.json", "consumers/a.yaml"),
        ("schemas/kyc_started/1.yaml", "schemas/kyc_started/1.json"),
        ("schemas/kyc_started/event.json", "schemas/kyc_started/event.yaml"),
        ("environments/dev.json", "environments/dev.yaml"),
    ] {
        let validated = root()
            .consumer(WAREHOUSE)
            .file("schemas/kyc_started/event.yaml", "version: 1\n")
            .file("environments/dev.yaml", "version: 1\n")
            .file(more, "{}")
            .validate(&[]);
        validated.fails_with(more, "are both there");
        validated.fails_with(less, "keep one of them");
    }
}

#[test]
fn a_literal_beside_a_variable_that_may_be_empty_is_in_clear() {
    let http = |basic: &str| {
        let sink = format!("{{ type: http, base_url: \"http://127.0.0.1:1\", auth: {{ basic: \"{basic}\" }} }}");
        root().consumer(&format!("{}    request: {{ path: /x }}\n", QUEUE.replace("{ type: queue }", &sink))).validate(&[])
    };
    let clear = http("key:hunter2${X:-}");
    clear.fails_with("consumers/a.yaml:2:", "credentials in clear");
    assert!(!clear.text().contains("hunter2"), "{}", clear.text());
    for fine in ["user:${secret:X}", "user:${X:-}", "${secret:X}"] {
        http(fine).passes();
    }
}

#[test]
fn an_sql_type_must_be_known() {
    let typed =
        |sql: &str| root().consumer(&WAREHOUSE.replace("event.messageId", &format!("{{ const: 1, type: \"{sql}\" }}"))).validate(&[]);
    typed("numric(18,2)").fails_with("consumers/a.yaml:7:38", "did you mean `numeric`?");
    typed("foo").fails_with("consumers/a.yaml:7:38", "the types are `text`, `integer`");
    typed("numeric(18").fails_with("consumers/a.yaml:7:38", "not closed");
    for known in ["Numeric(18, 2)", "timestamp(3) with time zone", "text[]", "double  precision", "public.mood"] {
        typed(known).passes();
    }
}

#[test]
fn a_number_out_of_range_is_one_mistake() {
    for (settings, place) in [
        ("delivery: { batch: { max_records: 99999999999999999999999 } }", "consumers/a.yaml:8:35"),
        ("delivery: { concurrency: 0 }", "consumers/a.yaml:8:26"),
        ("queue: { partitions: 99999999999999999999999 }", "consumers/a.yaml:8:22"),
        ("delivery: { rate_limit: .inf }", "consumers/a.yaml:8:25"),
    ] {
        let validated = root().consumer(&format!("{WAREHOUSE}{settings}\n")).validate(&[]);
        validated.fails_with(place, "");
        validated.counts("1 error, no warnings");
    }
}

#[test]
fn what_this_version_lacks_is_said_so() {
    let once = root().file("analytica.yaml", "version: 1\nkafka: { delivery: exactly_once }\n").validate(&[]);
    once.fails_with("analytica.yaml:2:20", "`kafka.delivery: exactly_once` is not supported in this version");
    let url = WAREHOUSE.replace("sqlite:var/w.db", "clickhouse://db/app");
    root().consumer(&url).validate(&[]).fails_with("consumers/a.yaml:2:31", "`clickhouse://` is not supported in this version");
}
