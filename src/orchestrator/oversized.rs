//! Outputs that are too large for their topic: a delivery becomes a dead letter; a dead letter or rejection becomes a stub that keeps its origin.

use jiff::Timestamp;

use crate::kafka::{DeadHeaders, Kafka, Owned, QueueHeaders, TooLarge};

/// How much of the value a stub keeps, bytes; enough for people to see what it was.
const STUB_VALUE: usize = 4 << 10;
/// The same of each header that may be cut.
const STUB_HEADER: usize = 512;
/// How many bytes the value had before it was cut.
const CUT: &str = "cut-from";

/// What is produced in place of the output, as a record with any headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instead {
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// None: nothing smaller is left to try, or the topic is none of ours.
pub(super) fn instead(kafka: &Kafka, output: &TooLarge, now: Timestamp) -> Option<Instead> {
    if output.headers.iter().any(|(name, _)| name == CUT) {
        return None;
    }
    match kafka.owner(&output.topic)? {
        Owned::Queue(consumer) => {
            let bytes = output.value.len() + output.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            let error = format!("the record of {bytes} bytes is larger than its queue topic takes");
            let dead = DeadHeaders::new(consumer.into(), "produce", "too_large", error, now);
            let dead = match QueueHeaders::decode(&output.headers) {
                Ok(delivery) => dead.of(delivery),
                // We wrote them a moment ago; should they not read, the payload is still worth keeping
                Err(_) => dead,
            };
            let headers = dead.encode().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
            Some(Instead { topic: kafka.dead_topic(consumer).to_string(), key: output.key.clone(), value: output.value.clone(), headers })
        }
        Owned::Dead(_) | Owned::Rejected => Some(stub(output)),
    }
}

/// The value cut, what may be long left out or cut, origin and ids kept.
fn stub(output: &TooLarge) -> Instead {
    let mut headers: Vec<(String, Vec<u8>)> = Vec::with_capacity(output.headers.len() + 1);
    for (name, value) in &output.headers {
        match name.as_str() {
            // Whole or not at all: half a target or event is of no use
            "original" => {}
            "target" if value.len() > STUB_HEADER => {}
            "errors" => headers.push((name.clone(), fewer_errors(value))),
            _ => headers.push((name.clone(), cut(value, STUB_HEADER))),
        }
    }
    headers.push((CUT.to_string(), output.value.len().to_string().into_bytes()));
    let key = output.key.clone().filter(|key| key.len() <= STUB_HEADER);
    Instead { topic: output.topic.clone(), key, value: cut(&output.value, STUB_VALUE), headers }
}

/// As many of the first errors as fit; still JSON.
fn fewer_errors(json: &[u8]) -> Vec<u8> {
    let mut errors: Vec<serde_json::Value> = serde_json::from_slice(json).unwrap_or_default();
    loop {
        match serde_json::to_vec(&errors) {
            Ok(text) if text.len() <= STUB_VALUE => return text,
            _ if errors.pop().is_some() => {}
            _ => return b"[]".to_vec(),
        }
    }
}

/// The beginning, not broken inside a character where it is text.
fn cut(bytes: &[u8], at_most: usize) -> Vec<u8> {
    let Some(mut end) = (bytes.len() > at_most).then_some(at_most) else { return bytes.to_vec() };
    while end > 0 && bytes[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    bytes[..end].to_vec()
}
