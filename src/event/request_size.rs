//! The size of a produce request, and how large one may be that the client rskafka sends in one piece.
//!
//! rskafka 0.6 hands length and body of a request, one after the other, to a buffer of 8 KiB (`tokio::io::BufStream`). A body
//! that does not fit beside its length leaves the buffer by a write of its own, as a second segment. The socket is without
//! TCP_NODELAY, so that segment waits until the first one is acknowledged, and a receiver that has nothing to send takes 40 ms
//! for that. So no request of ours is larger, whatever its events are: see [`RequestSize::events_max`].

use crate::event::{headers::Stamps, payload::EventShape};

/// The most bytes of a request, its length not counted, that fit into rskafka's buffer beside the length.
pub const ONE_PIECE_MAX: usize = 8 * 1024 - 4;

/// The most bytes of a run's name: as many as a file's name has, since it names files.
pub const RUN_NAME_MAX: usize = 255;
/// The longest names that have a connection's number: `shasta-p4294967295`, and `p4294967295`.
const CLIENT_ID_MAX: usize = 18;
const SOURCE_MAX: usize = 11;

/// What the largest produce request of a load takes, without compression (Kafka's protocol guide: Produce 3 to 8, record
/// batch 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSize {
    fixed: usize,
    record: usize,
    event: usize,
}

impl RequestSize {
    /// Of a load of this shape, to a topic, in a run whose names are so long.
    pub fn of(shape: &EventShape, connections: u32, topic_name: usize, run_name: usize) -> Self {
        let (run, source) = ("r".repeat(run_name), "p".repeat(SOURCE_MAX));
        let key = shape.partition_key(shape.tags(connections.saturating_sub(1)).end.saturating_sub(1)).len();
        // A warm-up event has a header more than one of the window.
        let (producer, sequence, scheduled_us, before_publish_us, warm) = (0, 0, 0, 0, true);
        let stamps = Stamps { run: &run, source: &source, producer, sequence, scheduled_us, before_publish_us, warm };
        let event = shape.bytes();
        Self { fixed: fixed(topic_name, CLIENT_ID_MAX), record: record(key, event, &stamps), event }
    }

    /// Bytes of a request with so many events, its length not counted.
    pub fn bytes(&self, events: usize) -> usize {
        self.fixed + events * self.record
    }

    /// Most bytes of an event whose request, with this load's names, rskafka sends in one piece.
    pub fn event_bytes_max(&self) -> usize {
        (ONE_PIECE_MAX + self.event).saturating_sub(self.bytes(1))
    }

    /// Most events of a request that rskafka sends in one piece; 0 where one is too large by itself.
    pub fn events_max(&self) -> usize {
        ONE_PIECE_MAX.saturating_sub(self.fixed) / self.record
    }
}

/// All but the records.
fn fixed(topic: usize, client_id: usize) -> usize {
    let header = 2 + 2 + 4 + (2 + client_id);
    let request = 2 + 2 + 4 + 4 + (2 + topic) + 4 + 4 + 4;
    let batch = 8 + 4 + 4 + 1 + 4 + 2 + 4 + 8 + 8 + 8 + 2 + 4 + 4;
    header + request + batch
}

/// A record anywhere in a batch all of whose events have the same time, and of which there are fewer than 8,192.
fn record(key: usize, value: usize, stamps: &Stamps<'_>) -> usize {
    let (attributes, time, offset) = (1, 1, 2);
    let (mut headers, mut count) = (0, 0);
    stamps.each(|name, value| {
        headers += varint(name.len()) + name.len() + varint(value.len()) + value.len();
        count += 1;
    });
    let body = attributes + time + offset + varint(key) + key + varint(value) + value + varint(count) + headers;
    varint(body) + body
}

/// Bytes of a count as a zigzag varint.
fn varint(count: usize) -> usize {
    (usize::BITS - count.leading_zeros() + 1).div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_zigzag() {
        assert_eq!([0, 63, 64, 8_191, 8_192, 1_048_575, 1_048_576].map(varint), [1, 1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn a_request_of_one_piece_has_as_many_events_as_fit() {
        let of = |bytes| RequestSize::of(&EventShape::new(bytes, 1_000, 1, 16, 0).unwrap(), 1_000, 8, 20);
        let small = of(512);
        let most = small.events_max();
        assert!(most > 8 && small.bytes(most) <= ONE_PIECE_MAX && small.bytes(most + 1) > ONE_PIECE_MAX, "{small:?}");
        assert_eq!([of(7_800), of(8_192), of(1_000_000)].map(|size| size.events_max()), [1, 0, 0]);
        let largest = of(16_384).event_bytes_max();
        assert_eq!([of(largest), of(largest + 4)].map(|size| size.events_max()), [1, 0], "{largest}");
    }
}
