//! `show` and `pull`: published sets come back byte for byte.

use analytica::config::Files;

use crate::common::{Place, by_path, has, label, said};

/// Bytes that no editor would write: CRLF, no newline at the end, not UTF-8.
const ODD: &[u8] = b"{\"a\": 1}\r\n\xff\xfe";

fn odd() -> Place {
    let place = Place::new();
    std::fs::create_dir_all(place.root.path().join("transforms/deep")).unwrap();
    std::fs::write(place.root.path().join("transforms/deep/odd.json.j2"), ODD).unwrap();
    place
}

#[test]
fn what_was_published_comes_back_byte_for_byte() {
    let place = odd();
    let published = place.publish("Odd");
    let target = tempfile::tempdir().unwrap();
    let folder = target.path().join("new/folder");
    let output = place.analytica(&["pull", folder.to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    let back = Files::read(&folder).unwrap();
    assert_eq!(by_path(&back), by_path(&place.files()));
    assert_eq!(back.digest(&place.environment), published.digest);
    let shown = place.analytica(&["show", "1", "transforms/deep/odd.json.j2"]);
    assert_eq!((shown.status.code(), shown.stdout), (Some(0), ODD.to_vec()));
}

#[test]
fn an_older_revision_can_be_named() {
    let place = Place::new();
    place.publish("One");
    place.file("consumers/third.yaml", &std::fs::read_to_string(place.root.path().join("consumers/lines.yaml")).unwrap());
    place.publish("Two");
    let target = tempfile::tempdir().unwrap();
    assert!(place.analytica(&["pull", target.path().to_str().unwrap(), "--revision", "1"]).status.success());
    assert!(has(target.path(), "consumers/lines.yaml") && !has(target.path(), "consumers/third.yaml"));
    let list = |arguments: &[&str]| String::from_utf8(place.analytica(arguments).stdout).unwrap();
    assert!(!list(&["show", "1"]).contains("third.yaml") && list(&["show"]).contains("consumers/third.yaml"));
    assert!(list(&["show"]).contains("18  schemas/step/1.json"), "sizes: {}", list(&["show"]));
    assert!(list(&["show", "schemas/step/1.json"]).contains(r#"{"type": "object"}"#), "a path alone is of the current set");
}

#[test]
fn a_folder_that_holds_something_is_left_alone_unless_forced() {
    let place = odd();
    let published = place.publish("Odd");
    let target = tempfile::tempdir().unwrap();
    let folder = target.path().to_str().unwrap();
    for (path, text) in [("notes.txt", "mine"), ("sources.yaml", "old"), ("analytica.yaml", "version: 1\n"), ("consumers/gone.yaml", "old")]
    {
        std::fs::create_dir_all(target.path().join("consumers")).unwrap();
        std::fs::write(target.path().join(path), text).unwrap();
    }
    let refused = place.analytica(&["pull", folder]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("is not empty") && said(&refused).contains("--force"), "{}", said(&refused));
    assert_eq!(std::fs::read(target.path().join("sources.yaml")).unwrap(), b"old");

    let forced = place.analytica(&["pull", folder, "--force"]);
    assert!(forced.status.success() && said(&forced).contains("removed consumers/gone.yaml"), "{}", said(&forced));
    assert_eq!(Files::read(target.path()).unwrap().digest(&place.environment), published.digest);
    assert_eq!(std::fs::read(target.path().join("notes.txt")).unwrap(), b"mine");
    assert!(has(target.path(), "analytica.yaml"));
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let place = Place::new();
    assert!(said(&place.analytica(&["show"])).contains("nothing is published"));
    place.publish("One");
    let revision = place.analytica(&["show", "7"]);
    assert_eq!(revision.status.code(), Some(1));
    assert!(said(&revision).contains("no revision 7") && said(&revision).contains("`1`"), "{}", said(&revision));
    let path = place.analytica(&["show", "consumers/lnies.yaml"]);
    assert_eq!((path.status.code(), path.stdout.len()), (Some(1), 0));
    assert!(said(&path).contains("did you mean `consumers/lines.yaml`?"), "{}", said(&path));
    assert!(said(&place.analytica(&["show", "1", "lines.yaml"])).contains("did you mean `consumers/lines.yaml`?"));
    assert_eq!(place.analytica(&["show", "one", "sources.yaml"]).status.code(), Some(2));
}

#[test]
fn a_set_that_is_kept_no_more_says_so() {
    let place = Place::new();
    let first = place.publish("One");
    place.file("sources.yaml", "version: 1\nsources: {}\n");
    place.publish("Two");
    place.raw("DEL", &format!("set:{}", first.digest.0), &[]);
    for arguments in [&["show", "1"][..], &["pull", "/nowhere/at/all", "--revision", "1"]] {
        let output = place.analytica(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("not kept any more"), "{}", said(&output));
    }
}

#[test]
fn nothing_is_written_outside_the_folder() {
    let place = Place::new();
    let evil = [("transforms/../../evil", b"x".to_vec())].into_iter();
    let files: Files = by_path(&place.files()).into_iter().chain(evil.map(|(path, bytes)| (path.to_owned(), bytes))).collect();
    place.publish_as(&files, &label("Evil"));
    let target = tempfile::tempdir().unwrap();
    let output = place.analytica(&["pull", target.path().join("in").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("outside"), "{}", said(&output));
    assert!(!has(target.path(), "evil") && !has(target.path(), "in"));
}
