//! The names in a recorded row, and the latencies read from it: the one place where writer and reader agree.
//!
//! The harness writes `results/<run>.csv` with these columns, `analyze` reads them by name.

/// The producing host: `p<i>`.
pub const SOURCE: &str = "source";
/// The worker that consumed the event: `w<j>`; empty when none did.
pub const DESTINATION: &str = "destination";
/// Number of the producing connection.
pub const PRODUCER: &str = "producer";
/// Number of the tag, unique in the run.
pub const TAG: &str = "tag";
/// Kafka partition.
pub const PARTITION: &str = "partition";
/// Kafka offset of the first delivery.
pub const OFFSET: &str = "offset";
/// 0, 1, 2 … within one producer.
pub const SEQUENCE: &str = "sequence";
/// When the open-loop schedule wanted the event sent; µs of the Unix epoch, like every stamp in `_us`.
pub const SCHEDULED_US: &str = "scheduled_us";
/// First hand-over to the Kafka client, before any queue of it.
pub const BEFORE_PUBLISH_US: &str = "before_publish_us";
/// In the handler of the acknowledgement.
pub const AFTER_PUBLISH_US: &str = "after_publish_us";
/// The broker's LogAppendTime: whole ms of its own clock, an annotation and never a term of a sum.
pub const APPEND_MS: &str = "append_ms";
/// The record's return from the consuming client.
pub const AFTER_CONSUME_US: &str = "after_consume_us";
/// The last reply to the batch that stored the event.
pub const AFTER_STORE_US: &str = "after_store_us";
/// The first reader that has the event.
pub const AFTER_READ_US: &str = "after_read_us";

/// All columns in the order in which they are written.
pub const COLUMNS: [&str; 14] = [
    SOURCE,
    DESTINATION,
    PRODUCER,
    TAG,
    PARTITION,
    OFFSET,
    SEQUENCE,
    SCHEDULED_US,
    BEFORE_PUBLISH_US,
    AFTER_PUBLISH_US,
    APPEND_MS,
    AFTER_CONSUME_US,
    AFTER_STORE_US,
    AFTER_READ_US,
];

/// A latency: the signed difference of two stamps of one row, in µs; missing where either stamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// As tables name it.
    pub name: &'static str,
    /// Column of the earlier stamp.
    pub from: &'static str,
    /// Column of the later stamp.
    pub to: &'static str,
}

/// The latency that the SLO is about.
pub const SCHEDULED_TO_STORED: Latency =
    Latency { name: "scheduled → stored", from: SCHEDULED_US, to: AFTER_STORE_US };
/// From the schedule to the consumer.
pub const SCHEDULED_TO_CONSUMED: Latency =
    Latency { name: "scheduled → consumed", from: SCHEDULED_US, to: AFTER_CONSUME_US };
/// What the published tables measured: blind to events that were sent late.
pub const PUBLISHED_TO_CONSUMED: Latency =
    Latency { name: "before_publish → consumed (as published)", from: BEFORE_PUBLISH_US, to: AFTER_CONSUME_US };

/// The three latencies that always stand beside each other; the first is the headline and decides the verdict.
pub const HEADLINES: [Latency; 3] = [SCHEDULED_TO_STORED, SCHEDULED_TO_CONSUMED, PUBLISHED_TO_CONSUMED];

/// The stages whose sum is scheduled → stored, event by event.
pub const CHAIN: [Latency; 3] = [
    Latency { name: "schedule wait", from: SCHEDULED_US, to: BEFORE_PUBLISH_US },
    Latency { name: "Kafka", from: BEFORE_PUBLISH_US, to: AFTER_CONSUME_US },
    Latency { name: "store", from: AFTER_CONSUME_US, to: AFTER_STORE_US },
];
/// The stage after the chain, in runs that have a reader.
pub const READ: Latency = Latency { name: "read", from: AFTER_STORE_US, to: AFTER_READ_US };
/// From the schedule to the client application, in runs that have a reader.
pub const SCHEDULED_TO_READ: Latency = Latency { name: "scheduled → read", from: SCHEDULED_US, to: AFTER_READ_US };
/// The acknowledgement: beside the path, not on it.
pub const ACK: Latency = Latency { name: "ack (off the path)", from: BEFORE_PUBLISH_US, to: AFTER_PUBLISH_US };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_recorded_format() {
        assert_eq!(
            COLUMNS.join(","),
            "source,destination,producer,tag,partition,offset,sequence,scheduled_us,before_publish_us,\
             after_publish_us,append_ms,after_consume_us,after_store_us,after_read_us"
        );
    }

    #[test]
    fn the_chain_has_no_gap() {
        assert_eq!(CHAIN[0].from, SCHEDULED_TO_STORED.from);
        assert!(CHAIN.windows(2).all(|stages| stages[0].to == stages[1].from));
        assert_eq!(CHAIN[2].to, SCHEDULED_TO_STORED.to);
        assert_eq!(READ.from, SCHEDULED_TO_STORED.to);
    }
}
