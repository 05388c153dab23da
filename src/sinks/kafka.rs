//! The kafka sink: payloads onto another topic, of the same cluster or another one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use indexmap::IndexMap;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::OnceCell;

use super::refusal::refuse_all;
use super::{Batch, Blame, Item, Refusal, Sink, SinkError, Verdict};
use crate::config::{Delivery, KafkaSink, Resolved};
use crate::kafka::{Kafka, KafkaError, Output, ProduceError, Producer};
use crate::pipeline::{Target, TopicTarget};

/// Produces to the topics that targets name.
pub(super) struct Topics {
    kafka: Kafka,
    /// Made by the first use: a producer begins to look for its brokers at once.
    producer: OnceCell<Producer>,
}

impl Topics {
    pub(super) fn new(name: &str, settings: &KafkaSink<Resolved>, delivery: &Delivery, kafka: &Kafka) -> Result<Topics, SinkError> {
        let brokers = settings.brokers.as_ref().map(|brokers| brokers.iter().map(|broker| broker.expose().to_owned()).collect::<Vec<_>>());
        if brokers.as_ref().is_some_and(|brokers| brokers.iter().all(|broker| broker.trim().is_empty())) {
            return Err(SinkError::setting(name, "brokers", "there is none"));
        }
        let properties = properties(&settings.properties, delivery.timeout);
        Ok(Topics { kafka: kafka.elsewhere(brokers, properties), producer: OnceCell::new() })
    }

    async fn producer(&self) -> Result<&Producer, Refusal> {
        let made = self.producer.get_or_try_init(|| async { Producer::new(&self.kafka) }).await;
        made.map_err(|error| Refusal::new(Blame::Configuration, error.to_string()))
    }
}

/// The sink's own properties. A record that finds no broker within delivery.timeout is given up by the client itself: a call that we gave up would still
/// be in its buffer, and come twice after the retry. A little earlier than the delivery does, because the client looks at its buffer once a second.
fn properties(settings: &IndexMap<String, Resolved>, timeout: Duration) -> IndexMap<String, Resolved> {
    let millis = (timeout * 9 / 10).as_millis().max(1).to_string();
    let mut properties = IndexMap::from([("message.timeout.ms".to_owned(), Resolved::new(millis.clone(), millis))]);
    properties.extend(settings.iter().map(|(name, value)| (name.clone(), value.clone())));
    properties
}

impl Sink for Topics {
    fn deliver<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let Target::Topic(target) = &*batch.target else {
                return refuse_all(batch.items.len(), Refusal::unfit(&batch.target, "kafka"));
            };
            let producer = match self.producer().await {
                Ok(producer) => producer,
                Err(refusal) => return refuse_all(batch.items.len(), refusal),
            };
            // Polled in order, so produced in order.
            let acknowledged = join_all(batch.items.iter().map(|item| producer.produce(output(target, item)))).await;
            acknowledged
                .into_iter()
                .map(|result| result.map_or_else(|error| Verdict::Refused(classify(&error)), |()| Verdict::Delivered))
                .collect()
        })
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move { self.producer().await.map(|_| ()) })
    }
}

fn output(target: &TopicTarget, item: &Item) -> Output {
    let key = match &target.key {
        Some(key) => Some(key.clone().into_bytes()),
        None => item.key.as_ref().map(|key| key.to_vec()),
    };
    Output {
        topic: Arc::from(target.name.as_str()),
        partition: -1,
        key,
        value: item.payload.to_vec(),
        headers: vec![("delivery-id", item.id.to_string().into_bytes()), ("event", item.event.as_bytes().to_vec())],
    }
}

fn classify(error: &ProduceError) -> Refusal {
    match error {
        ProduceError::TooLarge { .. } => Refusal::new(Blame::Size, error.to_string()).code("MessageSizeTooLarge"),
        ProduceError::Kafka(KafkaError::Client { source, .. } | KafkaError::Denied { source, .. }) => match source.rdkafka_error_code() {
            Some(code) => Refusal::new(blame(code), error.to_string()).code(format!("{code:?}")),
            None => Refusal::new(Blame::Sink, error.to_string()),
        },
        ProduceError::Kafka(KafkaError::NoTopic { .. }) => Refusal::new(Blame::Configuration, error.to_string()),
        ProduceError::Kafka(_) => Refusal::new(Blame::Sink, error.to_string()),
    }
}

/// Whose fault an answer of the broker or the client is.
fn blame(code: Code) -> Blame {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Blame::Size,
        Code::InvalidRecord | Code::InvalidTimestamp => Blame::Record,
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::SSL
        | Code::PolicyViolation => Blame::Configuration,
        _ => Blame::Sink,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_brokers_answer_says_whose_fault_it_is() {
        for (code, expected) in [
            (Code::MessageSizeTooLarge, Blame::Size),
            (Code::InvalidRecord, Blame::Record),
            (Code::UnknownTopicOrPartition, Blame::Configuration),
            (Code::TopicAuthorizationFailed, Blame::Configuration),
            (Code::MessageTimedOut, Blame::Sink),
            (Code::NotEnoughReplicas, Blame::Sink),
            (Code::AllBrokersDown, Blame::Sink),
            (Code::QueueFull, Blame::Sink),
        ] {
            assert_eq!(blame(code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_record_is_keyed_by_its_target_or_else_as_on_the_queue() {
        let item = Item {
            id: Uuid::nil(),
            event: "kyc_started".into(),
            key: Some(Bytes::from_static(b"user-1")),
            payload: Bytes::from_static(b"{}"),
        };
        let target = |key: Option<&str>| TopicTarget { name: "out".into(), key: key.map(str::to_owned) };
        assert_eq!(output(&target(None), &item).key.as_deref(), Some(&b"user-1"[..]));
        let output = output(&target(Some("loan-1")), &item);
        assert_eq!(output.key.as_deref(), Some(&b"loan-1"[..]));
        assert_eq!(
            output.headers,
            vec![("delivery-id", b"00000000-0000-0000-0000-000000000000".to_vec()), ("event", b"kyc_started".to_vec())]
        );
    }

    #[test]
    fn the_client_gives_up_when_the_delivery_does_unless_told_otherwise() {
        let of = |settings: IndexMap<String, Resolved>| {
            properties(&settings, Duration::from_secs(10))
                .iter()
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(IndexMap::new()), ["message.timeout.ms=9000"]);
        assert_eq!(of(IndexMap::from([("message.timeout.ms".into(), Resolved::new("5", "5"))])), ["message.timeout.ms=5"]);
    }
}
