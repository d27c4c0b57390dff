//! Joins what producers and workers say of each event into its row, off the hot path: one thread, no lock.
//!
//! A row is written as soon as its event is stored and its ack is known. All others wait until the drain has ended, for
//! only then is it known that nothing more comes.

use std::collections::{BTreeSet, HashMap};

use crate::{
    output::rows::Row,
    producer::{self, Outcome, PublishOutcome},
    run::missing_records::Passages,
    worker::report::{Kind, Passage, Read, Receipt, Stored},
};
use shasta_model::{columns::CHAIN, ledger::Ledger};

/// Most reads that wait for their event's receipt: a few seconds' worth, where there are never that many.
const EARLY_MAX: usize = 1_000_000;

/// One event that is not complete yet.
#[derive(Debug, Default)]
struct Open {
    outcome: Option<Outcome>,
    first: Option<(u32, Receipt)>,
    after_read_us: Option<i64>,
}

/// A growing set of small numbers: one bit each.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; false when it was there.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, number: u64) -> bool {
        self.0.get((number / 64) as usize).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

/// The joiner of one run.
#[derive(Debug)]
pub struct Join {
    instances: u32,
    start_offsets: Vec<i64>,
    /// Events that each connection can have at most; a receipt past it is not one of ours.
    events_max: u64,
    open: HashMap<(u32, u64), Open>,
    consumed: Vec<Bits>,
    closed: Vec<Bits>,
    records: Vec<Bits>,
    reads: Option<Reads>,
    /// Partitions in which a worker that died may have stored events that it had no time to tell of.
    untold: BTreeSet<i32>,
    passages: Passages,
    /// Partition and offset of the events that were acked and not consumed.
    lost: Vec<(i32, i64)>,
    /// The offset after the last that was consumed, of each partition.
    reached: Vec<i64>,
    ledger: Ledger,
}

/// What is left when nothing more comes.
#[derive(Debug)]
pub struct Rest {
    /// The rows that waited.
    pub rows: Vec<Row>,
    /// The ledger as far as it is counted here.
    pub ledger: Ledger,
    /// What workers have passed by.
    pub passages: Passages,
    /// Partition and offset of the events that were acked and not consumed.
    pub lost: Vec<(i32, i64)>,
    /// The offset after the last that was consumed, of each partition.
    pub reached: Vec<i64>,
}

/// What is known of reads, in a run that has readers. A place is (partition, offset).
#[derive(Debug, Default)]
struct Reads {
    /// By tag.
    partitions: Vec<i32>,
    /// Stored events that no reader has told of yet.
    awaited: HashMap<(i32, i64), (u32, u64)>,
    /// Reads that were told before the worker told of the event.
    early: HashMap<(i32, i64), i64>,
}

impl Join {
    /// For a run of `connections` with at most `events_max` events each, whose topic began at `start_offsets`.
    pub fn new(connections: u32, instances: u32, events_max: u64, start_offsets: Vec<i64>) -> Self {
        let bits = |count: usize| (0..count).map(|_| Bits::default()).collect::<Vec<_>>();
        Self {
            instances,
            events_max,
            open: HashMap::new(),
            consumed: bits(connections as usize),
            closed: bits(connections as usize),
            records: bits(start_offsets.len()),
            reached: start_offsets.clone(),
            start_offsets,
            reads: None,
            untold: BTreeSet::new(),
            passages: Passages::default(),
            lost: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// For a run with readers: rows wait for them. `partitions` has the partition of each tag.
    pub fn with_readers(self, partitions: Vec<i32>) -> Self {
        Self { reads: Some(Reads { partitions, ..Reads::default() }), ..self }
    }

    /// Takes a worker's word that it read partitions again, and how many records came again.
    pub fn rewound(&mut self, rewinds: u64, replayed: u64) {
        self.ledger.rewinds += rewinds;
        self.ledger.replayed += replayed;
    }

    /// Takes a worker's word that offsets could not be consumed.
    pub fn passed(&mut self, passage: Passage) {
        self.passages.add(passage);
    }

    /// Takes a reader's word that it has an event; the first one counts. Returns the row if that completes it.
    pub fn read(&mut self, read: Read) -> Option<Row> {
        let reads = self.reads.as_mut()?;
        let place = (*reads.partitions.get(usize::try_from(read.tag).ok()?)?, read.offset);
        if let Some(key) = reads.awaited.remove(&place) {
            self.open.get_mut(&key)?.after_read_us = Some(read.after_read_us);
            return self.complete(key);
        }
        let first = self.start_offsets.get(place.0 as usize)?;
        let nth = u64::try_from(read.offset.checked_sub(*first)?).ok()?;
        // What a worker has told of and nobody waits for is not an event of the window, or was read before.
        if !self.records[place.0 as usize].contains(nth) && reads.early.len() < EARLY_MAX {
            reads.early.entry(place).or_insert(read.after_read_us);
        }
        None
    }

    /// No reader tells anything any more: the rows that wait for one.
    pub fn no_more_reads(&mut self) -> Vec<Row> {
        let waiting = self.reads.take().map_or_else(Vec::new, |reads| reads.awaited.into_values().collect());
        waiting.into_iter().filter_map(|key| self.complete(key)).collect()
    }

    /// Takes the producer's word; returns the row if that completes it.
    pub fn outcome(&mut self, outcome: Outcome) -> Option<Row> {
        if outcome.due.warm {
            return None;
        }
        let count = match outcome.result {
            PublishOutcome::Acked => &mut self.ledger.acked,
            PublishOutcome::Failed => &mut self.ledger.failed,
            PublishOutcome::Maybe => &mut self.ledger.maybe,
            PublishOutcome::Unsent => &mut self.ledger.unsent,
        };
        *count += 1;
        let key = (outcome.due.connection, outcome.due.sequence);
        self.open.entry(key).or_default().outcome = Some(outcome);
        self.complete(key)
    }

    /// A worker is gone, and may have stored events that it did not tell of: the first of each partition that are
    /// delivered again and change nothing are those, up to the first that is new.
    pub fn worker_gone(&mut self) {
        self.untold = (0..self.start_offsets.len() as i32).collect();
    }

    /// Takes a worker's word of one record; returns the row if that completes it.
    pub fn receipt(&mut self, worker: u32, receipt: Receipt) -> Option<Row> {
        let mut new = false;
        if let Some(first) = self.start_offsets.get(receipt.partition as usize) {
            new = u64::try_from(receipt.offset.saturating_sub(*first))
                .is_ok_and(|nth| self.records[receipt.partition as usize].insert(nth));
            self.ledger.consumed_records += u64::from(new);
            let reached = &mut self.reached[receipt.partition as usize];
            *reached = receipt.offset.saturating_add(1).max(*reached);
        }
        if receipt.stored() == Stored::Stale {
            self.ledger.late += 1;
        }
        let place = (receipt.partition, receipt.offset);
        let after_read_us = self.reads.as_mut().and_then(|reads| reads.early.remove(&place));
        match receipt.kind() {
            Kind::Foreign => {
                self.ledger.foreign += 1;
                self.ledger.foreign_records += u64::from(new);
            }
            Kind::Warm => self.ledger.warm += 1,
            Kind::Event => return self.event(worker, receipt, (new, after_read_us)),
        }
        None
    }

    /// One of the window's; `new` says that its record had not been delivered before.
    fn event(&mut self, worker: u32, receipt: Receipt, (new, after_read_us): (bool, Option<i64>)) -> Option<Row> {
        let key = (receipt.producer, receipt.sequence);
        let index = receipt.producer as usize;
        if index >= self.consumed.len() || receipt.sequence >= self.events_max {
            // Says that it is of this run, but this run has no such event.
            self.ledger.impossible += 1;
            return None;
        }
        if !self.consumed[index].insert(receipt.sequence) {
            self.ledger.duplicates += 1;
            self.ledger.copies += u64::from(new);
            return None;
        }
        if self.closed[index].contains(receipt.sequence) {
            self.ledger.impossible += 1;
            return None;
        }
        self.ledger.consumed += 1;
        self.ledger.stored_late +=
            u64::from(receipt.stored() == Stored::Stale && !self.untold.contains(&receipt.partition));
        if receipt.stored() == Stored::Applied {
            self.untold.remove(&receipt.partition);
        }
        // A retry that the producer's own first copy has overtaken is stored all the same: by that copy.
        match receipt.stored() {
            Stored::Applied | Stored::Stale => self.ledger.stored += 1,
            Stored::SetAside => self.ledger.set_aside += 1,
            Stored::Not => self.ledger.unstored += 1,
        }
        let open = self.open.entry(key).or_default();
        (open.first, open.after_read_us) = (Some((worker, receipt)), after_read_us);
        let is_stored = matches!(receipt.stored(), Stored::Applied | Stored::Stale);
        if let Some(reads) = self.reads.as_mut().filter(|_| is_stored && after_read_us.is_none()) {
            reads.awaited.insert((receipt.partition, receipt.offset), key);
        }
        self.complete(key)
    }

    fn complete(&mut self, key: (u32, u64)) -> Option<Row> {
        let open = self.open.get(&key)?;
        let outcome = open.outcome?;
        let complete = match outcome.result {
            PublishOutcome::Unsent => true,
            PublishOutcome::Acked | PublishOutcome::Maybe => {
                open.first.is_some_and(|(_, Receipt { partition, offset, .. })| {
                    !self.reads.as_ref().is_some_and(|reads| reads.awaited.contains_key(&(partition, offset)))
                })
            }
            // Whether it is consumed after all is known only at the end.
            PublishOutcome::Failed => false,
        };
        if !complete {
            return None;
        }
        let open = self.open.remove(&key)?;
        Some(self.close(outcome, open))
    }

    fn close(&mut self, outcome: Outcome, open: Open) -> Row {
        let first = open.first;
        self.closed[outcome.due.connection as usize].insert(outcome.due.sequence);
        let ledger = &mut self.ledger;
        match (outcome.result, first.is_some()) {
            (PublishOutcome::Acked, true) => ledger.acked_consumed += 1,
            (PublishOutcome::Acked, false) => {
                ledger.lost += 1;
                self.lost.extend(outcome.offset.map(|offset| (outcome.partition, offset)));
            }
            (PublishOutcome::Maybe, true) => ledger.maybe_consumed += 1,
            (PublishOutcome::Maybe, false) => ledger.maybe_unseen += 1,
            (PublishOutcome::Failed | PublishOutcome::Unsent, true) => ledger.impossible += 1,
            (PublishOutcome::Failed | PublishOutcome::Unsent, false) => {}
        }
        let row = Row { after_read_us: open.after_read_us, ..self.row(&outcome, first) };
        let stages = CHAIN.map(|context| row.latency_us(&context));
        self.ledger.zero += u64::from(stages.contains(&Some(0)));
        self.ledger.negative += u64::from(stages.iter().any(|context| context.is_some_and(|us| us < 0)));
        row
    }

    fn row(&self, outcome: &Outcome, first: Option<(u32, Receipt)>) -> Row {
        let receipt = first.map(|(_, receipt)| receipt);
        Row {
            source: producer::source(outcome.due.connection, self.instances),
            destination: first.map_or_else(String::new, |(worker, _)| format!("w{worker}")),
            producer: outcome.due.connection,
            tag: outcome.tag,
            partition: outcome.partition,
            offset: receipt.map(|receipt| receipt.offset).or(outcome.offset),
            sequence: outcome.due.sequence,
            scheduled_us: outcome.due.scheduled_us,
            before_publish_us: outcome.before_publish_us,
            after_publish_us: outcome.after_publish_us,
            append_ms: receipt.and_then(|receipt| receipt.append_ms),
            after_consume_us: receipt.map(|receipt| receipt.after_consume_us),
            after_store_us: receipt.and_then(|receipt| receipt.after_store_us),
            after_read_us: None,
        }
    }

    /// Events from which only an ack or a delivery is missing; failed ones have neither to come.
    pub fn pending(&self) -> u64 {
        self.open.len() as u64 - self.ledger.failed
    }

    /// Events scheduled before `before_us` that are acked and not consumed yet: late, or lost.
    pub fn awaited(&self, before_us: i64) -> usize {
        let acked = |outcome: &Outcome| outcome.result == PublishOutcome::Acked && outcome.due.scheduled_us < before_us;
        self.open.values().filter(|open| open.first.is_none() && open.outcome.as_ref().is_some_and(acked)).count()
    }

    /// Producer and sequence of the events that were proven unwritten, until the run is ended.
    pub fn failed(&self) -> Vec<(u32, u64)> {
        let failed = |open: &Open| open.outcome.is_some_and(|outcome| outcome.result == PublishOutcome::Failed);
        self.open.iter().filter(|(_, open)| failed(open)).map(|(key, _)| *key).collect()
    }

    /// Ends the run: nothing more comes.
    pub fn finish(mut self) -> Rest {
        let mut rest: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        rest.sort_unstable_by_key(|(key, _)| *key);
        let mut rows = Vec::with_capacity(rest.len());
        for (_, open) in rest {
            match open.outcome {
                Some(outcome) => rows.push(self.close(outcome, open)),
                // Consumed, though no producer knows of it: it has no row, and no line of the ledger will balance.
                None => self.ledger.impossible += 1,
            }
        }
        let Self { mut records, start_offsets, passages, mut ledger, lost, reached, .. } = self;
        passages.count(&mut ledger, |partition, offset| {
            let at = usize::try_from(partition).ok().filter(|at| *at < records.len());
            let nth = at.and_then(|at| u64::try_from(offset.checked_sub(start_offsets[at])?).ok());
            // Before the run, or of a partition that came later: nobody waits for it.
            at.zip(nth).is_none_or(|(at, nth)| !records[at].insert(nth))
        });
        Rest { rows, ledger, passages, lost, reached }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::Due;

    fn outcome(connection: u32, sequence: u64, result: PublishOutcome) -> Outcome {
        let due = Due { connection, sequence, scheduled_us: 1_000, warm: false };
        let sent = result != PublishOutcome::Unsent;
        let acked = result == PublishOutcome::Acked;
        Outcome {
            due,
            tag: u64::from(connection),
            partition: 0,
            result,
            before_publish_us: sent.then_some(1_010),
            after_publish_us: acked.then_some(1_500),
            offset: acked.then_some(sequence as i64),
        }
    }

    fn receipt(producer: u32, sequence: u64) -> Receipt {
        Receipt {
            kind: Kind::Event as i32,
            producer,
            sequence,
            partition: 0,
            offset: sequence as i64,
            append_ms: Some(1),
            after_consume_us: 2_000,
            after_store_us: Some(3_000),
            stored: Stored::Applied as i32,
        }
    }

    /// Five acked events of one connection, all delivered but those in `dropped`; the topic holds all five.
    fn books(dropped: &[u64], more: impl FnOnce(&mut Join)) -> (Vec<Row>, Ledger) {
        let mut join = Join::new(2, 1, 10, vec![0]);
        let mut rows = Vec::new();
        for sequence in 0..5 {
            rows.extend(join.outcome(outcome(0, sequence, PublishOutcome::Acked)));
            if !dropped.contains(&sequence) {
                rows.extend(join.receipt(1, receipt(0, sequence)));
            }
        }
        more(&mut join);
        let Rest { rows: rest, ledger, .. } = join.finish();
        rows.extend(rest);
        let ledger = Ledger { planned: 5, sent: 5, rows: rows.len() as u64, topic_records: 5, ..ledger };
        (rows, ledger.check())
    }

    #[test]
    fn what_a_dead_worker_has_stored_is_not_skipped() {
        let told = |sequence: u64, stored: Stored| Receipt { stored: stored as i32, ..receipt(0, sequence) };
        let stored_late = |gone: bool, first: Stored| {
            let (_, ledger) = books(&[1, 2, 3], |join| {
                if gone {
                    join.worker_gone();
                }
                join.receipt(1, told(1, first));
                join.receipt(1, told(2, Stored::Applied));
                join.receipt(1, told(3, Stored::Stale));
            });
            assert_eq!((ledger.stored, ledger.lost), (5, 0));
            ledger.stored_late
        };
        assert_eq!(stored_late(false, Stored::Stale), 2);
        // Up to the first that is new.
        assert_eq!(stored_late(true, Stored::Stale), 1);
    }

    #[test]
    fn an_event_has_one_row_with_all_its_stamps() {
        let (rows, ledger) = books(&[], |_| ());
        assert!(ledger.valid, "{:?}", ledger.problems);
        assert_eq!((rows.len(), ledger.stored, ledger.acked_consumed), (5, 5, 5));
        let expected = Row {
            source: "p0".into(),
            destination: "w1".into(),
            sequence: 4,
            offset: Some(4),
            scheduled_us: 1_000,
            before_publish_us: Some(1_010),
            after_publish_us: Some(1_500),
            append_ms: Some(1),
            after_consume_us: Some(2_000),
            after_store_us: Some(3_000),
            ..Row::default()
        };
        assert_eq!(rows[4], expected);
    }

    #[test]
    fn a_receipt_that_a_worker_drops_is_a_loss() {
        let (rows, ledger) = books(&[2], |_| ());
        assert_eq!((ledger.lost, ledger.consumed, ledger.consumed_records), (1, 4, 4));
        assert_eq!(rows.len(), 5);
        let lost = rows.iter().find(|row| row.sequence == 2).unwrap();
        assert_eq!((lost.after_store_us, lost.destination.as_str(), lost.offset), (None, "", Some(2)));
    }

    #[test]
    fn offsets_that_cannot_be_consumed_are_counted_and_their_events_are_lost() {
        let mut join = Join::new(1, 1, 10, vec![0]);
        for sequence in 0..3 {
            join.outcome(outcome(0, sequence, PublishOutcome::Acked));
        }
        join.receipt(0, receipt(0, 0));
        let absent = crate::worker::report::Absent::Undecodable as i32;
        let (partition, reason) = (0, String::new());
        join.passed(Passage { partition, from: 0, to: 2, absent, reason: reason.clone() });
        join.passed(Passage { partition: 5, from: 0, to: 9, absent, reason });
        join.receipt(0, receipt(0, 2));
        let Rest { ledger, lost, reached, .. } = join.finish();
        assert_eq!((ledger.undecodable, ledger.lost, ledger.consumed_records), (1, 1, 2));
        assert_eq!((lost, reached), (vec![(0, 1)], vec![3]));
    }

    #[test]
    fn a_loss_that_nobody_counts_is_invalid() {
        let (_, ledger) = books(&[], |_| ());
        let hidden = Ledger { topic_records: 6, ..ledger.clone() }.check();
        assert!(!hidden.valid && hidden.problems[0].contains("not consumed"), "{:?}", hidden.problems);
        let short = Ledger { rows: 4, ..ledger }.check();
        assert!(!short.valid && short.problems[0].starts_with("rows is 4"), "{:?}", short.problems);
    }

    #[test]
    fn a_first_delivery_that_changed_nothing_is_told_apart() {
        let mut join = Join::new(1, 1, 10, vec![0]);
        join.receipt(0, Receipt { stored: Stored::Stale as i32, ..receipt(0, 0) });
        join.receipt(0, receipt(0, 1));
        join.receipt(0, Receipt { stored: Stored::Stale as i32, ..receipt(0, 1) });
        let foreign = Receipt { kind: Kind::Foreign as i32, offset: 7, ..receipt(0, 0) };
        join.receipt(0, foreign);
        join.receipt(0, foreign);
        let ledger = join.finish().ledger;
        assert_eq!((ledger.stored, ledger.stored_late, ledger.late, ledger.duplicates), (2, 1, 2, 1));
        assert_eq!(ledger.copies, 0, "the same record came again");
        assert_eq!((ledger.foreign, ledger.foreign_records, ledger.consumed_records), (2, 1, 3));
    }

    #[test]
    fn a_second_delivery_is_counted_and_overwrites_nothing() {
        let again = |join: &mut Join| {
            let late = Receipt { offset: 9, after_consume_us: 9, after_store_us: Some(9), ..receipt(0, 3) };
            assert_eq!(join.receipt(0, late), None);
        };
        let (rows, ledger) = books(&[], again);
        assert_eq!((ledger.duplicates, ledger.copies), (1, 1));
        assert!(rows.iter().all(|row| row.after_store_us == Some(3_000) && row.destination == "w1"));
        // The second copy is a record that the topic does not have here.
        assert!(!ledger.valid);
    }

    #[test]
    fn a_row_waits_for_its_reader_whichever_word_comes_first() {
        let mut join = Join::new(1, 1, 10, vec![0]).with_readers(vec![0]);
        let read = |offset| Read { tag: 0, offset, after_read_us: 4_000 + offset };
        let mut rows = Vec::new();
        rows.extend(join.outcome(outcome(0, 0, PublishOutcome::Acked)));
        rows.extend(join.receipt(0, receipt(0, 0)));
        assert_eq!((rows.len(), join.pending()), (0, 1));
        rows.extend(join.read(read(0)));
        rows.extend(join.read(read(1)));
        rows.extend(join.receipt(0, receipt(0, 1)));
        rows.extend(join.outcome(outcome(0, 1, PublishOutcome::Acked)));
        // Set aside: no reader will ever have it. The warm-up's own, and what is not ours.
        rows.extend(join.outcome(outcome(0, 2, PublishOutcome::Acked)));
        rows.extend(join.receipt(0, Receipt { stored: Stored::SetAside as i32, ..receipt(0, 2) }));
        join.receipt(0, Receipt { kind: Kind::Warm as i32, ..receipt(0, 3) });
        for other in [read(3), read(-1), Read { tag: 9, ..read(0) }, Read { offset: i64::MIN, ..read(0) }] {
            assert_eq!(join.read(other), None);
        }
        let stamps: Vec<_> = rows.iter().map(|row| row.after_read_us).collect();
        assert_eq!(stamps, [Some(4_000), Some(4_001), None]);
        assert!(join.reads.as_ref().is_some_and(|reads| reads.early.is_empty() && reads.awaited.is_empty()));
        // The readers end early.
        join.outcome(outcome(0, 4, PublishOutcome::Acked));
        join.receipt(0, receipt(0, 4));
        assert_eq!(join.no_more_reads().len(), 1);
        join.outcome(outcome(0, 5, PublishOutcome::Acked));
        assert_eq!(join.receipt(0, receipt(0, 5)).unwrap().after_read_us, None);
    }

    #[test]
    fn an_event_that_was_proven_unwritten_and_comes_all_the_same_is_invalid() {
        for result in [PublishOutcome::Failed, PublishOutcome::Unsent] {
            let mut join = Join::new(1, 1, 10, vec![0]);
            let rows = join.outcome(outcome(0, 0, result)).into_iter().chain(join.receipt(0, receipt(0, 0))).count();
            let Rest { rows: rest, ledger, .. } = join.finish();
            assert_eq!((rows + rest.len(), ledger.impossible), (1, 1), "{result:?}");
            assert!(!ledger.check().valid);
        }
    }

    #[test]
    fn a_maybe_is_waited_for_and_told_apart() {
        let mut join = Join::new(1, 1, 10, vec![0]);
        assert_eq!(join.outcome(outcome(0, 0, PublishOutcome::Maybe)), None);
        assert_eq!(join.outcome(outcome(0, 1, PublishOutcome::Maybe)), None);
        assert!(join.receipt(0, receipt(0, 1)).is_some());
        assert_eq!(join.pending(), 1);
        let Rest { rows: rest, ledger, .. } = join.finish();
        assert_eq!((rest.len(), ledger.maybe, ledger.maybe_consumed, ledger.maybe_unseen), (1, 2, 1, 1));
    }

    #[test]
    fn a_receipt_that_no_event_can_have_is_not_trusted() {
        let mut join = Join::new(1, 1, 10, vec![0]);
        for bad in [receipt(7, 0), receipt(0, u64::MAX), Receipt { partition: -1, offset: i64::MIN, ..receipt(0, 10) }]
        {
            assert_eq!(join.receipt(0, bad), None);
        }
        assert_eq!(join.finish().ledger.impossible, 3);
    }
}
