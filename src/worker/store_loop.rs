//! The storing half of a worker: take all that is there, one pipeline, await once, tell the parent.

use std::{
    collections::{BTreeMap, VecDeque},
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
    client::{ClientEvent, Context},
    consume::{Ahead, Consumed},
    decode::{self, decode},
    host_clock::HostClock,
    report::{Assignment, ForeignRun, Kind, Receipt, Report, SetAside, Stored},
    seek::{Rebuilding, Seeks},
};
use crate::store::{Backoff, BatchProgress, Effect, Store, Verdict, Write, is_refusal};
use shasta_model::manifest::conduct::Throttled;

/// Receipts are told in bundles: few wake-ups of the parent matter more than their promptness.
const TELL: Duration = Duration::from_millis(20);
const TELL_RECEIPTS: usize = 4_096;
/// Other runs that are told of by name, and how much of a name: whoever may write to the topic chooses both.
const FOREIGN_RUNS_MAX: usize = 16;
const FOREIGN_RUN_CHARS_MAX: usize = 200;
/// How long a worker that is to stop goes on trying to reach Redis for what it holds.
const LAST_TRIES: Duration = Duration::from_secs(2);
/// How often Redis is asked whether it is still the one that it was, while there is nothing to store.
const CHECK: Duration = Duration::from_secs(1);

pub(super) struct StoreLoop<'a, P> {
    pub(super) config: &'a Config,
    clock: &'a HostClock,
    pub(super) consumer: &'a BaseConsumer<Context>,
    pub(super) store: Store,
    pub(super) seeks: &'a Seeks,
    /// Records that came while partitions went back, and are not of those.
    pub(super) held: VecDeque<Consumed<'a>>,
    pub(super) rebuilding: Rebuilding,
    /// How often in a row Redis lost something before it had all again.
    pub(super) unfinished: u32,
    /// Nothing is read again any more.
    pub(super) hopeless: bool,
    events: Receiver<ClientEvent>,
    pipe: &'a mut P,
    pub(super) report: Report,
    /// The last record of each partition that is stored and not yet told of: what the parent never heard of must come again
    /// to the next worker, should this one die.
    pub(super) untold: BTreeMap<i32, i64>,
    /// Names of other runs, of those told of by name.
    foreign_runs: Vec<String>,
    told: Instant,
    pub(super) checked: Instant,
}

/// A batch as far as it is known what becomes of it.
pub(super) struct Batch {
    pub receipts: Vec<Receipt>,
    pub writes: Vec<Write>,
    /// Of each write its receipt.
    pub written: Vec<usize>,
    pub progress: BatchProgress,
}

/// What has become of a batch.
enum Tried {
    Done(Vec<Effect>),
    Lost(Verdict),
    Stopped,
}

impl<'a, P: Pipe> StoreLoop<'a, P> {
    pub fn new(
        (config, clock): (&'a Config, &'a HostClock),
        consumer: &'a BaseConsumer<Context>,
        (store, seeks): (Store, &'a Seeks),
        events: Receiver<ClientEvent>,
        pipe: &'a mut P,
    ) -> Self {
        Self {
            config,
            clock,
            consumer,
            store,
            seeks,
            held: VecDeque::new(),
            rebuilding: Rebuilding::default(),
            unfinished: 0,
            hopeless: false,
            events,
            pipe,
            report: Report::default(),
            untold: BTreeMap::new(),
            foreign_runs: Vec::new(),
            told: Instant::now(),
            checked: Instant::now(),
        }
    }

    /// Stores what is consumed until the poll thread has ended and nothing is left.
    pub fn run(&mut self, taken: Receiver<Ahead<'a>>, stop: &AtomicBool) -> Result<(), WorkerError> {
        loop {
            let first = match self.held.pop_front() {
                Some(held) => Ok(held),
                None => taken
                    .recv_timeout(TELL)
                    .map(|ahead| self.record(ahead))
                    .and_then(|record| record.ok_or(RecvTimeoutError::Timeout)),
            };
            match first {
                Ok(first) => {
                    let mut batch = vec![first];
                    while batch.len() < self.config.batch_max
                        && let Some(next) =
                            self.held.pop_front().or_else(|| taken.try_recv().ok().and_then(|ahead| self.record(ahead)))
                    {
                        batch.push(next);
                    }
                    self.store(&batch, &taken, stop)?;
                }
                Err(RecvTimeoutError::Timeout) if self.checked.elapsed() > CHECK => self.check(&taken),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.told.elapsed() >= TELL || self.report.receipts.len() >= TELL_RECEIPTS {
                self.tell()?;
            }
        }
        if !self.rebuilding.is_done() {
            let open = self.rebuilding.open();
            self.report.warnings.push(format!("{open} partitions are not rebuilt in Redis, which had lost them"));
        }
        self.tell()
    }

    /// A record, or a mark that nobody waits for.
    fn record(&mut self, ahead: Ahead<'a>) -> Option<Consumed<'a>> {
        match ahead {
            Ahead::Record(consumed) => Some(consumed),
            Ahead::WentBack(mut troubles) => {
                self.report.warnings.append(&mut troubles);
                None
            }
        }
    }

    fn store(
        &mut self,
        batch: &[Consumed<'a>],
        taken: &Receiver<Ahead<'a>>,
        stop: &AtomicBool,
    ) -> Result<(), WorkerError> {
        let mut batch = self.decode(batch);
        loop {
            match self.apply(&batch.writes, &mut batch.progress, stop)? {
                Tried::Done(effects) => {
                    let after_store_us = self.clock.now_us();
                    for (index, effect) in batch.written.into_iter().zip(effects) {
                        batch.receipts[index] = self.close(batch.receipts[index], effect, after_store_us);
                    }
                    self.stored(&batch.receipts);
                    break;
                }
                Tried::Lost(verdict) => {
                    let places = self.go_back(verdict, taken);
                    self.leave(&mut batch, &places);
                }
                Tried::Stopped => {
                    self.report.warnings.push(format!("{} events consumed but not stored", batch.writes.len()));
                    break;
                }
            }
        }
        self.report.receipts.append(&mut batch.receipts);
        self.checked = Instant::now();
        Ok(())
    }

    fn decode(&mut self, consumed: &[Consumed<'_>]) -> Batch {
        let mut receipts = Vec::with_capacity(consumed.len());
        let (mut writes, mut written) = (Vec::with_capacity(consumed.len()), Vec::with_capacity(consumed.len()));
        for consumed in consumed {
            let (mut receipt, write) = decode(self.config, consumed);
            let Receipt { partition, offset, .. } = receipt;
            if let Some(first_us) = self.rebuilding.first_us(partition, offset) {
                receipt.after_consume_us = first_us;
            }
            let replayed = self.rebuilding.is_replayed(partition, offset);
            self.report.replayed += u64::from(replayed);
            if receipt.kind() == Kind::Foreign
                && !replayed
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
        let progress = BatchProgress::new(writes.len());
        Batch { receipts, writes, written, progress }
    }

    fn close(&mut self, receipt: Receipt, effect: Effect, after_store_us: i64) -> Receipt {
        let stored = match effect {
            Effect::Applied => Stored::Applied,
            Effect::Stale => Stored::Stale,
            Effect::Refused(reason) => return self.set_aside(receipt, reason),
        };
        Receipt { stored: stored as i32, after_store_us: Some(after_store_us), ..receipt }
    }

    fn set_aside(&mut self, receipt: Receipt, reason: String) -> Receipt {
        let Receipt { partition, offset, .. } = receipt;
        // A record that comes again was told of.
        if !self.rebuilding.is_replayed(partition, offset) {
            self.report.set_aside.push(SetAside { partition, offset, reason });
        }
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

    /// Tries until Redis has answered the whole batch.
    fn apply(
        &mut self,
        writes: &[Write],
        progress: &mut BatchProgress,
        stop: &AtomicBool,
    ) -> Result<Tried, WorkerError> {
        let (mut backoff, mut last_tries) = (Backoff::default(), None);
        loop {
            let error = match self.store.attempt(writes, progress) {
                Ok(Verdict::Intact) => match std::mem::take(progress).effects() {
                    Some(effects) => return Ok(Tried::Done(effects)),
                    None => return Ok(Tried::Stopped),
                },
                Ok(lost) => return Ok(Tried::Lost(lost)),
                Err(error) => error,
            };
            if backoff.is_first() {
                if is_refusal(&error) {
                    self.report.refused = Some(self.store.refusal(&error));
                } else {
                    self.report.warnings.push(format!("Redis: {}; trying again", self.store.told(&error)));
                }
                // Now: whoever waits for this batch has to know what it waits for.
                self.tell()?;
            }
            if stop.load(Relaxed) && last_tries.get_or_insert_with(Instant::now).elapsed() > LAST_TRIES {
                return Ok(Tried::Stopped);
            }
            backoff.wait();
        }
    }

    fn stored(&mut self, receipts: &[Receipt]) {
        for Receipt { partition, offset, .. } in receipts {
            let last = self.untold.entry(*partition).or_insert(*offset);
            *last = (*last).max(*offset);
            self.rebuilding.told(*partition, *offset);
        }
        self.settle_debt();
    }

    /// Marks what the parent knows of as done, for the client's next commit.
    fn store_offsets(&mut self) -> Result<(), WorkerError> {
        for (partition, offset) in std::mem::take(&mut self.untold) {
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
        let before = self.report.assignments.len();
        for event in self.events.try_iter() {
            match event {
                ClientEvent::Assignment(assignment) => self.report.assignments.push(assignment),
                ClientEvent::Warning(text) => self.report.warnings.push(text),
                ClientEvent::Passage(passage) => self.report.passages.push(passage),
                ClientEvent::TopicLost(text) => self.report.topic_lost = Some(text),
            }
        }
        // Only what is so now: records of partitions that came and went in between may have been stored meanwhile.
        if let Some(Assignment { partitions, .. }) = self.report.assignments[before..].last() {
            self.store.keep_partitions(partitions);
            self.rebuilding.keep_partitions(partitions);
            self.settle_debt();
        }
        let Throttled { responses, total_ms, max_ms } = self.consumer.context().throttles.take();
        let report = &mut self.report;
        (report.throttled_responses, report.throttled_ms, report.throttled_ms_max) = (responses, total_ms, max_ms);
        let report = std::mem::take(&mut self.report);
        if !report.is_empty() {
            self.pipe.write_all(&report.frame())?;
        }
        self.store_offsets()
    }
}
