//! What the collecting thread knows, and what each message changes of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{Collected, Input, LISTED_MAX, RunStatus};
use crate::{
    machine::clock::Clock,
    output::rows::{Row, Rows},
    run::{
        consumer_group::PROBE,
        join::{Join, Rest},
    },
    worker::{
        pool::WorkerMessage,
        report::{Assignment, ForeignRun, Kind, Receipt, Report},
    },
};
use shasta_model::{
    columns::SCHEDULED_TO_STORED,
    manifest::{
        conduct::{Rebalance, Throttled},
        record::SetAside,
    },
};

const SECOND: Duration = Duration::from_secs(1);
/// An event that was acked and is not consumed so long after is awaited.
const OVERDUE_US: i64 = 5_000_000;

pub(super) struct CollectorState {
    join: Join,
    rows: Rows,
    clock: Clock,
    status: Arc<RunStatus>,
    /// Latencies scheduled → stored of the present second.
    recent_us: Histogram<u64>,
    rebalances: Vec<Rebalance>,
    set_aside: Vec<SetAside>,
    warnings: Vec<String>,
    rows_error: Option<String>,
    foreign_runs: BTreeMap<String, u64>,
    /// Partitions whose probe has come.
    probed: Vec<i32>,
    evicted: bool,
    throttled: Throttled,
}

impl CollectorState {
    pub fn new(join: Join, rows: Rows, clock: Clock, status: Arc<RunStatus>) -> Self {
        Self {
            join,
            rows,
            clock,
            status,
            recent_us: Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("the bounds are valid"),
            rebalances: Vec::new(),
            set_aside: Vec::new(),
            warnings: Vec::new(),
            rows_error: None,
            foreign_runs: BTreeMap::new(),
            probed: Vec::new(),
            evicted: false,
            throttled: Throttled::default(),
        }
    }

    /// Takes what comes until all who could tell anything have ended, and closes the books.
    pub fn run(mut self, inputs: &Receiver<Input>) -> Collected {
        let mut next = Instant::now() + SECOND;
        loop {
            match inputs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Input::Outcomes(outcomes)) => {
                    for outcome in outcomes {
                        let row = self.join.outcome(outcome);
                        self.write(row);
                    }
                }
                Ok(Input::Worker(worker, WorkerMessage::Report(report))) => self.worker_report(worker, *report),
                Ok(Input::Worker(worker, WorkerMessage::End(error))) => {
                    self.join.worker_gone();
                    self.ended(worker, error);
                }
                Ok(Input::Readers(number, WorkerMessage::Report(report))) => self.reader_report(number, *report),
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

    fn worker_report(&mut self, worker: u32, report: Report) {
        // One that was started again is not gone any more.
        self.status.slow().workers_ended.remove(&worker);
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
            self.status.slow().assigned.insert(worker, partitions);
        }
        let listed_left = LISTED_MAX.saturating_sub(self.set_aside.len());
        self.set_aside.extend(report.set_aside.into_iter().take(listed_left).map(SetAside::from));
        report.passages.into_iter().for_each(|passage| self.join.passed(passage));
        if let Some(text) = report.topic_lost {
            self.status.slow().topic_lost.get_or_insert(text);
        }
        for warning in report.warnings {
            self.warn(format!("worker {worker}: {warning}"));
        }
        if let Some(refused) = report.refused {
            let refused = format!("worker {worker}: {refused}");
            self.status.slow().refused = Some(refused.clone());
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

    fn reader_report(&mut self, number: u32, report: Report) {
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
        // What it said itself comes before the end of its pipe.
        self.status.slow().workers_ended.entry(worker).or_insert(why);
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
            self.recent_us.saturating_record(us.max(0) as u64);
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
            self.status.slow().rows_error = Some(error);
        }
    }

    fn tick(&mut self) {
        if self.rows_error.is_none() {
            let flushed = self.rows.flush();
            self.keep_rows_error(flushed);
        }
        let overdue_us = self.clock.now_us() - OVERDUE_US;
        self.status.awaited.store(self.join.awaited(overdue_us) as u64, Relaxed);
        let ms = |us: u64| us as f64 / 1000.0;
        let recent_us = &self.recent_us;
        let last_second_ms = (!recent_us.is_empty()).then(|| {
            [ms(recent_us.value_at_quantile(0.5)), ms(recent_us.value_at_quantile(0.99)), ms(recent_us.max())]
        });
        self.status.slow().last_second_ms = last_second_ms;
        self.recent_us.reset();
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.status.slow().warn(warning.clone());
        if self.warnings.len() < LISTED_MAX {
            self.warnings.push(warning);
        }
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
