//! The sinks against what they talk to: files, SQLite, a local HTTP receiver, a real PostgreSQL (`POSTGRES_URL`), the embedded broker.

mod files;
mod http;
mod http2;
mod kafka;
mod postgres;
mod postgres_tls;
mod sqlite;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytica::config::{Delivery, KafkaSettings, OnConflict, SinkSettings, Table, TopicSettings};
use analytica::kafka::Kafka;
use analytica::pipeline::{ColumnType, TableDefinition, Target};
use analytica::sinks::{self, Batch, Blame, Item, Refusal, Sink, SinkError, Verdict};
use bytes::Bytes;
use uuid::Uuid;

fn connect(
    settings: &SinkSettings,
    tables: Vec<TableDefinition>,
    delivery: &Delivery,
    root: &Path,
) -> Result<Option<Arc<dyn Sink>>, SinkError> {
    let kafka = KafkaSettings {
        brokers: vec!["127.0.0.1:1".into()],
        prefix: "test".into(),
        topics: TopicSettings { replication: 1, min_insync: 1, retention: Duration::from_secs(60) },
        exactly_once: false,
        properties: Default::default(),
    };
    sinks::connect("tested", settings, tables, delivery, root, &Kafka::new(&kafka, "test"))
}

fn item(number: usize, payload: &str) -> Item {
    Item {
        id: Uuid::from_u128(number as u128 + 1),
        event: "kyc_submitted".into(),
        key: Some(Bytes::from_static(b"user-1")),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

async fn deliver(sink: &Arc<dyn Sink>, target: &Target, payloads: &[&str]) -> Vec<Verdict> {
    let items = payloads.iter().enumerate().map(|(number, payload)| item(number, payload)).collect();
    let verdicts = sink.deliver(&Batch { target: Arc::new(target.clone()), items }).await;
    assert_eq!(verdicts.len(), payloads.len());
    verdicts
}

fn refusal(verdict: &Verdict) -> &Refusal {
    match verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn blames(verdicts: &[Verdict]) -> Vec<Option<Blame>> {
    verdicts.iter().map(|verdict| if let Verdict::Refused(refusal) = verdict { Some(refusal.blame) } else { None }).collect()
}

fn table(name: &str, key: &[&str], on_conflict: OnConflict) -> Table {
    Table { name: name.into(), key: key.iter().map(|&name| name.into()).collect(), on_conflict }
}

fn definition(table: &Table, columns: &[(&str, ColumnType)]) -> TableDefinition {
    TableDefinition { table: table.clone(), columns: columns.iter().map(|(name, column)| ((*name).into(), column.clone())).collect() }
}

#[test]
fn a_queue_sink_has_no_worker() {
    let sink = connect(&SinkSettings::Queue, Vec::new(), &Delivery::default(), Path::new(""));
    assert!(sink.is_ok_and(|sink| sink.is_none()));
}
