//! The store: each event goes into its tag's snapshot hash and delta stream in one atomic step, many events in one
//! round trip: one pipeline a shard, all in flight together, awaited once.
//!
//! Guaranteed: an event that is delivered again, late, or twice by its producer changes nothing (see `store.lua`), nor
//! does a batch that is tried again. Events of a tag are applied in order, also when one of them has to be tried again:
//! each says which one must be there already. Stream IDs are `<generation>-<Kafka offset + 1>`; `previous` chains each
//! entry to the one before. Slots that move, failovers and scripts that were flushed are got over without an error.
//! A tag that is new while its slot moves waits until the slot has moved, for Redis has no place for it before.
//!
//! What Redis acknowledged and has lost (restarted without its append-only file, failed over to a replica that lacked
//! the last writes, flushed) is noticed: by the first event of a tag that has gone back, and over every new connection,
//! for all tags of which this worker was told ([`APPLIED_MAX`]). Then nothing newer is stored of them, and [`Verdict`] says
//! from where in Kafka they have to be rebuilt, which the worker does, see [`crate::worker`].
//!
//! Not guaranteed: a worker that dies at the same time as Redis takes what it knew with it, and so does one whose
//! partitions change hands in that moment: then the next owner notices only tags that Redis has lost and that it has
//! written itself. What was stored before the run began, or is no longer in Kafka, cannot be rebuilt. Readers may have
//! seen what was lost; they are told of a gap. What no worker rebuilds is kept by Redis alone: the death of its process
//! it survives with its append-only file, that of its machine only where it writes to several (MemoryDB).

mod applied_offsets;
mod connections;
mod encode;
pub mod generation;
mod pipeline;
#[cfg(test)]
mod reader_server_tests;
#[cfg(test)]
mod reader_shard_server_tests;
mod reply;
mod retry;
mod rights;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod shard_server_tests;
#[cfg(test)]
mod topology_server_tests;

use std::{sync::Arc, time::Duration};

pub use self::{
    applied_offsets::{APPLIED_MAX, Verdict},
    pipeline::Store,
    retry::Backoff,
    rights::{Missing, is_refusal, missing},
};
use shasta_model::tag_data::TagData;

/// What Redis runs for each event.
const SCRIPT: &str = include_str!("store.lua");

/// One event to be stored.
#[derive(Debug)]
pub struct Write {
    /// The decoded event, with an identifier.
    pub event: TagData,
    /// Its Kafka partition.
    pub partition: i32,
    /// Its Kafka offset.
    pub offset: i64,
    /// Who published it, for events of a run; `None` for a foreign one.
    pub author: Option<Author>,
}

/// The producer's own numbering of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    /// Connection.
    pub producer: u32,
    /// Number within the connection.
    pub sequence: u64,
    /// Warm-up events are numbered on their own.
    pub warm: bool,
}

/// What storing an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Snapshot and stream have it.
    Applied,
    /// It was not new: nothing changed.
    Stale,
    /// Redis refuses this event and will refuse it again (a key of another type, say): nothing changed.
    Refused(String),
}

/// What has become of a batch so far; it is kept from one try to the next.
#[derive(Debug, Clone, Default)]
pub struct BatchProgress {
    effects: Vec<Option<Effect>>,
    /// Events that may be stored although no answer has said so.
    unanswered: Vec<bool>,
}

impl BatchProgress {
    /// Of a batch of so many events that was not tried yet.
    pub fn new(events: usize) -> Self {
        Self { effects: vec![None; events], unanswered: vec![false; events] }
    }

    /// What storing each event did, once every one is settled.
    pub fn effects(self) -> Option<Vec<Effect>> {
        self.effects.into_iter().collect()
    }

    /// Forgets the events for which `kept` is false.
    pub fn retain(&mut self, kept: &[bool]) {
        let mut each = kept.iter();
        self.effects.retain(|_| *each.next().unwrap_or(&true));
        each = kept.iter();
        self.unanswered.retain(|_| *each.next().unwrap_or(&true));
    }
}

/// What a run's workers share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Generation of the topic, see [`crate::store::generation`].
    pub generation: u64,
    /// Run that the events belong to.
    pub run: Arc<str>,
    /// Approximate length to which each delta stream is trimmed.
    pub stream_maxlen: u32,
    /// How long Redis may take to answer a batch before the connection is given up.
    pub timeout: Duration,
}
