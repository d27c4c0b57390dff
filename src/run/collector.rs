//! The collecting thread: takes what producers and workers say, writes rows, and knows how the run stands.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    cluster::throttle::Throttled,
    machine::clock::Clock,
    output::rows::{Disk, Row, Rows},
    producer::Outcome,
    run::{
        consumer_group::PROBE,
        join::{Join, Rest},
        missing_records::Passages,
    },
    worker::{
        pool::WorkerMessage,
        report::{Assignment, ForeignRun, Kind, Receipt, Report, SetAside},
    },
};
use shasta_model::{columns::SCHEDULED_TO_STORED, ledger::Ledger};

const SECOND: Duration = Duration::from_secs(1);
/// Most set-aside records and warnings that the manifest lists; all are counted.
pub const LISTED_MAX: usize = 1_000;
/// Those that are told when a wait is given up.
const LAST_WARNINGS: usize = 5;

/// What the collector is told.
#[derive(Debug)]
pub enum Input {
    /// Ends of events on the producing side.
    Outcomes(Vec<Outcome>),
    /// From a worker.
    Worker(u32, WorkerMessage),
    /// From the readers' process, which has a number among the children as workers have.
    Readers(u32, WorkerMessage),
}

/// How the run stands, for anyone to read at any time.
#[derive(Debug, Default)]
pub struct RunStatus {
    /// Events of the window stored.
    pub stored: AtomicU64,
    /// Events of the window that only an ack or a delivery is missing from; failed ones have neither to come.
    pub pending: AtomicU64,
    /// Events acked and not consumed.
    pub awaited: AtomicU64,
    /// Distinct partitions whose probe a worker has seen.
    pub probed: AtomicU64,
    /// Tags that a reader follows.
    pub followed: AtomicU64,
    slow: Mutex<SlowStatus>,
}

/// The part of a run's status that changes once a second or less.
#[derive(Debug, Default, Clone)]
struct SlowStatus {
    last_second_ms: Option<[f64; 3]>,
    assigned: BTreeMap<u32, Vec<i32>>,
    workers_ended: BTreeMap<u32, Option<String>>,
    rows_error: Option<String>,
    topic_lost: Option<String>,
    refused: Option<String>,
    last_warnings: VecDeque<String>,
}

impl RunStatus {
    fn slow(&self) -> std::sync::MutexGuard<'_, SlowStatus> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many partitions each worker has now, in the workers' order.
    pub fn partitions_per_worker(&self) -> Vec<usize> {
        self.slow().assigned.values().map(Vec::len).collect()
    }

    /// Latencies scheduled → stored of the last second: p50, p99 and maximum in ms.
    pub fn last_second_ms(&self) -> Option<[f64; 3]> {
        self.slow().last_second_ms
    }

    /// The workers from which nothing more comes, and why, as far as they said.
    pub fn workers_ended(&self) -> BTreeMap<u32, Option<String>> {
        self.slow().workers_ended.clone()
    }

    /// Why the topic is not the one that the run began with, once a worker is certain.
    pub fn topic_lost(&self) -> Option<String> {
        self.slow().topic_lost.clone()
    }

    /// What a server refuses a worker, if any does, until somebody grants a right or corrects a password.
    pub fn refused(&self) -> Option<String> {
        self.slow().refused.clone()
    }

    /// The last few warnings.
    pub fn last_warnings(&self) -> Vec<String> {
        self.slow().last_warnings.iter().cloned().collect()
    }

    /// Why rows are missing from the file, once one could not be written: the run goes on without.
    pub fn rows_error(&self) -> Option<String> {
        self.slow().rows_error.clone()
    }
}

/// A rebalance as a worker told it.
#[derive(Debug, Clone, Serialize)]
pub struct Rebalance {
    /// Worker.
    pub worker: u32,
    /// When, µs of the Unix epoch.
    pub at_us: i64,
    /// How many partitions it had then.
    pub partitions: usize,
}

/// Everything that was collected.
#[derive(Debug)]
pub struct Collected {
    /// The ledger as far as the joiner counts it.
    pub ledger: Ledger,
    /// All rebalances.
    pub rebalances: Vec<Rebalance>,
    /// The first records that were set aside, at most 1,000.
    pub set_aside: Vec<SetAside>,
    /// The first warnings, at most 1,000.
    pub warnings: Vec<String>,
    /// Why rows are missing from the file.
    pub rows_error: Option<String>,
    /// Records of other runs, by run.
    pub foreign_runs: BTreeMap<String, u64>,
    /// Events that were proven unwritten: producer and sequence.
    pub failed: Vec<(u32, u64)>,
    /// What workers have passed by.
    pub passages: Passages,
    /// Partition and offset of the events that were acked and not consumed.
    pub lost: Vec<(i32, i64)>,
    /// The offset after the last that was consumed, of each partition.
    pub reached: Vec<i64>,
    /// Whether a worker has found that Redis evicts what it had acknowledged.
    pub evicted: bool,
    /// How long the brokers held the workers' consumers back by a quota.
    pub throttled: Throttled,
}

impl Collected {
    /// How many rebalances there were in a time, µs of the Unix epoch.
    pub fn rebalances_in(&self, time_us: std::ops::Range<i64>) -> usize {
        self.rebalances.iter().filter(|rebalance| time_us.contains(&rebalance.at_us)).count()
    }
}

/// The collecting thread of a run.
#[derive(Debug)]
pub struct Collector {
    sender: Sender<Input>,
    status: Arc<RunStatus>,
    disk: Disk,
    thread: JoinHandle<Collected>,
}

impl Collector {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(join: Join, rows: Rows, clock: Clock) -> std::io::Result<Self> {
        let (sender, inputs) = mpsc::channel();
        let (status, disk) = (Arc::<RunStatus>::default(), rows.disk());
        let state = CollectorState {
            join,
            rows,
            clock,
            status: Arc::clone(&status),
            recent: histogram(),
            rebalances: Vec::new(),
            set_aside: Vec::new(),
            warnings: Vec::new(),
            rows_error: None,
            foreign_runs: BTreeMap::new(),
            probed: Vec::new(),
            evicted: false,
            throttled: Throttled::default(),
        };
        let thread = std::thread::Builder::new().name("collector".into()).spawn(move || state.run(&inputs))?;
        Ok(Self { sender, status, disk, thread })
    }

    /// Where to tell it.
    pub fn sender(&self) -> Sender<Input> {
        self.sender.clone()
    }

    /// How the run stands.
    pub fn status(&self) -> &Arc<RunStatus> {
        &self.status
    }

    /// The disk that takes the rows.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Waits until all that could tell anything has ended, and closes the books.
    pub fn finish(self) -> Collected {
        drop(self.sender);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct CollectorState {
    join: Join,
    rows: Rows,
    clock: Clock,
    status: Arc<RunStatus>,
    recent: Histogram<u64>,
    rebalances: Vec<Rebalance>,
    set_aside: Vec<SetAside>,
    warnings: Vec<String>,
    rows_error: Option<String>,
    foreign_runs: BTreeMap<String, u64>,
    probed: Vec<i32>,
    evicted: bool,
    throttled: Throttled,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("the bounds are valid")
}

impl CollectorState {
    fn run(mut self, inputs: &Receiver<Input>) -> Collected {
        let mut next = Instant::now() + SECOND;
        loop {
            match inputs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Input::Outcomes(outcomes)) => {
                    for outcome in outcomes {
                        let row = self.join.outcome(outcome);
                        self.write(row);
                    }
                }
                Ok(Input::Worker(worker, WorkerMessage::Report(report))) => self.report(worker, *report),
                Ok(Input::Worker(worker, WorkerMessage::End(error))) => {
                    self.join.worker_gone();
                    self.ended(worker, error);
                }
                Ok(Input::Readers(number, WorkerMessage::Report(report))) => self.reads(number, *report),
                Ok(Input::Readers(number, WorkerMessage::End(error))) => {
                    self.ended(number, error);
                    for row in self.join.no_more_reads() {
                        self.write(Some(row));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.status.pending.store(self.join.pending(), Relaxed);
            if Instant::now() >= next {
                next += SECOND;
                self.tick();
            }
        }
        self.finish()
    }

    fn report(&mut self, worker: u32, report: Report) {
        // One that was started again is not gone any more.
        self.slow(|slow| drop(slow.workers_ended.remove(&worker)));
        for receipt in report.receipts {
            self.receipt(worker, receipt);
        }
        self.join.rewound(report.rewinds, report.replayed);
        self.evicted |= report.evicted;
        self.throttled += Throttled {
            responses: report.throttled_responses,
            total_ms: report.throttled_ms,
            max_ms: report.throttled_ms_max,
        };
        for Assignment { at_us, partitions } in report.assignments {
            self.rebalances.push(Rebalance { worker, at_us, partitions: partitions.len() });
            self.slow(|slow| {
                slow.assigned.insert(worker, partitions);
            });
        }
        let room = LISTED_MAX.saturating_sub(self.set_aside.len());
        self.set_aside.extend(report.set_aside.into_iter().take(room));
        report.passages.into_iter().for_each(|passage| self.join.passed(passage));
        if let Some(text) = report.topic_lost {
            self.slow(|slow| {
                slow.topic_lost.get_or_insert(text);
            });
        }
        for warning in report.warnings {
            self.warn(format!("worker {worker}: {warning}"));
        }
        if let Some(refused) = report.refused {
            let refused = format!("worker {worker}: {refused}");
            self.slow(|slow| slow.refused = Some(refused.clone()));
            self.warn(refused);
        }
        if let Some(fatal) = report.fatal {
            self.warn(format!("worker {worker}: {fatal}"));
            self.ended(worker, Some(fatal));
        }
        for ForeignRun { run, records } in report.foreign_runs {
            // Every worker tells of a bounded number of runs.
            *self.foreign_runs.entry(run).or_default() += records;
        }
    }

    fn reads(&mut self, number: u32, report: Report) {
        for read in report.reads {
            let row = self.join.read(read);
            self.write(row);
        }
        self.status.followed.fetch_max(report.followed, Relaxed);
        for warning in report.warnings {
            self.warn(format!("readers: {warning}"));
        }
        if let Some(fatal) = report.fatal {
            self.ended(number, Some(fatal));
        }
    }

    fn ended(&self, worker: u32, why: Option<String>) {
        self.slow(|slow| {
            // What it said itself comes before the end of its pipe.
            slow.workers_ended.entry(worker).or_insert(why);
        });
    }

    fn receipt(&mut self, worker: u32, receipt: Receipt) {
        if receipt.kind() == Kind::Warm && receipt.producer == PROBE && !self.probed.contains(&receipt.partition) {
            self.probed.push(receipt.partition);
            self.status.probed.fetch_add(1, Relaxed);
        }
        let row = self.join.receipt(worker, receipt);
        self.write(row);
    }

    fn write(&mut self, row: Option<Row>) {
        let Some(row) = row else { return };
        if let Some(us) = row.latency_us(&SCHEDULED_TO_STORED) {
            self.status.stored.fetch_add(1, Relaxed);
            self.recent.saturating_record(us.max(0) as u64);
        }
        if self.rows_error.is_none() {
            let written = self.rows.write(&row);
            self.keep_rows_error(written);
        }
    }

    /// A full disk ends the file of rows, not the pipeline that is being measured.
    fn keep_rows_error(&mut self, written: std::io::Result<()>) {
        if let Err(error) = written {
            let error = format!("{}: {error}", self.rows.path().display());
            self.rows_error = Some(error.clone());
            self.slow(|slow| slow.rows_error = Some(error));
        }
    }

    fn tick(&mut self) {
        if self.rows_error.is_none() {
            let flushed = self.rows.flush();
            self.keep_rows_error(flushed);
        }
        let overdue_us = self.clock.now_us() - 5_000_000;
        self.status.awaited.store(self.join.awaited(overdue_us) as u64, Relaxed);
        let ms = |us: u64| us as f64 / 1000.0;
        let recent = &self.recent;
        let last_second_ms = (!recent.is_empty())
            .then(|| [ms(recent.value_at_quantile(0.5)), ms(recent.value_at_quantile(0.99)), ms(recent.max())]);
        self.slow(|slow| slow.last_second_ms = last_second_ms);
        self.recent.reset();
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.slow(|slow| {
            if slow.last_warnings.len() >= LAST_WARNINGS {
                slow.last_warnings.pop_front();
            }
            slow.last_warnings.push_back(warning.clone());
        });
        if self.warnings.len() < LISTED_MAX {
            self.warnings.push(warning);
        }
    }

    fn slow(&self, change: impl FnOnce(&mut SlowStatus)) {
        change(&mut self.status.slow());
    }

    fn finish(mut self) -> Collected {
        let join = std::mem::replace(&mut self.join, Join::new(0, 1, 0, Vec::new()));
        let failed = join.failed();
        let Rest { rows, ledger, passages, lost, reached } = join.finish();
        for row in rows {
            self.write(Some(row));
        }
        if self.rows_error.is_none() {
            let flushed = self.rows.flush();
            self.keep_rows_error(flushed);
        }
        let Self { rebalances, set_aside, warnings, rows_error, foreign_runs, evicted, throttled, .. } = self;
        Collected {
            ledger,
            rebalances,
            set_aside,
            warnings,
            rows_error,
            foreign_runs,
            failed,
            passages,
            lost,
            reached,
            evicted,
            throttled,
        }
    }
}
