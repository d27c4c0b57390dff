//! Past what the client cannot decode: which offset of a partition is the next that it can.
//!
//! librdkafka asks for a batch that it cannot decompress or parse again and again, and its error names no partition. So
//! one partition at a time is read by a consumer of its own, from the place where it is stuck.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::KafkaAccess;

const POLL: Duration = Duration::from_millis(100);
/// How long a batch may give neither a record nor an error, while its leader answers, before it counts as undecodable.
const SILENT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What is at a place of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The client reads on from there.
    Readable,
    /// Nothing that it can decode, up to this offset.
    Undecodable {
        /// The next that it can, or the log's end.
        to: i64,
        /// What the client says.
        reason: String,
    },
    /// The brokers do not answer.
    Unknown,
}

/// Reads single places of a topic.
pub struct Prober {
    consumer: BaseConsumer<Listening>,
    topic: String,
}

/// What came first from an offset on.
#[derive(Debug, PartialEq, Eq)]
enum First {
    Record,
    /// Undecodable; the first offset of its batch, where it is known.
    Bad(Option<i64>, String),
    Unknown,
}

/// Keeps the last error's text, which the error itself does not have.
#[derive(Default)]
struct Listening(Mutex<String>);

impl ClientContext for Listening {
    // The consumer that is stuck says the same.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ConsumerContext for Listening {}

/// Whether an error says that what came from a broker makes no sense to the client.
pub fn is_undecodable(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        error.rdkafka_error_code(),
        Some(
            E::BadMessage
                | E::BadCompression
                | E::NotImplemented
                | E::Underflow
                | E::CriticalSystemResource
                | E::InvalidMessage
                | E::InvalidMessageSize
                | E::MessageSizeTooLarge
        )
    )
}

/// The first offset of the batch that an error's text is about: "… of message at 7 of 90 bytes …", "… at offset 7 …".
pub fn base_offset(reason: &str) -> Option<i64> {
    reason.split(" at ").skip(1).find_map(|rest| {
        let digits = rest.strip_prefix("offset ").unwrap_or(rest);
        digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
    })
}

impl Prober {
    /// A consumer that commits nothing in `group`, with the `properties` of the one that is stuck: what that one refuses
    /// for its size is not to be found readable.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn new(
        access: &KafkaAccess,
        group: &str,
        topic: &str,
        properties: &BTreeMap<String, String>,
    ) -> KafkaResult<Self> {
        let mut config = access.consumer_config(group);
        for (name, value) in properties {
            config.set(name, value);
        }
        config.set("client.id", "shasta-prober").set("auto.offset.reset", "error");
        config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10").set("fetch.error.backoff.ms", "10");
        let consumer = config.create_with_context(Listening::default())?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// What is at `from` of a partition whose log ends at `end`. Finds the end of an undecodable batch with as many
    /// questions as the batch's length has bits; of one that gives no error, what follows it may be taken for a part of it.
    ///
    /// # Errors
    /// When the client refuses to ask.
    pub fn look(&self, partition: i32, from: i64, end: i64) -> KafkaResult<Place> {
        let (base, reason) = match self.first(partition, from)? {
            First::Record => return Ok(Place::Readable),
            First::Unknown => return Ok(Place::Unknown),
            First::Bad(base, reason) => (base, reason),
        };
        let same = |offset| -> KafkaResult<Option<bool>> {
            Ok(match self.first(partition, offset)? {
                First::Bad(other, _) => Some(other == base),
                First::Record => Some(false),
                First::Unknown => None,
            })
        };
        let to = after(from, end, same)?;
        Ok(to.map_or(Place::Unknown, |to| Place::Undecodable { to, reason }))
    }

    fn first(&self, partition: i32, offset: i64) -> KafkaResult<First> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&list)?;
        let deadline = Instant::now() + SILENT_MAX;
        while Instant::now() < deadline {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() >= offset => return Ok(First::Record),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(First::Record),
                Some(Err(error)) if is_undecodable(&error) => {
                    let reason = self.consumer.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    return Ok(First::Bad(base_offset(&reason), reason));
                }
                Some(Ok(_) | Err(_)) | None => {}
            }
        }
        // Where the leader answers all else, it is the batch.
        Ok(match self.consumer.fetch_watermarks(&self.topic, partition, ANSWER_MAX) {
            Ok(_) => First::Bad(None, format!("the client makes nothing of the batch at offset {offset}")),
            Err(_) => First::Unknown,
        })
    }
}

/// The first offset behind `from` that is not of the `same` batch; none when it cannot be told.
fn after<E>(from: i64, end: i64, same: impl Fn(i64) -> Result<Option<bool>, E>) -> Result<Option<i64>, E> {
    let (mut inside, mut step) = (from, 1);
    let mut outside = loop {
        let next = from + step;
        if next >= end {
            break end;
        }
        match same(next)? {
            None => return Ok(None),
            Some(false) => break next,
            Some(true) => (inside, step) = (next, step * 2),
        }
    };
    while outside - inside > 1 {
        let middle = inside.midpoint(outside);
        match same(middle)? {
            None => return Ok(None),
            Some(true) => inside = middle,
            Some(false) => outside = middle,
        }
    }
    Ok(Some(outside))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;

    #[test]
    fn the_batch_of_an_error_is_read_from_its_text() {
        let texts = [
            ("Decompression (codec 0x1) of message at 70 of 90 bytes failed: Local: Invalid compressed data", Some(70)),
            ("Unsupported Message(Set) MagicByte 9 at offset 12", Some(12)),
            ("Message at offset 8 might be too large to fetch", Some(8)),
            ("MessageSet at offset 5 (60 bytes) failed CRC32C check", Some(5)),
            ("Fetch from broker 1 failed at offset 41 (leader epoch 0): Broker: Unknown error", Some(41)),
            ("Broker: look at me", None),
        ];
        for (text, base) in texts {
            assert_eq!(base_offset(text), base, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_batch_is_found_in_few_steps() {
        for (length, end, expected) in [(1, 100, 11), (7, 100, 17), (1_000, 5_000, 1_010), (50, 30, 30), (1, 11, 11)] {
            let asked = Cell::new(0);
            let same = |offset: i64| {
                asked.set(asked.get() + 1);
                Ok::<_, Infallible>(Some(offset < 10 + length))
            };
            assert_eq!(after(10, end, same), Ok(Some(expected)), "a batch of {length}");
            assert!(asked.get() <= 22, "{} questions", asked.get());
        }
        assert_eq!(after(10, 100, |_| Ok::<_, Infallible>(None)), Ok(None));
    }
}
