//! What a check finds wrong: counted by kind, and the first of each kind in full.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// Most damages that are kept in full, in all and of one kind; all are counted.
const LISTED_MAX: usize = 100;
const LISTED_MAX_EACH: usize = 20;
/// A tag may be as long as an event.
const TAG_CHARS_MAX: usize = 120;

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Tag as `application/tag/scope`, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Kafka partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Kafka offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Connection that published the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<u32>,
    /// Number of the event within the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// All that was found wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub counts: BTreeMap<Kind, u64>,
    pub listed: Vec<Damage>,
}

impl Findings {
    /// Counts a damage, and keeps it while there is room.
    pub fn add(&mut self, kind: Kind, mut place: Place, problem: impl Into<String>) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count > LISTED_MAX_EACH as u64 || self.listed.len() >= LISTED_MAX {
            return;
        }
        if let Some(tag) = &mut place.tag
            && let Some((end, _)) = tag.char_indices().nth(TAG_CHARS_MAX)
        {
            tag.truncate(end);
            tag.push('…');
        }
        self.listed.push(Damage { kind, place, problem: problem.into() });
    }
}
