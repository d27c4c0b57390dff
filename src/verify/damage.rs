//! What a check finds wrong: counted by kind, and the first of each kind in full.

use std::collections::BTreeMap;

use shasta_model::manifest::verification::{Damage, Kind, Place};

/// Most damages that are kept in full, in all and of one kind; all are counted.
const LISTED_MAX: usize = 100;
const LISTED_MAX_EACH: usize = 20;
/// A tag may be as long as an event.
const TAG_CHARS_MAX: usize = 120;

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
