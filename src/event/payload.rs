//! The load's events, each of exactly the size asked for.

use prost::Message;

use shasta_model::tag_data::{Identifier, LOAD_APP, LOAD_SCOPE, TagData};

/// An event of the size asked for cannot be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("bytes = {bytes} is too small for the identifier, which alone takes {bytes_min}: use at least {bytes_min}")]
pub struct TooSmall {
    /// Size asked for.
    pub bytes: usize,
    /// Smallest possible size.
    pub bytes_min: usize,
}

/// The load's events: which tag and name each one is about, and its encoding of exactly `bytes`.
///
/// All events whose tags have as many digits are laid out alike, so one of each kind is kept, and an event is a copy of it
/// with its own digits and stamp.
#[derive(Debug, Clone)]
pub struct EventShape {
    bytes: usize,
    tags_per_connection: u32,
    names_per_tag: u32,
    /// By the digits of the tag, less one.
    layouts: Vec<Layout>,
}

/// One encoded event and where in it stands what differs.
#[derive(Debug, Clone)]
struct Layout {
    encoded: Vec<u8>,
    /// The identifier without its name, which is the Kafka key.
    key: std::ops::Range<usize>,
    tag_at: usize,
    /// Where the digits of the name end.
    name_end: usize,
    /// The sequence, or as much of it as the payload has room for.
    stamp: std::ops::Range<usize>,
}

impl EventShape {
    /// Shape of a load whose largest tag number is `connections` × `tags_per_connection` − 1. The payload is
    /// pseudo-random from `seed`, so that nothing on the way can compress it.
    ///
    /// # Errors
    /// [`TooSmall`] where some identifier of the load does not fit into `bytes`.
    pub fn new(
        bytes: usize,
        connections: u32,
        tags_per_connection: u32,
        names_per_tag: u32,
        seed: u64,
    ) -> Result<Self, TooSmall> {
        let words = (0..).map(|i| crate::event::schedule::hash(seed, u64::MAX, i));
        let filler: Vec<u8> = words.flat_map(u64::to_be_bytes).take(bytes).collect();
        let tag_max = u64::from(connections) * u64::from(tags_per_connection) - 1;
        // Names of one width, so that every event of a tag has the same layout.
        let name = format!("n{}", "0".repeat((names_per_tag - 1).checked_ilog10().unwrap_or(0) as usize + 1));
        let identifier = |digits: u32| Identifier {
            app_id: LOAD_APP.into(),
            tag: "0".repeat(digits as usize),
            scope: LOAD_SCOPE.into(),
            name: name.clone(),
        };
        let digits = tag_max.checked_ilog10().unwrap_or(0) + 1;
        let bytes_min = TagData { identifier: Some(identifier(digits)), data: Vec::new() }.encoded_len();
        if bytes < bytes_min {
            return Err(TooSmall { bytes, bytes_min });
        }
        let layouts = (1..=digits).map(|digits| Layout::of(identifier(digits), &filler)).collect();
        Ok(Self { bytes, tags_per_connection, names_per_tag, layouts })
    }

    /// Encoded size of an event, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the tag, unique in the run, that event `sequence` of `connection` is about.
    pub fn tag(&self, connection: u32, sequence: u64) -> u64 {
        let tags = u64::from(self.tags_per_connection);
        u64::from(connection) * tags + sequence % tags
    }

    /// Numbers of the tags that a connection publishes.
    pub fn tags(&self, connection: u32) -> std::ops::Range<u64> {
        let tags = u64::from(self.tags_per_connection);
        u64::from(connection) * tags..(u64::from(connection) + 1) * tags
    }

    /// The Kafka key of a tag.
    pub fn partition_key(&self, tag: u64) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.layout(tag).key.len());
        self.append_partition_key(tag, &mut key);
        key
    }

    /// Appends the Kafka key of a tag to a buffer, which does not allocate once it is large enough.
    pub fn append_partition_key(&self, tag: u64, buffer: &mut Vec<u8>) {
        let Layout { encoded, key, tag_at, .. } = self.layout(tag);
        let start = buffer.len();
        buffer.extend_from_slice(&encoded[key.clone()]);
        patch(&mut buffer[start + tag_at - key.start..], itoa::Buffer::new().format(tag).as_bytes());
    }

    /// The encoded event: exactly `bytes` long.
    pub fn encode(&self, connection: u32, sequence: u64) -> Vec<u8> {
        let mut event = Vec::with_capacity(self.bytes);
        self.append(connection, sequence, &mut event);
        event
    }

    /// Appends the encoded event, exactly `bytes` long, to a buffer, which does not allocate once it is large enough.
    pub fn append(&self, connection: u32, sequence: u64, buffer: &mut Vec<u8>) {
        let tag = self.tag(connection, sequence);
        let Layout { encoded, tag_at, name_end, stamp, .. } = self.layout(tag);
        let start = buffer.len();
        buffer.extend_from_slice(encoded);
        let event = &mut buffer[start..];
        patch(&mut event[*tag_at..], itoa::Buffer::new().format(tag).as_bytes());
        let mut number = itoa::Buffer::new();
        let number = number.format(sequence / u64::from(self.tags_per_connection) % u64::from(self.names_per_tag));
        patch(&mut event[name_end - number.len()..], number.as_bytes());
        match event[stamp.clone()].first_chunk_mut::<8>() {
            Some(whole) => *whole = sequence.to_be_bytes(),
            None => patch(&mut event[stamp.start..], &sequence.to_be_bytes()[..stamp.len()]),
        }
    }

    /// How events of a tag are laid out; there is no tag with more digits than the shape's largest.
    fn layout(&self, tag: u64) -> &Layout {
        &self.layouts[tag.checked_ilog10().unwrap_or(0) as usize]
    }
}

impl Layout {
    /// An event of as many bytes as `filler`, which are enough for the identifier.
    fn of(mut identifier: Identifier, filler: &[u8]) -> Self {
        let (key_len, name_len) = (identifier.partition_key().len(), identifier.name.len());
        let data_len = loop {
            let rest = filler.len() - TagData { identifier: Some(identifier.clone()), data: Vec::new() }.encoded_len();
            if let Some(len) = data_len(rest) {
                break len;
            }
            // No payload fills just `rest` bytes, since its own length prefix grows by a byte: lengthen the name.
            identifier.name.push('_');
        };
        let identifier_len = identifier.encoded_len();
        let key_start = 1 + prost::length_delimiter_len(identifier_len);
        let app_id_len = identifier.app_id.len();
        let name_start = key_start + identifier_len - identifier.name.len();
        let encoded = TagData { identifier: Some(identifier), data: filler[..data_len].to_vec() }.encode_to_vec();
        let stamp_start = encoded.len() - data_len;
        Self {
            key: key_start..key_start + key_len,
            // Behind the application and the head of the tag's own field.
            tag_at: key_start + 2 + app_id_len + 2,
            name_end: name_start + name_len,
            stamp: stamp_start..stamp_start + data_len.min(8),
            encoded,
        }
    }
}

/// Writes over the first bytes.
fn patch(bytes: &mut [u8], with: &[u8]) {
    bytes[..with.len()].copy_from_slice(with);
}

/// Length of the payload whose protobuf field takes exactly `rest` bytes, if there is one.
fn data_len(rest: usize) -> Option<usize> {
    if rest == 0 {
        return Some(0);
    }
    let fits = |prefix: &usize| rest > 1 + prefix && prost::length_delimiter_len(rest - 1 - prefix) == *prefix;
    (1..=10).find(fits).map(|prefix| rest - 1 - prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_small_is_refused_and_the_smallest_works() {
        let error = EventShape::new(10, 1000, 1, 16, 0).unwrap_err();
        let shape = EventShape::new(error.bytes_min, 1000, 1, 16, 0).unwrap();
        assert_eq!(shape.encode(999, 15).len(), error.bytes_min);
        assert_eq!(EventShape::new(error.bytes_min - 1, 1000, 1, 16, 0).unwrap_err().bytes_min, error.bytes_min);
    }

    #[test]
    fn names_rotate_within_each_tag() {
        let shape = EventShape::new(512, 10, 2, 3, 0).unwrap();
        let names: Vec<_> = (0..8)
            .map(|sequence| {
                let identifier = TagData::decode(&shape.encode(4, sequence)[..]).unwrap().identifier.unwrap();
                (identifier.tag, identifier.name)
            })
            .collect();
        let expected =
            [("8", "n0"), ("9", "n0"), ("8", "n1"), ("9", "n1"), ("8", "n2"), ("9", "n2"), ("8", "n0"), ("9", "n0")];
        assert_eq!(names, expected.map(|(tag, name)| (tag.to_string(), name.to_string())));
    }

    proptest! {
        #[test]
        fn every_event_has_exactly_the_size_asked_for(
            bytes in 40usize..20_000, connection in 0u32..5000, sequence in any::<u64>(), tags in 1u32..4, names in 1u32..300,
        ) {
            let shape = EventShape::new(bytes, 5000, tags, names, 1).unwrap();
            let encoded = shape.encode(connection, sequence);
            prop_assert_eq!(encoded.len(), bytes);
            let event = TagData::decode(&encoded[..]).unwrap();
            prop_assert_eq!(event.encode_to_vec(), encoded, "as prost encodes it");
            let identifier = event.identifier.unwrap();
            prop_assert_eq!(shape.partition_key(shape.tag(connection, sequence)), identifier.partition_key());
        }
    }
}
