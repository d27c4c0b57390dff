//! One row in memory: the columns of [`shasta_model::columns::COLUMNS`] as numbers, names replaced by their index in [`Names`].

use shasta_model::columns::{
    AFTER_CONSUME_US, AFTER_PUBLISH_US, AFTER_READ_US, AFTER_STORE_US, APPEND_MS, BEFORE_PUBLISH_US, Latency,
    SCHEDULED_US,
};

/// An empty field. No count is negative and no stamp is this early, so no recorded value equals it.
pub const MISSING: i64 = i64::MIN;

/// A stamp of a row, by its place in [`Row::stamps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// `scheduled_us`.
    Scheduled,
    /// `before_publish_us`.
    BeforePublish,
    /// `after_publish_us`.
    AfterPublish,
    /// `append_ms`, in whole ms of the broker's clock: an annotation.
    Append,
    /// `after_consume_us`.
    AfterConsume,
    /// `after_store_us`.
    AfterStore,
    /// `after_read_us`.
    AfterRead,
}

/// The columns of the stamps, in the order of [`Row::stamps`].
pub const STAMPS: [(&str, Stamp); 7] = [
    (SCHEDULED_US, Stamp::Scheduled),
    (BEFORE_PUBLISH_US, Stamp::BeforePublish),
    (AFTER_PUBLISH_US, Stamp::AfterPublish),
    (APPEND_MS, Stamp::Append),
    (AFTER_CONSUME_US, Stamp::AfterConsume),
    (AFTER_STORE_US, Stamp::AfterStore),
    (AFTER_READ_US, Stamp::AfterRead),
];

impl Stamp {
    /// The stamp that a column holds.
    pub fn of(column: &str) -> Option<Self> {
        STAMPS.iter().find(|(name, _)| *name == column).map(|&(_, stamp)| stamp)
    }
}

/// A planned event; [`MISSING`] stands for an empty field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Index of the producing host's name.
    pub source: u32,
    /// Index of the worker's name; none when no worker consumed it.
    pub destination: Option<u32>,
    /// Number of the producing connection.
    pub producer: i64,
    /// Number of the tag.
    pub tag: i64,
    /// Kafka partition.
    pub partition: i64,
    /// Kafka offset.
    pub offset: i64,
    /// 0, 1, 2 … within the producer.
    pub sequence: i64,
    /// The stamps, in the order of [`STAMPS`]; µs of the Unix epoch, `Append` in ms.
    pub stamps: [i64; 7],
}

impl Row {
    /// A stamp, unless its field is empty.
    pub fn stamp(&self, stamp: Stamp) -> Option<i64> {
        let value = self.stamps[stamp as usize];
        (value != MISSING).then_some(value)
    }

    /// A latency in µs, signed, by the places of its stamps; none where either is missing.
    #[inline]
    pub fn latency_us(&self, [from, to]: [usize; 2]) -> Option<i64> {
        let us = |place: usize| {
            let stamp = self.stamps[place];
            // The broker's clock gives whole ms.
            if place == Stamp::Append as usize { stamp.saturating_mul(1000) } else { stamp }
        };
        (self.stamps[from] != MISSING && self.stamps[to] != MISSING).then(|| us(to) - us(from))
    }
}

/// The places of a latency's two stamps in [`Row::stamps`].
pub fn places(latency: &Latency) -> [usize; 2] {
    [latency.from, latency.to].map(|column| Stamp::of(column).map_or(0, |stamp| stamp as usize))
}

/// The names of producing hosts and workers, each at its index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Names in column `source`.
    pub sources: Vec<String>,
    /// Names in column `destination`.
    pub destinations: Vec<String>,
}
