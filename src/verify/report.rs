//! What a check says in the end: on the screen, and as `verification` in the manifest.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::damage::{Damage, Kind};
use shasta_model::number::thousands;

/// Damages that are printed of each kind; the manifest has more.
const SHOWN: usize = 3;

/// How much was checked, and what was found that is no damage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.checked;
        let state = match (&self.unfinished, self.damage_count) {
            (None, 0) => "passed".to_owned(),
            (None, count) => format!("FAILED, {} damages", thousands(count)),
            (Some(why), 0) => format!("NOT FINISHED, {why}"),
            (Some(why), count) => format!("FAILED, {} damages, and not finished, {why}", thousands(count)),
        };
        let n = thousands;
        write!(
            f,
            "checked {} events, {} of them acked, {} tags, {} stream entries, {} snapshot values, against {} records of \
             the topic: {state}",
            n(c.rows),
            n(c.acked),
            n(c.tags),
            n(c.entries),
            n(c.values),
            n(c.records),
        )?;
        let apart = [
            ("warm-up", c.warm),
            ("foreign", c.foreign),
            ("no TagData", c.undecodable),
            ("not decodable", c.unreadable),
            ("rejected", c.set_aside),
            ("second copies", c.second_copies),
            ("written without an ack", c.maybe_written),
            ("overtaken", c.overtaken),
            ("not stored", c.not_stored),
            ("without a row", c.without_row),
            ("trimmed after being stored", c.trimmed - c.trimmed_untold),
            ("trimmed untold", c.trimmed_untold),
            ("entries of others", c.entries_of_others),
            ("values of others", c.values_of_others),
        ];
        let apart: Vec<_> =
            apart.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what} {}", n(*count))).collect();
        if !apart.is_empty() {
            write!(f, "\n  apart: {}", apart.join(", "))?;
        }
        for (kind, count) in &self.damage_counts {
            write!(f, "\n  {} {kind}", n(*count))?;
            for damage in self.damages.iter().filter(|damage| damage.kind == *kind).take(SHOWN) {
                write!(f, "\n    {damage}")?;
            }
        }
        Ok(())
    }
}
