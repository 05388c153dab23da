//! Request bodies: payloads put together in the form that a target asks for, straight into one buffer.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use uuid::Uuid;

use crate::config::BodyForm;
use crate::sinks::Item;
use crate::sinks::refusal::push_json_line;

/// What the keys of batches are named under; fixed for ever, for receivers remember them.
const BATCHES: Uuid = Uuid::from_u128(0x6f0e_9c5e_3b1d_5d6c_9a57_1d8a_4e02_b7c3);

/// The body of one request that carries `items`.
pub(super) fn encode(form: BodyForm, items: &[Item]) -> Vec<u8> {
    let payloads: usize = items.iter().map(|item| item.payload.len() + 1).sum();
    let mut body = Vec::with_capacity(payloads + r#"{"batch":[]}"#.len());
    match form {
        // One request an item: the caller passes one.
        BodyForm::Single => items.iter().for_each(|item| body.extend_from_slice(&item.payload)),
        BodyForm::Array => array(&mut body, items),
        BodyForm::Ndjson => items.iter().for_each(|item| push_json_line(&mut body, &item.payload)),
        BodyForm::Batch => {
            body.extend_from_slice(br#"{"batch":"#);
            array(&mut body, items);
            body.push(b'}');
        }
    }
    body
}

fn array(body: &mut Vec<u8>, items: &[Item]) {
    body.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&item.payload);
    }
    body.push(b']');
}

pub(super) fn content_type(form: BodyForm) -> &'static str {
    match form {
        BodyForm::Ndjson => "application/x-ndjson",
        BodyForm::Single | BodyForm::Array | BodyForm::Batch => "application/json",
    }
}

/// The same records in the same order carry the same key: the delivery's id for a single record, a hash of the ids for a batch.
pub(super) fn idempotency_key(form: BodyForm, items: &[Item]) -> Uuid {
    match (form, items) {
        (BodyForm::Single, [item]) => item.id,
        _ => {
            let mut ids = Vec::with_capacity(items.len() * 16);
            items.iter().for_each(|item| ids.extend_from_slice(item.id.as_bytes()));
            Uuid::new_v5(&BATCHES, &ids)
        }
    }
}

/// Level 1: JSON shrinks to a fifth even there, and a worker's time is dearer than the wire's.
pub(super) fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4 + 64), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn items(payloads: &[&'static str]) -> Vec<Item> {
        let item = |(index, payload): (usize, &&'static str)| Item {
            id: Uuid::from_u128(index as u128),
            event: "e".into(),
            key: None,
            payload: Bytes::from_static(payload.as_bytes()),
        };
        payloads.iter().enumerate().map(item).collect()
    }

    #[test]
    fn each_form_is_encoded_to_the_byte() {
        let two = items(&["{\"a\":1}", "{\n\"b\": 2.50}"]);
        let text = |form| String::from_utf8(encode(form, &two)).expect("text");
        assert_eq!(text(BodyForm::Array), "[{\"a\":1},{\n\"b\": 2.50}]");
        assert_eq!(text(BodyForm::Batch), "{\"batch\":[{\"a\":1},{\n\"b\": 2.50}]}");
        assert_eq!(text(BodyForm::Ndjson), "{\"a\":1}\n{ \"b\": 2.50}\n");
        assert_eq!(encode(BodyForm::Single, &two[..1]), b"{\"a\":1}");
    }

    #[test]
    fn a_batchs_key_depends_on_its_records_and_their_order() {
        let mut two = items(&["{}", "{}"]);
        let key = idempotency_key(BodyForm::Array, &two);
        assert_eq!(key, idempotency_key(BodyForm::Batch, &two.clone()));
        two.reverse();
        assert_ne!(key, idempotency_key(BodyForm::Array, &two));
        assert_ne!(idempotency_key(BodyForm::Array, &two[..1]), two[0].id);
        assert_eq!(idempotency_key(BodyForm::Single, &two[..1]), two[0].id);
    }
}
