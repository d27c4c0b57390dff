//! The collecting thread: takes what producers and workers say, writes rows, and knows how the run stands.

mod state;
mod status;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use self::state::CollectorState;
pub use self::status::RunStatus;
use super::{join::Join, missing_records::Passages};
use crate::{
    machine::clock::Clock,
    output::rows::{Disk, Rows},
    producer::Outcome,
    worker::pool::WorkerMessage,
};
use shasta_model::{
    ledger::Ledger,
    manifest::{
        conduct::{Rebalance, Throttled},
        record::SetAside,
    },
};

/// Most set-aside records and warnings that the manifest lists; all are counted.
pub const LISTED_MAX: usize = 1_000;

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
        let state = CollectorState::new(join, rows, clock, Arc::clone(&status));
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
