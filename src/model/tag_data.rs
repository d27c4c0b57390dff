//! The event: `TagData`, its identifier, its partition key and its Redis keys.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;

/// Largest event in bytes: Kafka's default `message.max.bytes` less room for key, headers and batch framing.
pub const BYTES_MAX: usize = 1_000_000;

/// Application and scope of the load's tags, whose names are their numbers.
pub const LOAD_APP: &str = "shasta";
/// See [`LOAD_APP`].
pub const LOAD_SCOPE: &str = "load";

/// What an event is about. One tag is one Redis snapshot and one delta stream; `name` is a field of the snapshot.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Identifier {
    /// Application that owns the tag.
    #[prost(string, tag = "1")]
    pub app_id: String,
    /// Tag.
    #[prost(string, tag = "2")]
    pub tag: String,
    /// Scope of the tag within the application.
    #[prost(string, tag = "3")]
    pub scope: String,
    /// Name within the tag.
    #[prost(string, tag = "4")]
    pub name: String,
}

/// One event as it is encoded in a Kafka record's value.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TagData {
    /// What the event is about.
    #[prost(message, optional, tag = "1")]
    pub identifier: Option<Identifier>,
    /// The new value of that name.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

impl Identifier {
    /// The Kafka key: the identifier encoded with an empty name, so that one tag stays on one partition, in order.
    pub fn partition_key(&self) -> Vec<u8> {
        let tag = Identifier { name: String::new(), ..self.clone() };
        tag.encode_to_vec()
    }

    /// The Redis keys of this identifier's tag.
    pub fn redis_keys(&self) -> RedisKeys {
        RedisKeys::new(self)
    }
}

/// The three Redis keys of a tag. The braces are the hash tag, so all three share a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisKeys {
    /// Hash: name → value.
    pub snapshot: String,
    /// Stream of changes.
    pub delta: String,
    /// Hash: version and last sequence per producer.
    pub meta: String,
}

/// Unreserved characters of RFC 3986 stay as they are; all else is percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl RedisKeys {
    fn new(identifier: &Identifier) -> Self {
        let part = |text| utf8_percent_encode(text, ENCODED);
        let Identifier { app_id, tag, scope, .. } = identifier;
        let key = format!("shasta:{{{}/{}/{}}}", part(app_id), part(tag), part(scope));
        Self { snapshot: format!("{key}:snapshot"), delta: format!("{key}:delta"), meta: format!("{key}:meta") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(app_id: &str, tag: &str, scope: &str, name: &str) -> Identifier {
        Identifier { app_id: app_id.into(), tag: tag.into(), scope: scope.into(), name: name.into() }
    }

    #[test]
    fn wire_format_is_protobuf() {
        let event = TagData { identifier: Some(identifier("a", "b", "c", "d")), data: vec![1, 2] };
        let wire = b"\x0a\x0c\x0a\x01a\x12\x01b\x1a\x01c\x22\x01d\x12\x02\x01\x02";
        assert_eq!(event.encode_to_vec(), wire);
        assert_eq!(TagData::decode(&wire[..]), Ok(event));
    }

    #[test]
    fn key_has_no_name() {
        assert_eq!(identifier("a", "b", "c", "d").partition_key(), b"\x0a\x01a\x12\x01b\x1a\x01c");
    }

    #[test]
    fn redis_keys_are_percent_encoded_within_one_hash_tag() {
        let keys = identifier("my app", "a/b{c}", "ü\0", "n").redis_keys();
        assert_eq!(keys.snapshot, "shasta:{my%20app/a%2Fb%7Bc%7D/%C3%BC%00}:snapshot");
        assert_eq!(keys.delta, "shasta:{my%20app/a%2Fb%7Bc%7D/%C3%BC%00}:delta");
        assert_eq!(keys.meta, "shasta:{my%20app/a%2Fb%7Bc%7D/%C3%BC%00}:meta");
    }
}
