//! What happened to every planned event. Each line is counted where it happens, none is the difference of others, so
//! that a line that does not balance shows a lost or invented event.

use serde::{Deserialize, Serialize};

use crate::slo;

/// The counts of one run, over distinct (producer, sequence) of the window unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Events that the schedule asked for, counted by the producing threads.
    pub planned: u64,
    /// Handed to the client, counted by the producing threads.
    pub sent: u64,
    /// Never handed to the client.
    pub unsent: u64,
    /// Acked by all in-sync replicas.
    pub acked: u64,
    /// Proven unwritten.
    pub failed: u64,
    /// Neither acked nor proven unwritten.
    pub maybe: u64,
    /// Acked and consumed.
    pub acked_consumed: u64,
    /// Acked and not consumed before the drain ended.
    pub lost: u64,
    /// Not acked, and consumed all the same.
    pub maybe_consumed: u64,
    /// Not acked and not consumed before the drain ended.
    pub maybe_unseen: u64,
    /// Consumed, counted as receipts come.
    pub consumed: u64,
    /// Stored in Redis, as Redis answered.
    pub stored: u64,
    /// Of those stored: the first delivery that was told of changed nothing, so another one must have stored the event.
    #[serde(default)]
    pub stored_late: u64,
    /// Could not be stored, and set aside with offset and reason.
    pub set_aside: u64,
    /// Consumed, and Redis had not answered before the drain ended.
    pub unstored: u64,
    /// Rows in the file, counted by reading it back.
    pub rows: u64,
    /// Further deliveries of events that had been delivered.
    pub duplicates: u64,
    /// Those of them that are a second copy in Kafka: a record at another offset, written again by its producer.
    #[serde(default)]
    pub copies: u64,
    /// Deliveries that the store found to be no news: not newer than what the tag had.
    pub late: u64,
    /// Times that a worker found that Redis had lost what it had acknowledged, and read partitions again.
    #[serde(default)]
    pub rewinds: u64,
    /// Records that were delivered again because of that; those that had been delivered are duplicates as well.
    #[serde(default)]
    pub replayed: u64,
    /// Records of other runs or without our headers.
    pub foreign: u64,
    /// Distinct (partition, offset) of those.
    #[serde(default)]
    pub foreign_records: u64,
    /// Distinct offsets that lie in batches that the client could not decode, and were passed by.
    #[serde(default)]
    pub undecodable: u64,
    /// Distinct offsets that were deleted from the topic before a worker came to them.
    #[serde(default)]
    pub gone: u64,
    /// Distinct offsets that hold no record: the ends of others' transactions, or what compaction has left.
    #[serde(default)]
    pub no_record: u64,
    /// Of the lost events, those that Kafka still holds.
    #[serde(default)]
    pub lost_held: u64,
    /// Of the lost events, those that were deleted from the topic before a worker came to them.
    #[serde(default)]
    pub lost_gone: u64,
    /// Of the lost events, those behind the topic's end: it was made anew, or cut off.
    #[serde(default)]
    pub lost_cut_off: u64,
    /// Of the lost events, those that Kafka holds in batches that the client could not decode.
    #[serde(default)]
    pub lost_undecodable: u64,
    /// Warm-up records.
    pub warm: u64,
    /// Rows with a stage of the chain that took 0 µs.
    pub zero: u64,
    /// Rows with a stage of the chain that took less than 0 µs: two clocks disagree.
    pub negative: u64,
    /// Events that were consumed although they were proven unwritten, or never sent.
    #[serde(default)]
    pub impossible: u64,
    /// Records in the topic between the start and the end of the run, by its end offsets.
    #[serde(default)]
    pub topic_records: u64,
    /// Records consumed, distinct (partition, offset), of whatever kind.
    #[serde(default)]
    pub consumed_records: u64,
    /// Whether every line balances.
    pub valid: bool,
    /// What does not balance, in words.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// Counts of a ledger.
const COUNTS: usize = 36;

/// A count with its name.
pub type Named = (&'static str, u64);

impl Ledger {
    /// The sums that must hold: a count, and the counts that it is made of.
    pub fn sums(&self) -> [(Named, Vec<Named>); 7] {
        let consumed = ("consumed", self.consumed);
        let [acked_consumed, maybe_consumed] =
            [("acked_consumed", self.acked_consumed), ("maybe_consumed", self.maybe_consumed)];
        [
            (("planned", self.planned), vec![("sent", self.sent), ("unsent", self.unsent)]),
            (("sent", self.sent), vec![("acked", self.acked), ("failed", self.failed), ("maybe", self.maybe)]),
            (("acked", self.acked), vec![acked_consumed, ("lost", self.lost)]),
            (("maybe", self.maybe), vec![maybe_consumed, ("maybe_unseen", self.maybe_unseen)]),
            (consumed, vec![acked_consumed, maybe_consumed]),
            (consumed, vec![("stored", self.stored), ("set_aside", self.set_aside), ("unstored", self.unstored)]),
            (("rows", self.rows), vec![("planned", self.planned)]),
        ]
    }

    /// The sums that do not hold, in words.
    pub fn broken_sums(&self) -> Vec<String> {
        self.sums().iter().filter_map(|(whole, parts)| broken(whole, parts)).collect()
    }

    /// What was counted beside the planned events.
    pub fn apart(&self) -> [Named; 6] {
        [
            ("duplicates", self.duplicates),
            ("foreign", self.foreign),
            ("warm", self.warm),
            ("zero", self.zero),
            ("negative", self.negative),
            ("late", self.late),
        ]
    }

    /// Adds what another host counted.
    pub fn add(&mut self, mut other: Self) {
        for (own, other) in self.counts_mut().into_iter().zip(other.counts_mut()) {
            *own = own.saturating_add(*other);
        }
        self.valid &= other.valid;
        self.problems.append(&mut other.problems);
    }

    fn counts_mut(&mut self) -> [&mut u64; COUNTS] {
        [
            &mut self.planned,
            &mut self.sent,
            &mut self.unsent,
            &mut self.acked,
            &mut self.failed,
            &mut self.maybe,
            &mut self.acked_consumed,
            &mut self.lost,
            &mut self.maybe_consumed,
            &mut self.maybe_unseen,
            &mut self.consumed,
            &mut self.stored,
            &mut self.stored_late,
            &mut self.set_aside,
            &mut self.unstored,
            &mut self.rows,
            &mut self.duplicates,
            &mut self.copies,
            &mut self.late,
            &mut self.rewinds,
            &mut self.replayed,
            &mut self.foreign,
            &mut self.foreign_records,
            &mut self.undecodable,
            &mut self.gone,
            &mut self.no_record,
            &mut self.lost_held,
            &mut self.lost_gone,
            &mut self.lost_cut_off,
            &mut self.lost_undecodable,
            &mut self.warm,
            &mut self.zero,
            &mut self.negative,
            &mut self.impossible,
            &mut self.topic_records,
            &mut self.consumed_records,
        ]
    }

    /// Checks every line and says in words what does not balance.
    pub fn check(mut self) -> Self {
        self.problems = self.broken_sums();
        if self.impossible > 0 {
            let text = "were consumed although they were proven unwritten or never sent";
            self.problems.push(format!("{} events {text}", self.impossible));
        }
        // Records that were written and not consumed are lost or unseen events; more than were written cannot be.
        if self.consumed_records > self.topic_records {
            let (consumed, topic) = (self.consumed_records, self.topic_records);
            self.problems.push(format!("{consumed} records consumed, but the topic holds {topic} of this run's time"));
        }
        let missing = self.unconsumed_records();
        // Where others publish, they do not end with this run: then these are theirs, as far as anyone can tell.
        if missing > 0 && self.foreign == 0 {
            self.problems.push(format!("{missing} records of the topic were not consumed, though no event is missing"));
        }
        if self.too_many_skipped() {
            self.problems.push(format!(
                "{} events count as stored but changed nothing: Redis held newer entries of their tags; use an empty \
                 Redis, and neither a Redis nor a topic that another run is using",
                self.skipped()
            ));
        }
        self.valid = self.problems.is_empty();
        self
    }

    /// Records of the topic that no worker has seen, where no event of this run accounts for them.
    pub fn unconsumed_records(&self) -> u64 {
        let accounted = self.consumed_records + self.undecodable + self.gone + self.no_record;
        if self.lost + self.maybe_unseen > 0 { 0 } else { self.topic_records.saturating_sub(accounted) }
    }

    /// Events that changed nothing at their first delivery, beyond what redelivery explains: a worker that dies tells
    /// all that it stored but the last 20 ms, and leaves far more that is delivered twice. Their writes were skipped.
    pub fn skipped(&self) -> u64 {
        self.stored_late.saturating_sub(self.duplicates)
    }

    /// Whether those could decide the verdict.
    pub fn too_many_skipped(&self) -> bool {
        slo::too_many(self.planned, self.skipped())
    }
}

/// `planned is 8, but sent 7 + unsent 2 are 9`. A manifest is untrusted, and its counts may be as large as they like.
fn broken((name, whole): &Named, parts: &[Named]) -> Option<String> {
    let sum: u128 = parts.iter().map(|(_, count)| u128::from(*count)).sum();
    let told = match parts {
        [(part, count)] => format!("{part} is {count}"),
        parts => {
            let each = parts.iter().map(|(part, count)| format!("{part} {count}")).collect::<Vec<_>>();
            format!("{} are {sum}", each.join(" + "))
        }
    };
    (u128::from(*whole) != sum).then(|| format!("{name} is {whole}, but {told}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn balanced([unsent, failed, lost, maybe_unseen, stored, set_aside, unstored, maybe]: [u64; 8]) -> Ledger {
        let consumed = stored + set_aside + unstored;
        let maybe_consumed = maybe.min(consumed);
        let acked_consumed = consumed - maybe_consumed;
        let (acked, maybe) = (acked_consumed + lost, maybe_consumed + maybe_unseen);
        let sent = acked + failed + maybe;
        Ledger {
            planned: sent + unsent,
            sent,
            unsent,
            acked,
            failed,
            maybe,
            acked_consumed,
            lost,
            maybe_consumed,
            maybe_unseen,
            consumed,
            stored,
            set_aside,
            unstored,
            rows: sent + unsent,
            topic_records: consumed + lost,
            consumed_records: consumed,
            ..Ledger::default()
        }
    }

    #[test]
    fn a_failed_event_that_is_consumed_is_invalid_in_words() {
        let ledger = Ledger { impossible: 1, ..balanced([0, 1, 0, 0, 9, 0, 0, 0]) }.check();
        assert!(!ledger.valid);
        assert_eq!(ledger.problems, ["1 events were consumed although they were proven unwritten or never sent"]);
    }

    #[test]
    fn a_record_that_nobody_missed_is_invalid() {
        let ledger = Ledger { topic_records: 10, ..balanced([0, 0, 0, 0, 9, 0, 0, 0]) }.check();
        assert_eq!(ledger.problems, ["1 records of the topic were not consumed, though no event is missing"]);
    }

    #[test]
    fn records_that_nobody_missed_may_be_those_of_others() {
        let ledger = Ledger { topic_records: 10, foreign: 3, ..balanced([0, 0, 0, 0, 9, 0, 0, 0]) }.check();
        assert!(ledger.valid && ledger.unconsumed_records() == 1, "{:?}", ledger.problems);
    }

    #[test]
    fn offsets_that_nobody_can_consume_are_accounted_for() {
        let ledger =
            Ledger { topic_records: 15, undecodable: 3, gone: 2, no_record: 1, ..balanced([0, 0, 0, 0, 9, 0, 0, 0]) };
        assert!(ledger.clone().check().valid);
        assert!(!Ledger { no_record: 0, ..ledger }.check().valid);
    }

    #[test]
    fn writes_that_were_skipped_do_not_pass_as_stored() {
        let stored = |stored_late, duplicates| {
            Ledger { stored_late, duplicates, ..balanced([0, 0, 0, 0, 20_000, 0, 0, 0]) }.check()
        };
        assert!(stored(20_000, 0).problems[0].starts_with("20000 events count as stored but changed nothing"));
        assert!(!stored(3, 0).valid);
        let (explained, few) = (stored(5, 40), stored(2, 0));
        assert!(explained.valid && explained.skipped() == 0);
        assert!(few.valid && few.skipped() == 2, "no more than the SLO allows, which a warning tells");
    }

    proptest! {
        #[test]
        fn sums_that_hold_are_valid_and_any_other_is_not(counts in prop::array::uniform8(0u64..1000), line in 0usize..15) {
            let ledger = balanced(counts);
            prop_assert!(ledger.clone().check().valid);
            let mut broken = ledger;
            let fields = [
                &mut broken.planned, &mut broken.sent, &mut broken.unsent, &mut broken.acked, &mut broken.failed,
                &mut broken.maybe, &mut broken.acked_consumed, &mut broken.lost, &mut broken.maybe_consumed,
                &mut broken.maybe_unseen, &mut broken.consumed, &mut broken.stored, &mut broken.set_aside,
                &mut broken.unstored, &mut broken.rows,
            ];
            *fields.into_iter().nth(line).unwrap() += 1;
            prop_assert!(!broken.check().valid);
        }
    }
}
