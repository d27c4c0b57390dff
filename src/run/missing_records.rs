//! Offsets of the topic of which no record was consumed, and what became of the acked events among them.

use std::{collections::BTreeMap, ops::Range};

use crate::worker::report::{Absent, Passage};
use shasta_model::{ledger::Ledger, manifest::record::Undecodable};

/// Most passages that are kept; workers have no reason to tell of more.
const KEPT_MAX: usize = 1_000_000;

/// What all workers have passed by: partition, first offset, the one after the last and why, with the client's words.
#[derive(Debug, Default)]
pub struct Passages(BTreeMap<(i32, i64, i64, Absent), String>);

impl Passages {
    /// Takes a worker's word.
    pub fn add(&mut self, passage: Passage) {
        let absent = passage.absent();
        let Passage { partition, from, to, reason, .. } = passage;
        if self.0.len() < KEPT_MAX {
            self.0.entry((partition, from, to, absent)).or_insert(reason);
        }
    }

    /// Counts each offset once that is not `seen` elsewhere, by why it is absent. `seen` is told of each.
    pub fn count(&self, ledger: &mut Ledger, mut seen: impl FnMut(i32, i64) -> bool) {
        // What a client could not decode in one place, another may have found deleted.
        for why in [Absent::Undecodable, Absent::Gone, Absent::NoRecord] {
            let count = match why {
                Absent::Undecodable => &mut ledger.undecodable,
                Absent::Gone => &mut ledger.gone,
                Absent::NoRecord => &mut ledger.no_record,
            };
            for &(partition, from, to, _) in self.0.keys().filter(|(.., absent)| *absent == why) {
                *count += (from..to).filter(|offset| !seen(partition, *offset)).count() as u64;
            }
        }
    }

    /// The batches that could not be decoded.
    pub fn undecodable(&self) -> impl Iterator<Item = Undecodable> {
        self.0
            .iter()
            .filter(|((.., absent), _)| *absent == Absent::Undecodable)
            .map(|(&(partition, from, to, _), reason)| Undecodable { partition, from, to, reason: reason.clone() })
    }

    /// Says where the acked events are that nobody has consumed: `lost` has their places, `logs` where the topic's
    /// partitions begin and end now.
    pub fn place(&self, lost: &[(i32, i64)], logs: &[Range<i64>], ledger: &mut Ledger) {
        for &(partition, offset) in lost {
            let covers = |&&(_, from, to, absent): &&(i32, i64, i64, Absent)| {
                absent != Absent::NoRecord && (from..to).contains(&offset)
            };
            let of_partition =
                (partition, i64::MIN, i64::MIN, Absent::NoRecord)..(partition, offset, i64::MAX, Absent::Undecodable);
            let passed = self.0.range(of_partition).map(|(place, _)| place).find(covers);
            let log = usize::try_from(partition).ok().and_then(|at| logs.get(at));
            let count = match (passed.map(|(.., absent)| absent), log) {
                (_, Some(log)) if offset >= log.end => &mut ledger.lost_cut_off,
                (Some(Absent::Gone), _) => &mut ledger.lost_gone,
                (_, Some(log)) if offset < log.start => &mut ledger.lost_gone,
                (Some(_), _) => &mut ledger.lost_undecodable,
                (None, Some(_)) => &mut ledger.lost_held,
                (None, None) => continue,
            };
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(absent: Absent, range: Range<i64>) -> Passage {
        Passage { partition: 0, from: range.start, to: range.end, absent: absent as i32, reason: String::new() }
    }

    #[test]
    fn an_offset_counts_once_whoever_tells_of_it() {
        let mut passages = Passages::default();
        let all = [
            passage(Absent::NoRecord, 3..6),
            passage(Absent::Gone, 0..5),
            passage(Absent::Undecodable, 4..5),
            passage(Absent::Gone, 0..5),
        ];
        all.into_iter().for_each(|one| passages.add(one));
        let (mut ledger, mut seen) = (Ledger::default(), vec![(0, 1)]);
        passages.count(&mut ledger, |partition, offset| {
            let is_seen = seen.contains(&(partition, offset));
            seen.push((partition, offset));
            is_seen
        });
        assert_eq!((ledger.undecodable, ledger.gone, ledger.no_record), (1, 3, 1));
    }

    #[test]
    fn lost_events_are_told_by_where_they_are() {
        let mut passages = Passages::default();
        passages.add(passage(Absent::Gone, 10..20));
        passages.add(passage(Absent::Undecodable, 40..42));
        let lost = [(0, 5), (0, 12), (0, 41), (0, 60), (0, 99), (0, 100), (7, 3)];
        let logs = [Range { start: 8, end: 100 }];
        let mut ledger = Ledger::default();
        passages.place(&lost, &logs, &mut ledger);
        let found = [ledger.lost_gone, ledger.lost_undecodable, ledger.lost_held, ledger.lost_cut_off];
        assert_eq!(found, [2, 1, 2, 1]);
        // Where the brokers do not say, only what the workers saw is known.
        let mut ledger = Ledger::default();
        passages.place(&lost, &[], &mut ledger);
        assert_eq!([ledger.lost_gone, ledger.lost_undecodable, ledger.lost_held], [1, 1, 0]);
    }
}
