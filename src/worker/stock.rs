//! The storing half of a worker: take all that is there, one pipeline, await once, tell the parent.

use std::{
    io::Write as Pipe,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    Config, WorkerError,
    consume::{Consumed, Rebalances},
    decode::{self, decode},
    host_clock::HostClock,
    report::{Assignment, ForeignRun, Kind, Receipt, Report, SetAside, Stored},
};
use crate::store::{Effect, Settings, Store, Write};

/// Receipts are told in bundles: few wake-ups of the parent matter more than their promptness.
const TELL: Duration = Duration::from_millis(20);
const TELL_RECEIPTS: usize = 4_096;
/// Other runs that are told of by name, and how much of a name: whoever may write to the topic chooses both.
const FOREIGN_RUNS_MAX: usize = 16;
const FOREIGN_RUN_CHARS_MAX: usize = 200;
const RETRY_MIN: Duration = Duration::from_millis(10);
/// How late a Redis that is back may be found.
const RETRY_MAX: Duration = Duration::from_millis(100);
/// How long a worker that is to stop goes on trying to reach Redis for what it holds.
const LAST_TRIES: Duration = Duration::from_secs(2);

pub(super) struct Stock<'a, P> {
    config: &'a Config,
    clock: &'a HostClock,
    consumer: &'a BaseConsumer<Rebalances>,
    client: redis::Client,
    settings: Settings,
    store: Option<Store>,
    assignments: Receiver<Assignment>,
    pipe: &'a mut P,
    report: Report,
    /// Names of other runs, of those told of by name.
    foreign_runs: Vec<String>,
    told: Instant,
}

impl<'a, P: Pipe> Stock<'a, P> {
    pub fn new(
        config: &'a Config,
        clock: &'a HostClock,
        consumer: &'a BaseConsumer<Rebalances>,
        (client, settings, store): (redis::Client, Settings, Store),
        assignments: Receiver<Assignment>,
        pipe: &'a mut P,
    ) -> Self {
        let (store, report, foreign_runs, told) = (Some(store), Report::default(), Vec::new(), Instant::now());
        Self { config, clock, consumer, client, settings, store, assignments, pipe, report, foreign_runs, told }
    }

    /// Stores what is consumed until the poll thread has ended and nothing is left.
    pub fn run(&mut self, taken: Receiver<Consumed<'_>>, stop: &AtomicBool) -> Result<(), WorkerError> {
        loop {
            let first = match taken.recv_timeout(TELL) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(first) = first {
                let rest = taken.try_iter().take(self.config.batch_max - 1);
                let batch: Vec<_> = std::iter::once(first).chain(rest).collect();
                self.store(&batch, stop)?;
            }
            if self.told.elapsed() >= TELL || self.report.receipts.len() >= TELL_RECEIPTS {
                self.tell()?;
            }
        }
        self.tell()
    }

    fn store(&mut self, batch: &[Consumed<'_>], stop: &AtomicBool) -> Result<(), WorkerError> {
        let mut receipts = Vec::with_capacity(batch.len());
        let (mut writes, mut written) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for consumed in batch {
            let (receipt, write) = decode(self.config, consumed);
            if receipt.kind() == Kind::Foreign
                && let Some(run) = decode::run(consumed)
            {
                self.foreign(run);
            }
            match write {
                Ok(write) => {
                    writes.push(write);
                    written.push(receipts.len());
                    receipts.push(receipt);
                }
                Err(reason) => receipts.push(self.set_aside(receipt, reason)),
            }
        }
        match self.apply(&writes, stop) {
            Some((effects, again)) => {
                let after_store_us = self.clock.now_us();
                for (index, effect) in written.into_iter().zip(effects) {
                    receipts[index] = self.close(receipts[index], effect, again, after_store_us);
                }
                self.store_offsets(&receipts)?;
            }
            None => self.report.warnings.push(format!("{} events consumed but not stored", writes.len())),
        }
        self.report.receipts.append(&mut receipts);
        Ok(())
    }

    fn close(&mut self, receipt: Receipt, effect: Effect, again: bool, after_store_us: i64) -> Receipt {
        let stored = match effect {
            Effect::Applied => Stored::Applied,
            Effect::Stale if again => Stored::Again,
            Effect::Stale => Stored::Stale,
            Effect::Refused(reason) => return self.set_aside(receipt, reason),
        };
        Receipt { stored: stored as i32, after_store_us: Some(after_store_us), ..receipt }
    }

    fn set_aside(&mut self, receipt: Receipt, reason: String) -> Receipt {
        let Receipt { partition, offset, .. } = receipt;
        self.report.set_aside.push(SetAside { partition, offset, reason });
        Receipt { stored: Stored::SetAside as i32, ..receipt }
    }

    fn foreign(&mut self, run: &str) {
        let mut run: String = run.chars().take(FOREIGN_RUN_CHARS_MAX).collect();
        if !self.foreign_runs.contains(&run) {
            if self.foreign_runs.len() < FOREIGN_RUNS_MAX {
                self.foreign_runs.push(run.clone());
            } else {
                run = "others".into();
            }
        }
        match self.report.foreign_runs.iter_mut().find(|told| told.run == run) {
            Some(told) => told.records += 1,
            None => self.report.foreign_runs.push(ForeignRun { run, records: 1 }),
        }
    }

    /// Tries until Redis has answered the whole batch, and tells whether an earlier try may have stored of it. `None` when
    /// the worker is to stop first.
    fn apply(&mut self, writes: &[Write], stop: &AtomicBool) -> Option<(Vec<Effect>, bool)> {
        let (mut backoff, mut last_tries, mut again) = (RETRY_MIN, None, false);
        loop {
            let applied = match &mut self.store {
                Some(store) => store.apply(writes),
                None => Store::connect(&self.client, self.settings.clone()).and_then(|store| {
                    let store = self.store.insert(store);
                    store.apply(writes)
                }),
            };
            let error = match applied {
                Ok(effects) => return Some((effects, again)),
                Err(error) => error,
            };
            // The replies that are still to come belong to nobody: a new connection.
            again |= self.store.take().is_some();
            if backoff == RETRY_MIN {
                self.report.warnings.push(format!("Redis: {error}; trying again"));
            }
            if stop.load(Relaxed) && last_tries.get_or_insert_with(Instant::now).elapsed() > LAST_TRIES {
                return None;
            }
            std::thread::sleep(backoff);
            backoff = (backoff * 2).min(RETRY_MAX);
        }
    }

    /// Marks the batch as done, for the client's next commit.
    fn store_offsets(&self, receipts: &[Receipt]) -> Result<(), WorkerError> {
        let mut last: Vec<Receipt> = receipts.to_vec();
        last.sort_unstable_by_key(|receipt| (receipt.partition, std::cmp::Reverse(receipt.offset)));
        last.dedup_by_key(|receipt| receipt.partition);
        for Receipt { partition, offset, .. } in last {
            match self.consumer.store_offset(&self.config.topic, partition, offset) {
                // The partition has moved on; its new owner reads these again, and they change nothing.
                Err(KafkaError::StoreOffset(RDKafkaErrorCode::State | RDKafkaErrorCode::UnknownPartition)) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), WorkerError> {
        self.told = Instant::now();
        self.report.assignments.extend(self.assignments.try_iter());
        let report = std::mem::take(&mut self.report);
        if !report.is_empty() {
            self.pipe.write_all(&report.frame())?;
        }
        Ok(())
    }
}
