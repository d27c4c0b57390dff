//! Joins what producers and workers say of each event into its row, off the hot path: one thread, no lock.
//!
//! A row is written as soon as its event is stored and its ack is known. All others wait until the drain has ended, for
//! only then is it known that nothing more comes.

use std::collections::HashMap;

use crate::{
    columns::CHAIN,
    ledger::Ledger,
    producer::{self, Fate, Outcome},
    record::Row,
    worker::report::{Kind, Receipt, Stored},
};

/// One event that is not complete yet.
#[derive(Debug, Default)]
struct Open {
    outcome: Option<Outcome>,
    first: Option<(u32, Receipt)>,
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
    ledger: Ledger,
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
            start_offsets,
            ledger: Ledger::default(),
        }
    }

    /// Takes the producer's word; returns the row if that completes it.
    pub fn outcome(&mut self, outcome: Outcome) -> Option<Row> {
        if outcome.due.warm {
            return None;
        }
        let count = match outcome.fate {
            Fate::Acked => &mut self.ledger.acked,
            Fate::Failed => &mut self.ledger.failed,
            Fate::Maybe => &mut self.ledger.maybe,
            Fate::Unsent => &mut self.ledger.unsent,
        };
        *count += 1;
        let key = (outcome.due.connection, outcome.due.sequence);
        self.open.entry(key).or_default().outcome = Some(outcome);
        self.complete(key)
    }

    /// Takes a worker's word of one record; returns the row if that completes it.
    pub fn receipt(&mut self, worker: u32, receipt: Receipt) -> Option<Row> {
        if let Some(first) = self.start_offsets.get(receipt.partition as usize) {
            let new = u64::try_from(receipt.offset - first)
                .is_ok_and(|nth| self.records[receipt.partition as usize].insert(nth));
            self.ledger.consumed_records += u64::from(new);
        }
        if receipt.stored() == Stored::Stale {
            self.ledger.late += 1;
        }
        match receipt.kind() {
            Kind::Foreign => self.ledger.foreign += 1,
            Kind::Warm => self.ledger.warm += 1,
            Kind::Event => return self.event(worker, receipt),
        }
        None
    }

    fn event(&mut self, worker: u32, receipt: Receipt) -> Option<Row> {
        let key = (receipt.producer, receipt.sequence);
        let index = receipt.producer as usize;
        if index >= self.consumed.len() || receipt.sequence >= self.events_max {
            // Says that it is of this run, but this run has no such event.
            self.ledger.impossible += 1;
            return None;
        }
        if !self.consumed[index].insert(receipt.sequence) {
            self.ledger.duplicates += 1;
            return None;
        }
        if self.closed[index].contains(receipt.sequence) {
            self.ledger.impossible += 1;
            return None;
        }
        self.ledger.consumed += 1;
        // A retry that the producer's own first copy has overtaken is stored all the same: by that copy.
        match receipt.stored() {
            Stored::Applied | Stored::Stale => self.ledger.stored += 1,
            Stored::SetAside => self.ledger.set_aside += 1,
            Stored::Not => self.ledger.unstored += 1,
        }
        self.open.entry(key).or_default().first = Some((worker, receipt));
        self.complete(key)
    }

    fn complete(&mut self, key: (u32, u64)) -> Option<Row> {
        let open = self.open.get(&key)?;
        let outcome = open.outcome?;
        let complete = match outcome.fate {
            Fate::Unsent => true,
            Fate::Acked | Fate::Maybe => open.first.is_some(),
            // Whether it is consumed after all is known only at the end.
            Fate::Failed => false,
        };
        if !complete {
            return None;
        }
        let open = self.open.remove(&key)?;
        Some(self.close(outcome, open.first))
    }

    fn close(&mut self, outcome: Outcome, first: Option<(u32, Receipt)>) -> Row {
        self.closed[outcome.due.connection as usize].insert(outcome.due.sequence);
        let ledger = &mut self.ledger;
        match (outcome.fate, first.is_some()) {
            (Fate::Acked, true) => ledger.acked_consumed += 1,
            (Fate::Acked, false) => ledger.lost += 1,
            (Fate::Maybe, true) => ledger.maybe_consumed += 1,
            (Fate::Maybe, false) => ledger.maybe_unseen += 1,
            (Fate::Failed | Fate::Unsent, true) => ledger.impossible += 1,
            (Fate::Failed | Fate::Unsent, false) => {}
        }
        let row = self.row(&outcome, first);
        let stages = CHAIN.map(|stage| row.latency_us(&stage));
        self.ledger.zero += u64::from(stages.contains(&Some(0)));
        self.ledger.negative += u64::from(stages.iter().any(|stage| stage.is_some_and(|us| us < 0)));
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
        let acked = |outcome: &Outcome| outcome.fate == Fate::Acked && outcome.due.scheduled_us < before_us;
        self.open.values().filter(|open| open.first.is_none() && open.outcome.as_ref().is_some_and(acked)).count()
    }

    /// Ends the run: nothing more comes. Returns the remaining rows, and the ledger as far as it is counted here.
    pub fn finish(mut self) -> (Vec<Row>, Ledger) {
        let mut rest: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        rest.sort_unstable_by_key(|(key, _)| *key);
        let mut rows = Vec::with_capacity(rest.len());
        for (_, Open { outcome, first }) in rest {
            match outcome {
                Some(outcome) => rows.push(self.close(outcome, first)),
                // Consumed, though no producer knows of it: it has no row, and no line of the ledger will balance.
                None => self.ledger.impossible += 1,
            }
        }
        (rows, self.ledger)
    }
}
