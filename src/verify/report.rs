//! What a check says in the end: on the screen, and as `verification` in the manifest.

use std::fmt;

use shasta_model::{manifest::verification::Verification, number::thousands};

/// Damages that are printed of each kind; the manifest has more.
const SHOWN: usize = 3;

/// What came of a check, for people.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a>(pub &'a Verification);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(check) = self;
        let c = &check.checked;
        let state = match (&check.unfinished, check.damage_count) {
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
            ("trimmed after being stored", c.trimmed.saturating_sub(c.trimmed_untold)),
            ("trimmed untold", c.trimmed_untold),
            ("entries of others", c.entries_of_others),
            ("values of others", c.values_of_others),
        ];
        let apart: Vec<_> =
            apart.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what} {}", n(*count))).collect();
        if !apart.is_empty() {
            write!(f, "\n  apart: {}", apart.join(", "))?;
        }
        for (kind, count) in &check.damage_counts {
            write!(f, "\n  {} {kind}", n(*count))?;
            for damage in check.damages.iter().filter(|damage| damage.kind == *kind).take(SHOWN) {
                write!(f, "\n    {damage}")?;
            }
        }
        Ok(())
    }
}
