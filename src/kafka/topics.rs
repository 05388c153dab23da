//! Owned topics: whether they are there, can be written, and have the partitions that the config set says; making those that are missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{ADMIN_TIMEOUT, Kafka, KafkaError};
use crate::config::ConfigSet;

/// A topic that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedTopic {
    pub name: Arc<str>,
    pub partitions: u32,
}

/// What became of one topic that was to be there.
#[derive(Debug)]
pub enum Ensured {
    Present,
    Created,
    /// It is not as it should be, and was not touched: missing, of other partitions, or closed to us.
    Wrong(KafkaError),
}

impl Kafka {
    /// Every topic that a set writes to: a queue and a dead-letter topic for each consumer, and the one of the rejected.
    pub fn owned_topics(&self, set: &ConfigSet) -> Vec<OwnedTopic> {
        let mut topics = vec![OwnedTopic { name: self.rejected_topic(), partitions: 1 }];
        for consumer in set.consumers.values() {
            topics.push(OwnedTopic { name: self.queue_topic(&consumer.name), partitions: consumer.queue.partitions });
            topics.push(OwnedTopic { name: self.dead_topic(&consumer.name), partitions: 1 });
        }
        topics
    }

    /// How many partitions each topic has, for the topics that exist. Blocks for up to 15 s.
    pub fn partitions(&self, topics: &[&str]) -> Result<BTreeMap<String, u32>, KafkaError> {
        partitions_of(&self.admin()?, topics)
    }

    /// Makes the topics that are missing (where `create`), and says what became of each, in order. A topic of other partitions is reported, never changed.
    /// Fails where Kafka cannot be asked at all.
    pub async fn ensure_topics(&self, topics: Vec<OwnedTopic>, create: bool) -> Result<Vec<Ensured>, KafkaError> {
        let kafka = self.clone();
        let seen = tokio::task::spawn_blocking(move || {
            let admin = kafka.admin()?;
            let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
            let found = partitions_of(&admin, &names)?;
            Ok::<_, KafkaError>((admin, found, topics))
        });
        let (admin, found, topics) = seen.await.map_err(|_| KafkaError::new("look at the owned topics", ClientError::Canceled))??;
        let mut ensured = Vec::with_capacity(topics.len());
        for topic in topics {
            ensured.push(match found.get(&*topic.name) {
                Some(partitions) if *partitions == topic.partitions => Ensured::Present,
                Some(&found) => Ensured::Wrong(KafkaError::Partitions { topic: topic.name.to_string(), wanted: topic.partitions, found }),
                None if !create => Ensured::Wrong(KafkaError::NoTopic { topic: topic.name.to_string() }),
                None => match self.create(&admin, &topic).await {
                    Ok(()) => Ensured::Created,
                    Err(error) => Ensured::Wrong(error),
                },
            });
        }
        Ok(ensured)
    }

    /// Owned topics whose retention, replication or smallest in-sync set is not what analytica.yaml asks for, in words. They are left as they are.
    pub async fn differing_topics(&self, set: &ConfigSet) -> Result<Vec<String>, KafkaError> {
        let (kafka, topics) = (self.clone(), self.owned_topics(set));
        let doing = "look at the owned topics' settings";
        let seen = tokio::task::spawn_blocking(move || {
            let admin = kafka.admin()?;
            let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
            let replicas = replicas_of(&admin, &names)?;
            Ok::<_, KafkaError>((admin, replicas))
        });
        let (admin, replicas) = seen.await.map_err(|_| KafkaError::new(doing, ClientError::Canceled))??;
        let wanted = self.topic_settings();
        let mut differing = Vec::new();
        for (topic, replicas) in replicas.iter().filter(|(_, replicas)| i32::try_from(**replicas) != Ok(wanted.replication)) {
            differing.push(format!("{topic} has {replicas} replicas, {} are asked for", wanted.replication));
        }
        let asked: Vec<ResourceSpecifier<'_>> = replicas.keys().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        let described = admin.describe_configs(&asked, &options).await.map_err(|source| KafkaError::new(doing, source))?;
        let settings = [("retention.ms", wanted.retention.as_millis().to_string()), ("min.insync.replicas", wanted.min_insync.to_string())];
        for (topic, described) in replicas.keys().zip(described) {
            let described = described.map_err(|code| KafkaError::new(format!("look at {topic}'s settings"), ClientError::AdminOp(code)))?;
            for (name, asked) in &settings {
                let has = described.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
                if has != *asked {
                    differing.push(format!("{topic} has {name}={has}, {asked} is asked for"));
                }
            }
        }
        Ok(differing)
    }

    async fn create(&self, admin: &AdminClient<DefaultClientContext>, topic: &OwnedTopic) -> Result<(), KafkaError> {
        let doing = format!("create topic {}", topic.name);
        if let Some(embedded) = self.embedded() {
            return embedded.create_topic(&topic.name, topic.partitions);
        }
        let settings = self.topic_settings();
        let (min_insync, retention) = (settings.min_insync.to_string(), settings.retention.as_millis().to_string());
        let new = NewTopic::new(&topic.name, topic.partitions as i32, TopicReplication::Fixed(settings.replication))
            .set("min.insync.replicas", &min_insync)
            .set("retention.ms", &retention);
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT));
        let results = admin.create_topics([&new], &options).await.map_err(|source| KafkaError::new(doing.as_str(), source))?;
        match results.into_iter().next() {
            // Somebody else was faster
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(KafkaError::new(doing, ClientError::AdminOp(code))),
            None => Err(KafkaError::new(doing, ClientError::Canceled)),
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
        self.admin_config().create().map_err(|source| KafkaError::new("start an admin client", source))
    }
}

/// Of the first partition, for the topics that exist.
fn replicas_of(admin: &AdminClient<DefaultClientContext>, topics: &[&str]) -> Result<BTreeMap<String, usize>, KafkaError> {
    let metadata = admin.inner().fetch_metadata(None, ADMIN_TIMEOUT).map_err(|source| KafkaError::new("look at the topics", source))?;
    let ours = metadata.topics().iter().filter(|topic| topics.contains(&topic.name()));
    Ok(ours.map(|topic| (topic.name().to_string(), topic.partitions().first().map_or(0, |first| first.replicas().len()))).collect())
}

fn partitions_of(admin: &AdminClient<DefaultClientContext>, topics: &[&str]) -> Result<BTreeMap<String, u32>, KafkaError> {
    // All topics are asked for: naming one that is missing would make it where brokers create topics by themselves
    let metadata = admin.inner().fetch_metadata(None, ADMIN_TIMEOUT).map_err(|source| KafkaError::new("look at the topics", source))?;
    let mut found = BTreeMap::new();
    for topic in metadata.topics().iter().filter(|topic| topics.contains(&topic.name())) {
        if let Some(code) = topic.error().map(RDKafkaErrorCode::from) {
            return Err(KafkaError::new(format!("look at topic {}", topic.name()), ClientError::MetadataFetch(code)));
        }
        // Kafka counts partitions in an i32
        found.insert(topic.name().to_string(), topic.partitions().len() as u32);
    }
    Ok(found)
}
