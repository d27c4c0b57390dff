//! Which rows are looked at together: by pair or by second, and in which groups of either.

use std::ops::Range;

/// Rows that are brought together by group at once.
const BATCH_ROWS_MAX: u64 = 1 << 24;

/// What groups of rows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Source and destination.
    Pair,
    /// The whole second of the window in which it was scheduled.
    Second,
}

/// Groups of keys; rows with other keys are in none.
#[derive(Debug, Clone)]
pub enum Groups {
    /// `count` groups of `keys` successive keys each, the smallest of which is `first`.
    Successive {
        /// The smallest key of group 0.
        first: u16,
        /// Keys in a group.
        keys: u16,
        /// Groups.
        count: usize,
    },
    /// Any keys together.
    Listed {
        /// The group of each key from key 0.
        group_of: Vec<usize>,
        /// Groups; a larger number is none.
        count: usize,
    },
}

impl Groups {
    /// One key a group, from key 0.
    pub fn each(count: usize) -> Self {
        Self::Successive { first: 0, keys: 1, count }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Successive { count, .. } | Self::Listed { count, .. } => *count,
        }
    }

    /// The group of a key; too large a number where it is in none.
    pub(super) fn of(&self, key: u16) -> usize {
        match self {
            Self::Successive { first, keys, .. } => {
                key.checked_sub(*first).map_or(usize::MAX, |key| usize::from(key / keys))
            }
            Self::Listed { group_of, .. } => group_of.get(usize::from(key)).copied().unwrap_or(usize::MAX),
        }
    }
}

/// How many rows of a group have the latency, and how many do not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GroupCount {
    /// Those that do not fit 32 bits are left out.
    pub finite: u64,
    pub missing: u64,
}

/// Successive groups with at most [`BATCH_ROWS_MAX`] rows together, or one alone.
pub(super) fn batches(counts: &[GroupCount]) -> Vec<Range<usize>> {
    let (mut batches, mut start, mut rows) = (Vec::new(), 0, 0);
    for (group, GroupCount { finite, .. }) in counts.iter().enumerate() {
        if rows + finite > BATCH_ROWS_MAX && group > start {
            batches.push(start..group);
            (start, rows) = (group, 0);
        }
        rows += finite;
    }
    batches.push(start..counts.len());
    batches
}
