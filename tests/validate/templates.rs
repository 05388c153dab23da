//! What is found in templates before any event is there.

use super::{QUEUE, WAREHOUSE, root};

const TRANSFORM: &str = "transforms/a.json.j2";

#[test]
fn a_call_with_a_wrong_number_of_arguments_is_found() {
    for (expression, words) in [
        ("event.a | replace(\"x\")", "the filter `replace` takes 2 to 3 arguments, not 1"),
        ("event.a | upper(1)", "write `| upper`"),
        ("event.a | truncate(20)", "write `| truncate(length=…)`"),
        ("event.a | round(precison=2)", "did you mean `precision`?"),
        ("event.a is divisibleby", "the test `divisibleby` takes 1 argument, not 0"),
        ("uuid5(\"dns\")", "the function `uuid5` takes 2 arguments, not 1"),
        ("now(1)", "the function `now` takes no arguments"),
    ] {
        let template = root().consumer(QUEUE).file(TRANSFORM, &format!("{{\"a\": {{{{ {expression} }}}}}}")).validate(&[]);
        template.fails_with("transforms/a.json.j2:1:", words);
        template.counts("1 error");
        let column = root().consumer(&WAREHOUSE.replace("event.messageId", &format!("'{expression}'"))).validate(&[]);
        column.fails_with("consumers/a.yaml:7:", words);
        column.counts("1 error");
    }
    for fine in
        ["event.a | round(2)", "event.a | round(precision=2)", "event.a | default", "range(3)", "event.a | join(\",\", attribute=\"x\")"]
    {
        root().consumer(QUEUE).file(TRANSFORM, &format!("{{\"a\": {{{{ {fine} }}}}}}")).validate(&[]).passes();
    }
}

#[test]
fn a_template_that_can_never_be_json_is_found() {
    for (text, place, words) in [
        ("{\"a\": {{ event.a }}", "1:1", "the `{` here is never closed"),
        ("{\"a\": 1,}", "1:9", "a name in quotes must stand"),
        ("{\"a\": [{{ event.a }},]}", "1:22", "a value must stand"),
        ("{\n  \"a\": {{ event.a }}\n  \"b\": 1\n}", "3:3", "`,` or `}` must stand"),
        ("{\"a\" {{ event.a }}}", "1:9", "`:` must stand"),
        ("{{ event.a }} {{ event.b }}", "1:18", "the payload is complete"),
        ("{\"a\": 1}}", "1:9", "the payload is complete"),
        ("{% if event.a %}{\"a\": 1{% else %}{\"b\": 2{% endif %}", "1:17", "never closed"),
        ("{\"a\": [{% for x in event.a %}{{ x }} {{ x }}{% else %}1 1{% endfor %}]}", "1:57", "`,` or `]` must stand"),
        ("// a note\n{\"a\": 1}", "1:1", "a value must stand"),
    ] {
        let validated = root().consumer(QUEUE).file(TRANSFORM, text).validate(&[]);
        validated.fails_with(&format!("transforms/a.json.j2:{place}"), words);
        validated.counts("1 error");
    }
}

#[test]
fn a_template_that_may_be_json_is_left_alone() {
    for text in [
        "",
        "{% if event.a %}{\"a\": 1}{% endif %}",
        "{\"a\": [{% for x in event.a %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}]}",
        "{\"a\": [{% for x in event.a %}{{ x }},{% endfor %}]}",
        "{% for x in event.a %}{\"a\": {{ x }}}{% endfor %}",
        "{\"a\": -{{ event.a }}{{ event.b }}.5}",
        "{\"a\": 1{% if event.b %}, \"b\": 2{% endif %}}",
        "{% if event.a %}{ {% endif %}\"a\": 1{% if event.a %}}{% endif %}",
        "{ {{ event.a }}: \"[{ {{ event.b }}\\\"\", \"c\": [] , \"d\": {}, \"e\": true }",
        "{% macro pair(x) %}\"a\": {{ x }}{% endmacro %}{ {{ pair(1) }} }",
        "{% include \"_open.j2\" %}\"a\": 1}",
        "{% set x %}}}{% endset %}{{ x }}",
        "{\"id\": {{ uuid4() }}, \"at\": \"{{ now() }}\", \"up\": {{ event.a.upper() }}, \"j\": {{ event.a | tojson }}}",
    ] {
        root().consumer(QUEUE).file("transforms/_open.j2", "{").file(TRANSFORM, text).validate(&[]).passes();
    }
}
