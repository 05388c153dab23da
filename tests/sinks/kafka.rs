//! The kafka sink on the embedded broker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytica::config::{Delivery, KafkaSink, Resolved, SinkSettings};
use analytica::kafka::Embedded;
use analytica::pipeline::{Target, TopicTarget};
use analytica::sinks::{self, Blame, Sink, Verdict};
use indexmap::IndexMap;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::{blames, deliver};

fn sink(broker: &Embedded, brokers: Option<Vec<Resolved>>, delivery: &Delivery) -> Arc<dyn Sink> {
    let settings = SinkSettings::Kafka(KafkaSink { brokers, properties: IndexMap::new() });
    sinks::connect("tested", &settings, Vec::new(), delivery, Path::new(""), &broker.kafka("test")).expect("good").expect("a sink")
}

fn topic(key: Option<&str>) -> Target {
    Target::Topic(TopicTarget { name: "steps".into(), key: key.map(str::to_owned) })
}

/// Key, headers and value of all records on a topic of one partition.
fn records(broker: &Embedded, count: usize) -> Vec<(String, String, String)> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", broker.kafka("test").brokers()).set("group.id", "reader").create().expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset("steps", 0, Offset::Beginning).expect("an offset");
    consumer.assign(&partitions).expect("assigned");
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    (0..count)
        .map(|_| {
            let record = consumer.poll(Duration::from_secs(10)).expect("a record in time").expect("a record");
            let headers = record
                .headers()
                .expect("headers")
                .iter()
                .map(|header| format!("{}={}", header.key, text(header.value)))
                .collect::<Vec<_>>();
            (text(record.key()), headers.join(" "), text(record.payload()))
        })
        .collect()
}

#[tokio::test]
async fn payloads_go_to_the_topic_in_order_with_their_ids() {
    let broker = Embedded::start().expect("a broker");
    broker.create_topic("steps", 1).expect("a topic");
    let sink = sink(&broker, None, &Delivery::default());
    sink.prepare().await.expect("ready");
    assert_eq!(deliver(&sink, &topic(None), &["{\"n\":1}", "{\"n\":2}"]).await, [Verdict::Delivered, Verdict::Delivered]);
    assert_eq!(deliver(&sink, &topic(Some("loan-1")), &["{\"n\":3}"]).await, [Verdict::Delivered]);
    let id = |number: u32| format!("delivery-id=00000000-0000-0000-0000-00000000000{number} event=kyc_submitted");
    let expected = [("user-1", id(1), "{\"n\":1}"), ("user-1", id(2), "{\"n\":2}"), ("loan-1", id(1), "{\"n\":3}")];
    assert_eq!(records(&broker, 3), expected.map(|(key, headers, value)| (key.to_owned(), headers, value.to_owned())));
}

#[tokio::test]
async fn another_cluster_is_reached_by_its_own_brokers() {
    let (ours, theirs) = (Embedded::start().expect("a broker"), Embedded::start().expect("a broker"));
    theirs.create_topic("steps", 1).expect("a topic");
    let brokers = theirs.kafka("test").brokers();
    let sink = sink(&ours, Some(vec![Resolved::new("${BROKERS}", brokers)]), &Delivery::default());
    assert_eq!(deliver(&sink, &topic(None), &["{}"]).await, [Verdict::Delivered]);
    assert_eq!(records(&theirs, 1).len(), 1);
}

#[tokio::test]
async fn a_cluster_that_is_down_is_the_sinks_fault_and_is_served_again_when_it_is_back() {
    let broker = Embedded::start().expect("a broker");
    broker.create_topic("steps", 1).expect("a topic");
    let sink = sink(&broker, None, &Delivery { timeout: Duration::from_millis(300), ..Delivery::default() });
    sink.prepare().await.expect("ready");
    broker.set_down(true).expect("down");
    assert_eq!(blames(&deliver(&sink, &topic(None), &["{\"n\":1}"]).await), [Some(Blame::Sink)]);
    broker.set_down(false).expect("up");
    while blames(&deliver(&sink, &topic(None), &["{\"n\":1}"]).await) != [None] {}
    assert_eq!(records(&broker, 1)[0].2, "{\"n\":1}");
}
