//! Delivery ids: deterministic, so that a replay or redelivery carries the same one and any language can make it again.
//!
//! An event with an id: `v5(v5(v5(EVENT, "consumer/route"), event name), event id)`, with `#0`, `#1`, … behind the id for the deliveries of a route with
//! `each`. An event without one: `v5(v5(v5(ORIGIN, "consumer/route"), event name), "topic/partition/offset/timestamp")`, `#n` likewise. `v5` is UUIDv5
//! of RFC 9562; the text is UTF-8; the timestamp is Kafka's, in milliseconds, -1 where there is none. `EVENT` is
//! `v5(NAMESPACE_URL, "urn:analytica:delivery:event")` and `ORIGIN` is `v5(NAMESPACE_URL, "urn:analytica:delivery:origin")`:
//!
//! | of | id |
//! | --- | --- |
//! | EVENT | `49811dfe-0c12-52d7-b55b-778c0daa7502` |
//! | ORIGIN | `53f2616b-c413-5eeb-b58e-10c7f8900e65` |
//! | engagement/journey-events, application_started, id `m-1` | `f701b7d6-bbc5-5100-beda-f7b66d40afdc` |
//! | warehouse/documents, kyc_submitted, id `m-1`, element 2 | `4304be8c-ec4d-51f0-9abd-18a3c65598bb` |
//! | warehouse/events, page_viewed, no id, `web.events/3/42/1767225600000` | `b55af35f-8810-52c0-9582-fc07e29ffcd1` |

use uuid::{Builder, Uuid, uuid};

use super::Origin;

/// `v5(NAMESPACE_URL, "urn:analytica:delivery:event")`
pub const EVENT_NAMESPACE: Uuid = uuid!("49811dfe-0c12-52d7-b55b-778c0daa7502");

/// `v5(NAMESPACE_URL, "urn:analytica:delivery:origin")`
pub const ORIGIN_NAMESPACE: Uuid = uuid!("53f2616b-c413-5eeb-b58e-10c7f8900e65");

/// The record header that carries a replayed record's first origin, as `topic/partition/offset/timestamp`.
pub const ORIGIN_HEADER: &str = "analytica-origin";

/// The two inner rounds for one route and event name, made once a set.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliveryNames {
    event: Uuid,
    origin: Uuid,
}

impl DeliveryNames {
    pub fn new(consumer: &str, route: &str, event: &str) -> DeliveryNames {
        let inner = |namespace: Uuid| v5(&v5(&namespace, format!("{consumer}/{route}").as_bytes()), event.as_bytes());
        DeliveryNames { event: inner(EVENT_NAMESPACE), origin: inner(ORIGIN_NAMESPACE) }
    }

    /// `element` is the position in the route's `each`. `text` is a buffer.
    pub fn id(&self, event_id: Option<&str>, origin: &Origin, element: Option<usize>, text: &mut Vec<u8>) -> Uuid {
        text.clear();
        let namespace = match event_id {
            Some(id) => {
                text.extend_from_slice(id.as_bytes());
                &self.event
            }
            None => {
                text.extend_from_slice(origin_text(origin).as_bytes());
                &self.origin
            }
        };
        if let Some(element) = element {
            text.push(b'#');
            text.extend_from_slice(itoa::Buffer::new().format(element).as_bytes());
        }
        v5(namespace, text)
    }
}

/// `topic/partition/offset/timestamp`: what stands in the origin header. A topic's name holds no slash.
pub fn origin_text(origin: &Origin) -> String {
    format!("{}/{}/{}/{}", origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
}

/// Reads what `origin_text` writes.
pub fn parse_origin(text: &str) -> Option<Origin> {
    let mut parts = text.split('/');
    let topic = parts.next().filter(|topic| !topic.is_empty())?;
    // Anything that is no number is not an origin; who sent it gets the record's own coordinates.
    let origin = Origin {
        topic: topic.into(),
        partition: parts.next()?.parse().ok()?,
        offset: parts.next()?.parse().ok()?,
        timestamp_ms: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(origin)
}

/// UUIDv5. Names of up to 39 bytes, nearly all, fit one block of SHA-1 together with the namespace, and that is put together here: a quarter of the time.
fn v5(namespace: &Uuid, name: &[u8]) -> Uuid {
    const ONE_BLOCK: usize = 64 - 16 - 1 - 8; // less namespace, end mark and length
    if name.len() > ONE_BLOCK {
        return Uuid::new_v5(namespace, name);
    }
    let length = 16 + name.len();
    let mut block = [0u8; 64];
    block[..16].copy_from_slice(namespace.as_bytes());
    block[16..length].copy_from_slice(name);
    block[length] = 0x80;
    block[56..].copy_from_slice(&(8 * length as u64).to_be_bytes());
    // SHA-1's initial state (FIPS 180-4).
    let mut state = [0x6745_2301u32, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    sha1::block_api::compress(&mut state, &[block]);
    let mut bytes = [0u8; 16];
    for (word, four) in state.iter().zip(bytes.chunks_exact_mut(4)) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    Builder::from_sha1_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { topic: "web.events".into(), partition: 3, offset: 42, timestamp_ms: 1_767_225_600_000 }
    }

    #[test]
    fn ids_are_the_ones_in_the_table() {
        let id = |consumer, route, event, id, element| {
            DeliveryNames::new(consumer, route, event).id(id, &origin(), element, &mut Vec::new()).to_string()
        };
        assert_eq!(id("engagement", "journey-events", "application_started", Some("m-1"), None), "f701b7d6-bbc5-5100-beda-f7b66d40afdc");
        assert_eq!(id("warehouse", "documents", "kyc_submitted", Some("m-1"), Some(2)), "4304be8c-ec4d-51f0-9abd-18a3c65598bb");
        assert_eq!(id("warehouse", "events", "page_viewed", None, None), "b55af35f-8810-52c0-9582-fc07e29ffcd1");
    }

    #[test]
    fn the_namespaces_are_made_of_their_names() {
        assert_eq!(EVENT_NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:analytica:delivery:event"));
        assert_eq!(ORIGIN_NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:analytica:delivery:origin"));
    }

    #[test]
    fn one_block_and_many_agree_with_the_library() {
        for length in 0..200 {
            let name = vec![b'x'; length];
            assert_eq!(v5(&EVENT_NAMESPACE, &name), Uuid::new_v5(&EVENT_NAMESPACE, &name), "{length} bytes");
        }
    }

    #[test]
    fn an_origin_is_read_as_it_is_written() {
        assert_eq!(parse_origin(&origin_text(&origin())), Some(origin()));
        for bad in ["", "a", "a/1/2", "a/1/2/3/4", "a/x/2/3", "/1/2/3", "a/1/2/99999999999999999999"] {
            assert_eq!(parse_origin(bad), None, "{bad}");
        }
    }
}
