//! What a check of Kafka and Redis after a run has found.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::lenient;

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verification {
    /// Everything was checked, and no damage found.
    pub passed: bool,
    /// Why it was not made to its end, if it was not.
    pub unfinished: Option<String>,
    /// Whether that was the user's wish.
    pub given_up: bool,
    /// How much was checked.
    pub checked: Checked,
    /// Damages in all.
    pub damage_count: u64,
    /// Damages of each kind.
    pub damage_counts: BTreeMap<Kind, u64>,
    /// The first damages, at most 20 of a kind and 100 in all.
    #[serde(deserialize_with = "lenient::list")]
    pub damages: Vec<Damage>,
    /// How long it took, in s.
    pub took_s: f64,
}

impl Verification {
    /// One that was not begun.
    pub fn impossible(why: &str) -> Self {
        Self { unfinished: Some(why.to_owned()), ..Self::default() }
    }
}

/// How much was checked, and what was found that is no damage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// Rows compared with the topic.
    pub rows: u64,
    /// Of those, acked events.
    pub acked: u64,
    /// Records of the topic since the run's start, of whatever kind.
    pub records: u64,
    /// Of those, warm-up events.
    pub warm: u64,
    /// Of those, records of other runs or without our headers.
    pub foreign: u64,
    /// Of those, records that are no TagData with an identifier.
    pub undecodable: u64,
    /// Offsets beside them whose batches the client cannot decode.
    pub unreadable: u64,
    /// Of those, records that the workers set aside: they need not be in Redis.
    pub set_aside: u64,
    /// Second copies of events in the topic: a producer's retries.
    pub second_copies: u64,
    /// Events that were neither acked nor refused, and are in the topic.
    pub maybe_written: u64,
    /// Events of the run without a row, where rows could not be written.
    pub without_row: u64,
    /// Tags read back from Redis.
    pub tags: u64,
    /// Stream entries that were each found to be one record of the topic.
    pub entries: u64,
    /// Stream entries from before the run, and of records that came after the check had read the topic.
    pub entries_of_others: u64,
    /// Events that have been trimmed from their stream.
    pub trimmed: u64,
    /// Of those, events that no worker has told to be stored, so that only later entries speak for them.
    pub trimmed_untold: u64,
    /// Events in the topic that no worker has stored, nor told to have.
    pub not_stored: u64,
    /// Events without an ack that came after a later one of their producer, and so changed nothing.
    pub overtaken: u64,
    /// Snapshot values compared.
    pub values: u64,
    /// Snapshot values of names that only earlier runs have written.
    pub values_of_others: u64,
}

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An event was acked, consumed or stored, and the topic does not hold it at its place.
    NotInTopic,
    /// An event was proven unwritten, or never sent, and the topic holds it.
    Denied,
    /// The topic holds an event of the run that has no row.
    NoRow,
    /// A key of ours is of another type.
    WrongType,
    /// A stream entry that the store did not write, or with an ID that is not of the run's topic.
    NotOurs,
    /// A stream entry whose ID names no record of its tag.
    NoRecord,
    /// A second copy of an event took effect as well.
    Duplicate,
    /// A stream entry holds another name or value than its record.
    WrongContent,
    /// An event took effect after later ones, or at another's place.
    OutOfOrder,
    /// A stream entry does not name the one before it.
    WrongPrevious,
    /// An event is not in the stream, and was not trimmed after being stored.
    Missing,
    /// The tag's version is not its last stream ID.
    WrongVersion,
    /// The snapshot lacks a name.
    SnapshotMissing,
    /// The snapshot has a name that no event had.
    SnapshotExtra,
    /// The snapshot has an earlier value of a name.
    SnapshotStale,
    /// The snapshot has a value that no event gave to that name.
    SnapshotWrong,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInTopic => "events are not in the topic at the place where they should be",
            Self::Denied => "events are in the topic that were proven unwritten or never sent",
            Self::NoRow => "events of the run are in the topic and have no row",
            Self::WrongType => "keys are of another type than the store's",
            Self::NotOurs => "stream entries are not of this run's topic",
            Self::NoRecord => "stream entries name a record that is not there, or of another tag",
            Self::Duplicate => "events took effect twice",
            Self::WrongContent => "stream entries differ from their records",
            Self::OutOfOrder => "events took effect out of order",
            Self::WrongPrevious => "stream entries do not name the one before them",
            Self::Missing => "events are missing from their streams",
            Self::WrongVersion => "versions are not the last stream ID",
            Self::SnapshotMissing => "names are missing from snapshots",
            Self::SnapshotExtra => "names are in snapshots that no event had",
            Self::SnapshotStale => "snapshot values are older than the last event of their name",
            Self::SnapshotWrong => "snapshot values are those of no event",
        })
    }
}

/// Where a damage is, as far as that can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Tag as `application/tag/scope`, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Kafka partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Kafka offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Connection that published the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<u32>,
    /// Number of the event within the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let parts = [
            part("tag", self.tag.clone()),
            part("partition", self.partition.map(|number| number.to_string())),
            part("offset", self.offset.map(|number| number.to_string())),
            part("producer", self.producer.map(|number| number.to_string())),
            part("sequence", self.sequence.map(|number| number.to_string())),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Which kind.
    pub kind: Kind,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong, in words.
    pub problem: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}
