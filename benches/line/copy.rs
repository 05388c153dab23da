//! The floor: records in, the same number of records of the same size out, and nothing between. It never commits: it is killed when it is done.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};

use crate::measure::client;

/// The three output topics of a copy.
pub fn outputs(prefix: &str) -> Vec<String> {
    (0..3).map(|output| format!("{prefix}.copy{output}")).collect()
}

/// Copies until it is killed: every record to two topics, every third to a third one, with headers as large as a queue record's.
pub fn run(events_topic: &str, prefix: &str) {
    let mut config = client();
    config.set("group.id", prefix).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("consumer");
    consumer.subscribe(&[events_topic]).expect("subscribe");
    let mut config = client();
    config.set("enable.idempotence", "true").set("linger.ms", "0");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("producer");
    let outputs = outputs(prefix);
    let mut count = 0_u64;
    loop {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("message");
        let value = message.payload().expect("value");
        for (output, topic) in outputs.iter().enumerate() {
            if output == 2 && !count.is_multiple_of(3) {
                continue;
            }
            // half of an event is about a payload's size; the event itself rides along in a header
            let mut record = BaseRecord::<[u8], [u8]>::to(topic)
                .partition(message.partition())
                .payload(&value[..value.len() / 2])
                .headers(headers(value));
            if let Some(key) = message.key() {
                record = record.key(key);
            }
            while let Err((_, again)) = producer.send(record) {
                record = again;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        count += 1;
    }
}

fn headers(original: &[u8]) -> OwnedHeaders {
    let fixed: [(&str, &[u8]); 7] = [
        ("delivery-id", b"0b0f8f2e-0000-5000-8000-000000000000"),
        ("event", b"application_started"),
        ("route", b"events"),
        ("sink", b"warehouse"),
        ("target", br#"{"table":{"name":"events","key":["event_id"],"on_conflict":"ignore"}}"#),
        ("origin", b"web.events/3/123456/1767600000000"),
        ("revision", &[b'a'; 64]),
    ];
    let headers = OwnedHeaders::new_with_capacity(8).insert(Header { key: "original", value: Some(original) });
    fixed.into_iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
