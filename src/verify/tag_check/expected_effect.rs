//! What each record of a tag must have done to the store, as far as the topic alone says.

use std::collections::HashMap;

use crate::{store::Author, verify::topic_records::Record};

/// What the store should have done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedEffect {
    /// The store applies it.
    Applied,
    /// It came after a later event of its producer, and nobody was told that it is there: it changes nothing.
    Overtaken,
    /// A further copy of an event, or set aside.
    Ignored,
    /// Another's: it may have been applied or not.
    Foreign,
}

/// The effect of each record of a tag, in order of offsets.
pub(super) fn expected_effects(records: &[Record]) -> Vec<ExpectedEffect> {
    let mut last: HashMap<(bool, u32), u64> = HashMap::new();
    let effect = |record: &Record| {
        let Some(Author { producer, sequence, warm }) = record.author else { return ExpectedEffect::Foreign };
        if !record.first {
            return ExpectedEffect::Ignored;
        }
        let highest = last.entry((warm, producer)).or_insert(sequence);
        if *highest > sequence && !record.acked {
            return ExpectedEffect::Overtaken;
        }
        *highest = sequence.max(*highest);
        ExpectedEffect::Applied
    };
    records.iter().map(effect).collect()
}
