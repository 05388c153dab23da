//! The file sink.

use analytica::config::{Delivery, FileSink, Resolved, SinkSettings};
use analytica::pipeline::Target;
use analytica::sinks::{Blame, Verdict};

use super::{blames, connect, deliver};

fn settings(directory: Option<&str>) -> SinkSettings {
    SinkSettings::File(FileSink { directory: directory.map(|directory| Resolved::new(directory, directory)), stdout: false })
}

#[tokio::test]
async fn payloads_are_appended_as_lines() {
    let root = tempfile::tempdir().expect("a folder");
    let sink = connect(&settings(Some("out")), Vec::new(), &Delivery::default(), root.path()).expect("good").expect("a sink");
    sink.prepare().await.expect("a folder can be made");
    let target = Target::Path("steps/kyc.ndjson".into());
    assert_eq!(deliver(&sink, &target, &[r#"{"a":1}"#, "{\n\"a\": 2}"]).await, [Verdict::Delivered, Verdict::Delivered]);
    deliver(&sink, &target, &[r#"{"a":3}"#]).await;
    let written = std::fs::read_to_string(root.path().join("out/steps/kyc.ndjson")).expect("the file");
    assert_eq!(written, "{\"a\":1}\n{ \"a\": 2}\n{\"a\":3}\n");
}

#[tokio::test]
async fn batches_that_are_written_at_once_keep_their_lines_whole() {
    let root = tempfile::tempdir().expect("a folder");
    let sink = connect(&settings(None), Vec::new(), &Delivery::default(), root.path()).expect("good").expect("a sink");
    let line = format!("{{\"a\":\"{}\"}}", "x".repeat(5_000));
    let target = Target::Path("a.ndjson".into());
    let batch = [line.as_str(); 20];
    futures_util::future::join_all((0..8).map(|_| deliver(&sink, &target, &batch))).await;
    let written = std::fs::read_to_string(root.path().join("a.ndjson")).expect("the file");
    assert_eq!(written.lines().filter(|written| *written == line).count(), 160);
    assert_eq!(written.lines().count(), 160);
}

#[tokio::test]
async fn a_path_out_of_the_folder_is_refused_for_everybody() {
    let root = tempfile::tempdir().expect("a folder");
    let sink = connect(&settings(Some("out")), Vec::new(), &Delivery::default(), root.path()).expect("good").expect("a sink");
    for path in ["../a", "/tmp/a", "a/../../b"] {
        assert_eq!(blames(&deliver(&sink, &Target::Path(path.into()), &["{}"]).await), [Some(Blame::Configuration)]);
    }
    assert_eq!(std::fs::read_dir(root.path()).expect("the root").count(), 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_the_configurations_fault() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::write(root.path().join("out"), "a file").expect("written");
    let sink = connect(&settings(Some("out/put")), Vec::new(), &Delivery::default(), root.path()).expect("good").expect("a sink");
    assert_eq!(sink.prepare().await.map_err(|refusal| refusal.blame), Err(Blame::Configuration));
}
