//! What a reader gives: snapshots, deltas, and gaps between them.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

use super::StreamId;

/// All values of a tag at one point of its history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last change that it contains; [`StreamId::ZERO`] for a tag that has none.
    pub version: StreamId,
    /// Name → value.
    pub values: BTreeMap<String, Bytes>,
}

impl Snapshot {
    /// Applies the next change.
    pub fn apply(&mut self, delta: &Delta) {
        self.version = delta.id;
        self.values.insert(delta.name.clone(), delta.data.clone());
    }
}

/// One change of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Its place in the tag's history.
    pub id: StreamId,
    /// The change before it; [`StreamId::ZERO`] for the first.
    pub previous: StreamId,
    /// Name whose value has changed.
    pub name: String,
    /// The new value.
    pub data: Bytes,
}

/// What a follower gets: first a snapshot, then every change after it, in order and once. A gap is always followed by
/// a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Forget what was before: this is the state now.
    Snapshot(Snapshot),
    /// The change that comes next.
    Delta(Delta),
    /// Changes were missed. A snapshot follows as soon as one can be read.
    Gap(Gap),
}

/// A break in the history that a follower got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The last change that the follower has.
    pub expected: StreamId,
    /// The change that Redis continues from instead, where it is known.
    pub found: Option<StreamId>,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gap after {}", self.expected)?;
        if let Some(found) = self.found {
            write!(f, " (Redis goes on after {found})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why a follower has missed changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The stream no longer holds the changes that come next: trimmed, deleted, or written to by others.
    #[error("the changes that come next are no longer in the stream")]
    Trimmed,
    /// The topic began anew, so nobody knows what was lost with the old one.
    #[error("the topic has begun a new generation")]
    Generation,
    /// Redis is behind what it had told: flushed, restored, or failed over with writes lost.
    #[error("Redis has lost changes that it had before")]
    Rewound,
    /// Redis holds something under the tag's keys that the store did not write.
    #[error("{0}")]
    Foreign(String),
    /// The follower did not take its events in time.
    #[error("the follower did not keep up")]
    Lagged,
}
