//! Dead letters of deliveries: why a record became one, and where they go.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use super::retry::Backoff;
use crate::kafka::{DeadHeaders, Output, ProduceError, Producer, QueueHeaders};

/// The header of a stub that says how many bytes its value had.
const CUT_FROM: &str = "cut-from";

/// Why a delivery became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its sink blames the record.
    Refused,
    /// Its sink finds it too large.
    TooLarge,
    /// Older than `max_age`.
    Expired,
    /// It failed for longer than `give_up_after`, or again and again while others passed.
    Exhausted,
    /// Not a queue record of ours.
    Unreadable,
}

impl Reason {
    /// As it stands in the dead letter's header.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::TooLarge => "too_large",
            Reason::Expired => "expired",
            Reason::Exhausted => "exhausted",
            Reason::Unreadable => "unreadable",
        }
    }
}

/// A dead letter before it is written.
#[derive(Debug, Clone)]
pub struct Letter {
    /// None: the record could not be read.
    pub headers: Option<QueueHeaders>,
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    pub reason: Reason,
    /// For people, one line.
    pub error: String,
    /// Calls of the sink that failed or refused it.
    pub attempts: u32,
    /// The sink's last answer.
    pub answer: Option<String>,
    pub time: Timestamp,
}

/// Where a consumer's dead letters go.
pub trait DeadLetters: Send + Sync {
    /// Writes one: ready when it is acknowledged, however long and often that must be tried. Dropping the future gives up.
    fn put(&self, letter: Letter) -> BoxFuture<'static, ()>;
}

/// Values of stubs are cut to this.
const STUB_BYTES: usize = 64 << 10;
/// Texts of stubs are cut to this.
const STUB_TEXT_BYTES: usize = 1 << 10;
const AGAIN: Backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(30) };

/// The consumer's dead-letter topic.
pub(super) struct DeadTopic {
    pub producer: Producer,
    pub topic: Arc<str>,
    pub consumer: Arc<str>,
}

impl DeadLetters for DeadTopic {
    fn put(&self, letter: Letter) -> BoxFuture<'static, ()> {
        let (producer, topic, consumer) = (self.producer.clone(), Arc::clone(&self.topic), Arc::clone(&self.consumer));
        async move {
            let mut size = Size::Whole;
            let mut failures = 0;
            loop {
                let Err(error) = producer.produce(output(&letter, &topic, &consumer, size)).await else { return };
                match (error, size.smaller()) {
                    (ProduceError::TooLarge { .. }, Some(smaller)) => size = smaller,
                    (error, _) => {
                        failures += 1;
                        let wait = AGAIN.ceiling(failures);
                        tracing::error!(%consumer, %topic, %error, ?wait, "cannot write a dead letter; trying again");
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }
        .boxed()
    }
}

/// How much of a dead letter is written: the next smaller one where the broker finds it too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Whole,
    /// Without the original event.
    Payload,
    /// The value cut, texts bounded.
    Stub,
    /// No value at all.
    Headers,
}

impl Size {
    fn smaller(self) -> Option<Size> {
        match self {
            Size::Whole => Some(Size::Payload),
            Size::Payload => Some(Size::Stub),
            Size::Stub => Some(Size::Headers),
            Size::Headers => None,
        }
    }
}

fn output(letter: &Letter, topic: &Arc<str>, consumer: &Arc<str>, size: Size) -> Output {
    let mut headers = DeadHeaders::new(Arc::clone(consumer), "delivery", letter.reason.name(), letter.error.clone(), letter.time);
    headers.attempts = letter.attempts;
    headers.answer.clone_from(&letter.answer);
    if let Some(delivery) = letter.headers.clone() {
        headers = headers.of(delivery);
    }
    let mut value = letter.value.to_vec();
    let whole = value.len();
    if size != Size::Whole {
        headers.original = None;
    }
    if matches!(size, Size::Stub | Size::Headers) {
        value.truncate(if size == Size::Stub { STUB_BYTES } else { 0 });
        headers.target = None;
        bound(&mut headers.error);
        headers.answer.iter_mut().for_each(bound);
    }
    let cut = value.len() < whole;
    let mut headers = headers.encode();
    if cut {
        headers.push((CUT_FROM, whole.to_string().into_bytes()));
    }
    Output { topic: Arc::clone(topic), partition: -1, key: letter.key.as_ref().map(|key| key.to_vec()), value, headers }
}

fn bound(text: &mut String) {
    text.truncate(text.floor_char_boundary(STUB_TEXT_BYTES));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(value: usize) -> Letter {
        Letter {
            headers: None,
            key: Some(Bytes::from_static(b"u1")),
            value: vec![b'x'; value].into(),
            reason: Reason::TooLarge,
            error: "ä".repeat(2_000),
            attempts: 3,
            answer: Some("413: too large".to_owned()),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    fn written(value: usize, size: Size) -> (usize, DeadHeaders, Option<String>) {
        let output = output(&letter(value), &"dead".into(), &"crm".into(), size);
        let headers: Vec<(String, Vec<u8>)> = output.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let cut = headers.iter().find(|(name, _)| name == CUT_FROM).map(|(_, value)| String::from_utf8(value.clone()).unwrap());
        (output.value.len(), DeadHeaders::decode(&headers).unwrap(), cut)
    }

    #[test]
    fn a_dead_letter_says_who_why_and_how_often() {
        let (bytes, headers, cut) = written(100, Size::Whole);
        assert_eq!((bytes, cut), (100, None));
        assert_eq!((&*headers.consumer, headers.stage.as_str(), headers.reason.as_str()), ("crm", "delivery", "too_large"));
        assert_eq!((headers.attempts, headers.answer.as_deref()), (3, Some("413: too large")));
    }

    #[test]
    fn one_that_is_too_large_becomes_a_stub_that_says_what_it_was_cut_from() {
        let (bytes, headers, cut) = written(1_000_000, Size::Stub);
        assert_eq!((bytes, cut.as_deref()), (STUB_BYTES, Some("1000000")));
        assert!(headers.error.len() <= STUB_TEXT_BYTES && headers.error.chars().all(|c| c == 'ä'));
        let (bytes, _, cut) = written(1_000_000, Size::Headers);
        assert_eq!((bytes, cut.as_deref()), (0, Some("1000000")));
    }
}
