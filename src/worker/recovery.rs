//! The store thread's side of [`super::seek`]: what is in its hands when Redis turns out to have lost something.

use std::{collections::BTreeMap, io::Write as Pipe, sync::mpsc::Receiver, time::Instant};

use rdkafka::{Message, consumer::Consumer};

use super::{
    consume::{Ahead, Consumed},
    store_loop::{Batch, StoreLoop},
};
use crate::store::Verdict;

/// How often in a row Redis may lose something before what it had lost was stored again.
const UNFINISHED_MAX: u32 = 5;

impl<'a, P: Pipe> StoreLoop<'a, P> {
    /// Reads again what Redis has lost: returns the places from which all partitions concerned now come again.
    pub(super) fn go_back(&mut self, verdict: Verdict, taken: &Receiver<Ahead<'a>>) -> BTreeMap<i32, i64> {
        if verdict != Verdict::Intact && self.keeps_losing() {
            return BTreeMap::new();
        }
        let start = |partition: i32| self.config.start_offsets.get(partition as usize).copied().unwrap_or(0);
        let places: BTreeMap<i32, i64> = match verdict {
            Verdict::Intact => return BTreeMap::new(),
            Verdict::Behind(places) => {
                places.into_iter().map(|(partition, offset)| (partition, offset.max(start(partition)))).collect()
            }
            Verdict::Emptied => {
                let assignment = self
                    .consumer
                    .assignment()
                    .map(|list| list.elements().iter().map(|element| element.partition()).collect::<Vec<_>>());
                assignment.unwrap_or_default().into_iter().map(|partition| (partition, start(partition))).collect()
            }
        };
        if places.is_empty() {
            return places;
        }
        self.rebuilding.begin(&places);
        // Where this worker has stored nothing yet, nothing is known to be lost.
        if !self.rebuilding.is_done() {
            let text = "Redis has lost what it had acknowledged; reading it again";
            self.report.warnings.push(format!("{text}, of {} partitions", places.len()));
            self.report.rewinds += 1;
        }
        // Their commit goes back too, and must stay there.
        self.untold.retain(|partition, _| !places.contains_key(partition));
        self.seeks.ask(places.clone());
        let held = std::mem::take(&mut self.held);
        held.into_iter().for_each(|consumed| self.hold(consumed, &places));
        while let Ok(ahead) = taken.recv() {
            match ahead {
                Ahead::Record(consumed) => self.hold(consumed, &places),
                Ahead::WentBack(mut troubles) => {
                    self.report.warnings.append(&mut troubles);
                    break;
                }
            }
        }
        self.settle_debt();
        places
    }

    /// Whether it is of no use to read again what Redis has lost: it would lose it again, and more for its sake.
    fn keeps_losing(&mut self) -> bool {
        if self.hopeless {
            return true;
        }
        self.unfinished = if self.rebuilding.is_done() { 0 } else { self.unfinished + 1 };
        let why = if self.store.has_evicted() {
            self.report.evicted = true;
            "Redis evicts keys to make room, and what it had acknowledged is among them"
        } else if self.unfinished > UNFINISHED_MAX {
            "Redis goes on losing what it had acknowledged, faster than it can be stored again"
        } else {
            return false;
        };
        self.hopeless = true;
        self.report.warnings.push(format!("{why}; from now on nothing is read again from Kafka"));
        self.rebuilding.give_up();
        self.settle_debt();
        true
    }

    /// Keeps a record of a partition that does not go back, and the stamp of one that does.
    pub(super) fn hold(&mut self, consumed: Consumed<'a>, places: &BTreeMap<i32, i64>) {
        let (partition, offset) = (consumed.message.partition(), consumed.message.offset());
        if places.contains_key(&partition) {
            self.rebuilding.drop_record(partition, offset, consumed.after_consume_us);
        } else {
            self.held.push_back(consumed);
        }
    }

    /// Takes out of a batch what comes again.
    pub(super) fn leave(&mut self, batch: &mut Batch, places: &BTreeMap<i32, i64>) {
        let mut kept = Vec::with_capacity(batch.writes.len());
        let mut index_of = Vec::with_capacity(batch.receipts.len());
        let mut next = 0;
        for receipt in &batch.receipts {
            let comes_again = places.contains_key(&receipt.partition);
            if comes_again {
                self.rebuilding.drop_record(receipt.partition, receipt.offset, receipt.after_consume_us);
            }
            index_of.push((!comes_again).then_some(next));
            next += usize::from(!comes_again);
        }
        batch.written.iter().for_each(|index| kept.push(index_of[*index].is_some()));
        batch.written = batch.written.iter().filter_map(|index| index_of[*index]).collect();
        batch.writes.retain(|write| !places.contains_key(&write.partition));
        batch.receipts.retain(|receipt| !places.contains_key(&receipt.partition));
        batch.progress.retain(&kept);
    }

    pub(super) fn settle_debt(&self) {
        if self.rebuilding.is_done() {
            self.seeks.paid();
        }
    }

    /// While nothing is to be stored: a Redis that comes back without its data is to be noticed all the same.
    pub(super) fn check(&mut self, taken: &Receiver<Ahead<'a>>) {
        self.checked = Instant::now();
        match self.store.check() {
            Ok(Verdict::Intact) => {}
            Ok(lost) => drop(self.go_back(lost, taken)),
            // It is tried again in a second, or when there is something to store, and told of then.
            Err(error) => tracing::debug!("Redis: {error}"),
        }
    }
}
