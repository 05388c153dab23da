//! Publishers that meet, and publishers that die.

use std::process::Stdio;
use std::time::Duration;

use analytica::publish::{Applied, ApplyError, Checkout, Publisher};
use analytica::store::{Publication, Redis};
use rand::RngExt;

use crate::root::Root;

/// `current` names a set that is there and fits its digest.
async fn is_whole(redis: &mut Redis) -> Publication {
    let current = redis.current().await.unwrap().expect("something is published");
    redis.set(&current.digest).await.unwrap().expect("its set is there");
    current
}

#[tokio::test]
async fn of_two_that_saw_the_same_one_wins() {
    let one = Root::starter();
    let other = one.twin();
    let mut redis = one.redis();
    for round in 0..50 {
        one.file("transforms/a.json.j2", &format!("{{\"one\": {round}}}"));
        other.file("transforms/a.json.j2", &format!("{{\"other\": {round}}}"));
        let (mut first, mut second) = (Publisher::new(one.redis()), Publisher::new(other.redis()));
        let (a, b) =
            (first.root(one.files(), &Checkout::default()).await.unwrap(), second.root(other.files(), &Checkout::default()).await.unwrap());
        let digests = [a.new.digest.clone(), b.new.digest.clone()];
        let (a, b) = tokio::join!(first.publish(a), second.publish(b));
        let current = is_whole(&mut redis).await;
        let (winner, loser, digest) = if a.is_ok() { (a, b, &digests[0]) } else { (b, a, &digests[1]) };
        assert!(matches!(winner, Ok(Applied::Published(_))), "{winner:?}");
        let Err(ApplyError::Conflict(Some(seen))) = loser else { panic!("round {round}: {loser:?}") };
        assert_eq!((&current.digest, current.revision.generation, *seen), (digest, round + 1, current.clone()));
    }
}

#[tokio::test]
async fn two_binaries_at_once_leave_one_of_the_two_sets() {
    let one = Root::starter();
    let other = one.twin();
    let mut redis = one.redis();
    let mut refused = 0;
    for round in 0..15 {
        one.file("transforms/a.json.j2", &format!("{{\"one\": {round}}}"));
        other.file("transforms/a.json.j2", &format!("{{\"other\": {round}}}"));
        let started = [&one, &other].map(|root| root.command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let codes = started.map(|mut child| child.wait().unwrap().code().unwrap());
        // one that begins when the other has ended may publish too: then both are in the history
        assert!(codes.iter().all(|code| [0, 4].contains(code)) && codes.contains(&0), "round {round}: {codes:?}");
        refused += codes.iter().filter(|code| **code == 4).count();
        let current = is_whole(&mut redis).await;
        assert!([&one, &other].iter().any(|root| root.files().digest(&root.environment) == current.digest));
    }
    let published = redis.history(100).await.unwrap().len();
    assert_eq!(published + refused, 30);
}

#[tokio::test]
async fn an_apply_that_is_killed_leaves_a_whole_set_and_nothing_in_the_way() {
    let root = Root::starter();
    let mut redis = root.redis();
    assert_eq!(root.run(&["apply"]).code, 0);
    for round in 0..20 {
        root.file("transforms/a.json.j2", &format!("{{\"killed\": {round}}}"));
        let mut child = root.command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..120))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        is_whole(&mut redis).await;
        root.file("transforms/a.json.j2", &format!("{{\"after\": {round}}}"));
        let ran = root.run(&["apply"]);
        assert_eq!(ran.code, 0, "round {round}: {ran:?}");
        assert_eq!(is_whole(&mut redis).await.digest, root.files().digest(&root.environment));
    }
}
