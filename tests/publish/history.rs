//! `history`: what was published.

use analytica::store::{Expected, Kind, Label, Outcome, Revision};
use serde_json::Value;

use crate::common::{Place, label, said};

fn history(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let output = place.analytica(&[&["history", "--format", "json"], arguments].concat());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(&output)));
    list["publications"].as_array().expect("a list").clone()
}

/// Three publications: an apply, one of other files, the first again.
fn three() -> Place {
    let place = Place::new();
    let first = place.files();
    place.publish("Begins");
    place.file("transforms/line.json.j2", r#"{"id": {{ event.messageId }}, "v": 2}"#);
    let forced = Label { forced: true, dirty: true, by: "bob".to_owned(), ..label("Second\nline") };
    let second = place.publish_as(&place.files(), &forced);
    let rollback = Label { kind: Kind::Rollback, git_commit: None, message: None, ..label("") };
    let mut redis = place.redis.clone();
    let expected = Expected::from(Some(&second));
    let done = place.wait(redis.publish(&first, &expected, Revision { epoch: 1, generation: 3 }, &rollback));
    assert!(matches!(done, Ok(Outcome::Published(_))), "{done:?}");
    place
}

#[test]
fn the_newest_is_first_and_the_current_one_is_marked() {
    let place = three();
    let list = history(&place, &[]);
    let of = |name: &str| list.iter().map(|entry| entry[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("revision"), ["3", "2", "1"]);
    assert_eq!(of("kind"), ["rollback", "apply", "apply"]);
    assert_eq!(of("forced"), [false, true, false]);
    assert_eq!(of("dirty"), [false, true, false]);
    assert_eq!(of("by"), ["ana", "bob", "ana"]);
    assert_eq!(of("current"), [true, false, false]);
    assert_eq!(list[0]["digest"], list[2]["digest"]);
    assert_eq!((&list[0]["git_commit"], &list[0]["message"]), (&Value::Null, &Value::Null));
    assert_eq!((&list[2]["schemas"], &list[2]["consumers"]), (&Value::from(1), &Value::from(2)));
}

#[test]
fn people_see_a_line_a_publication() {
    let place = three();
    let output = place.analytica(&["history"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].starts_with("*  3") && lines[1].contains("rollback"), "{text}");
    assert!(lines[2].contains("apply, forced") && lines[2].contains("0123456789ab (dirty)"), "{text}");
    assert!(lines[2].contains("Second line"), "a message stays on its line: {text}");
    assert!(lines[3].contains("1 schemas, 1 transforms, 2 consumers") && lines[3].contains("Begins"), "{text}");
}

#[test]
fn a_limit_keeps_the_newest() {
    let place = three();
    let list = history(&place, &["--limit", "2"]);
    assert_eq!(list.iter().map(|entry| entry["generation"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn nothing_published_is_said() {
    let place = Place::new();
    let output = place.analytica(&["history"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(said(&output).contains("nothing was published") && said(&output).contains(&place.environment), "{}", said(&output));
}
