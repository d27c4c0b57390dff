//! Outcomes on their way out of a producing thread: gathered without a lock, handed over in batches.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{Counters, Due, Load, Outcome, PublishOutcome, publish_errors::Cause};
use crate::cluster::throttle;

const BATCH: usize = 256;
const AGE_MAX_US: i64 = 20_000;

pub(super) struct Outbox {
    load: Arc<Load>,
    counters: Arc<Counters>,
    sink: Box<dyn Fn(Vec<Outcome>)>,
    batch: RefCell<Vec<Outcome>>,
    /// Connections whose first event was acked.
    connected: RefCell<HashSet<u32>>,
    flushed_us: Cell<i64>,
}

impl Outbox {
    pub fn new(load: Arc<Load>, counters: Arc<Counters>, sink: impl Fn(Vec<Outcome>) + 'static) -> Self {
        Self {
            load,
            counters,
            sink: Box::new(sink),
            batch: RefCell::default(),
            connected: RefCell::default(),
            flushed_us: Cell::new(0),
        }
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub fn planned(&self, due: &Due) {
        if !due.warm {
            self.counters.planned.fetch_add(1, Relaxed);
        }
    }

    pub fn sent(&self, due: &Due) {
        if !due.warm {
            self.counters.sent.fetch_add(1, Relaxed);
        }
    }

    pub fn waited(&self, due: &Due) {
        if !due.warm {
            self.counters.waited.fetch_add(1, Relaxed);
        }
    }

    pub fn retried(&self) {
        self.counters.retries.fetch_add(1, Relaxed);
    }

    pub fn unsent(&self, due: Due) {
        if !due.warm {
            self.counters.unsent.fetch_add(1, Relaxed);
        }
        self.put(due, PublishOutcome::Unsent, None, None, None);
    }

    pub fn acked(&self, due: Due, before_us: i64, after_us: i64, offset: i64) {
        self.answered(&due);
        self.put(due, PublishOutcome::Acked, Some(before_us), Some(after_us), Some(offset));
    }

    /// A broker has answered these, and holds the connection back for so long.
    pub fn throttled(&self, batch: &[Due], wait: Duration) {
        self.counters.throttled.add(throttle::once(wait));
        batch.iter().for_each(|due| self.answered(due));
    }

    /// The first warm-up event is what opens the connection to the partition's leader.
    fn answered(&self, due: &Due) {
        if due.warm && due.sequence == 0 {
            self.counters.connected.fetch_add(1, Relaxed);
            self.connected.borrow_mut().insert(due.connection);
        }
    }

    /// Whether the first event of a connection was answered.
    pub fn is_open(&self, connection: u32) -> bool {
        self.connected.borrow().contains(&connection)
    }

    pub fn unacked(&self, due: Due, before_us: i64, result: PublishOutcome, cause: &Cause) {
        self.counters.refusals.add(cause, result, due.warm);
        self.put(due, result, Some(before_us), None, None);
    }

    fn put(
        &self,
        due: Due,
        result: PublishOutcome,
        before_us: Option<i64>,
        after_us: Option<i64>,
        offset: Option<i64>,
    ) {
        let tag = self.load.shape.tag(due.connection, due.sequence);
        let partition = self.load.partition(tag);
        let outcome =
            Outcome { due, tag, partition, result, before_publish_us: before_us, after_publish_us: after_us, offset };
        let mut batch = self.batch.borrow_mut();
        batch.push(outcome);
        if batch.len() >= BATCH {
            (self.sink)(std::mem::take(&mut batch));
        }
    }

    /// Why most events that were not acked were not, if any were.
    pub fn main_cause(&self) -> Option<String> {
        self.counters.refusals.all().into_iter().next().map(|refusal| refusal.cause)
    }

    /// Hands over what has waited long enough; few wake-ups of the receiving thread matter more than its promptness.
    pub fn flush_aged(&self, now_us: i64) {
        if now_us - self.flushed_us.get() >= AGE_MAX_US {
            self.flush();
            self.flushed_us.set(now_us);
        }
    }

    pub fn flush(&self) {
        let batch = self.batch.take();
        if !batch.is_empty() {
            (self.sink)(batch);
        }
    }
}
