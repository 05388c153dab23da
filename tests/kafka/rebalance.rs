//! Partitions that move between members of a group.

use std::collections::BTreeSet;
use std::time::Duration;

use analytica::kafka::Message;

use crate::world::{World, next, number, until};

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_to_a_second_member_without_loss() {
    let world = World::real().with_events(4).await;
    for partition in 0..4 {
        world.produce(partition, 0..10).await;
    }
    let (first, messages) = world.source();
    let mut held: Vec<Message> = (0..40).map(|_| next(&messages)).collect();
    let (second, others) = world.source();
    for message in held.extract_if(.., |message| number(message) < 5) {
        message.ticket.done();
    }
    until("some partitions are revoked", || held.iter().any(|message| message.ticket.revoked().is_cancelled())).await;
    let moved: Vec<Message> = held.extract_if(.., |message| message.ticket.revoked().is_cancelled()).collect();
    let expected: BTreeSet<(i32, usize)> = moved.iter().map(|message| (message.origin.partition, number(message))).collect();
    drop(moved);
    let seen: BTreeSet<(i32, usize)> =
        (0..expected.len()).map(|_| next(&others)).map(|message| (message.origin.partition, number(&message))).collect();
    assert_eq!(seen, expected);
    drop(held);
    first.stop(Duration::ZERO).await.expect("it stops");
    second.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_paused_when_it_was_taken_away_delivers_again_when_it_comes_back() {
    let world = World::real().with_events(2).await;
    for partition in 0..2 {
        world.produce(partition, 0..20).await;
    }
    let (first, messages) = world.narrow_source(5);
    let mut held: Vec<Message> = (0..10).map(|_| next(&messages)).collect();
    until("both are paused", || first.paused() == 2).await;

    let (second, others) = world.narrow_source(5);
    until("one is taken away", || held.iter().any(|message| message.ticket.revoked().is_cancelled())).await;
    let moved: Vec<Message> = held.extract_if(.., |message| message.ticket.revoked().is_cancelled()).collect();
    let partition = moved[0].origin.partition;
    drop(moved);
    let taken = next(&others);
    assert_eq!((taken.origin.partition, number(&taken)), (partition, 0));
    drop((taken, others));
    second.stop(Duration::ZERO).await.expect("it stops");

    let mut seen = Vec::new();
    while seen.len() < 20 {
        let message = next(&messages);
        assert_eq!(message.origin.partition, partition, "the other one is still held");
        seen.push(number(&message));
        message.ticket.done();
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    drop(held);
    first.stop(Duration::ZERO).await.expect("it stops");
}
