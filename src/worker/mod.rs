//! A worker: one process, one consumer of the run's group, one connection to each primary of Redis.
//!
//! ```text
//! poll thread:  consumer.poll ──▶ stamp ──▶ bounded look-ahead ─┐        never waits for Redis
//! store thread: all that is there ──▶ one pipeline a shard ──▶ await once ──▶ receipts ──▶ parent ──▶ offsets
//! ```
//!
//! While the look-ahead is full, because Redis is away, the partitions are paused and polling goes on: the worker stays in
//! its group, and holds no more than the look-ahead and what the client has fetched already.
//!
//! An offset is committed only after Redis has answered and the parent was told, in the background and at the end: should the
//! worker die in between, the record comes again. Where Redis turns out to have lost what it had acknowledged, the worker goes back in Kafka to what is missing, at most
//! to the run's start, and stores it again before anything newer of those partitions.
//!
//! No partition stops for what became of its log: one that came later is read from its beginning, what retention took is
//! counted, what the client cannot decode is passed by, and a topic that was made anew is told (`partition_recovery`,
//! `stall_diagnosis`).
//! The parent gives addresses and secrets by the environment ([`Endpoints::env`]), all else as one line of JSON on
//! standard input ([`Config`]). The end of standard input tells the worker to finish what it has, to commit and to leave
//! the group.

mod client;
mod consume;
mod decode;
mod host_clock;
pub(crate) mod ipc;
mod partition_recovery;
pub mod pool;
mod positions;
mod recovery;
pub mod report;
mod seek;
mod stall_diagnosis;
mod store_loop;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::{
    consume::Ahead, host_clock::HostClock, partition_recovery::Recovery, seek::Seeks, stall_diagnosis::Inspector,
};
use crate::{
    cluster::{ClusterError, Endpoints},
    machine::clock::Clock,
    store,
    variant::GroupProtocol,
};
use shasta_reader::topology;

/// What the parent tells a worker.
#[derive(Clone, Serialize, Deserialize)]
pub struct Config {
    /// The run's clock.
    pub clock: Clock,
    /// Run, as events name it.
    pub run: String,
    /// Number of the worker, from 0.
    pub worker: u32,
    /// How many workers there are.
    pub workers: u32,
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Whether the topic's timestamps are LogAppendTime.
    pub log_append_time: bool,
    /// Generation of the topic.
    pub generation: u64,
    /// Offset at which the run began, of each partition: nothing before it is read again.
    pub start_offsets: Vec<i64>,
    /// How the group shares the partitions out.
    pub group_protocol: GroupProtocol,
    /// Whether the group knows the worker by its number.
    pub static_membership: bool,
    /// How often offsets are committed, in ms.
    pub commit_interval_ms: u64,
    /// Most events in one batch to Redis.
    pub batch_max: usize,
    /// Most events held while a batch is in flight.
    pub lookahead: usize,
    /// Approximate length to which each delta stream is trimmed.
    pub stream_maxlen: u32,
    /// How long Redis may take to answer a batch, in ms.
    pub redis_timeout_ms: u64,
    /// Further properties of the consumer, verbatim.
    pub consumer: BTreeMap<String, String>,
}

impl Config {
    /// The properties of the worker's consumer, but for how it logs in.
    pub fn consumer_properties(&self) -> BTreeMap<String, String> {
        client::properties(self)
    }

    /// Properties of the variant that the group protocol does not have, each with the reason; they are left out.
    pub fn consumer_not_applied(&self) -> BTreeMap<String, &'static str> {
        client::not_applied(self)
    }
}

/// A worker could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The parent's line could not be read.
    #[error("a worker is started by `experiment`, which sends its configuration by standard input: {0}")]
    Config(String),
    /// Addresses or secrets in the environment are not usable.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The Kafka client failed for good.
    #[error("the consumer failed: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The brokers refuse something for good.
    #[error("the brokers refuse it: {0}")]
    Refused(String),
    /// Redis could not be reached at the start.
    #[error("Redis does not serve the worker: {0}")]
    Redis(String),
    /// The readers could not do theirs.
    #[error("{0}")]
    Reader(String),
    /// The pipe to the parent broke.
    #[error("the parent no longer listens: {0}")]
    Pipe(#[from] io::Error),
}

/// Runs a worker to its end, for `experiment --role worker`.
///
/// # Errors
/// What ends it early; the parent gets the same as a fatal report.
pub fn main() -> Result<(), WorkerError> {
    ipc::main(|config: &Config, pipe| work(config, pipe))
}

fn work(config: &Config, pipe: &mut impl Write) -> Result<(), WorkerError> {
    let settings = store::Settings {
        generation: config.generation,
        run: config.run.as_str().into(),
        stream_maxlen: config.stream_maxlen,
        timeout: Duration::from_millis(config.redis_timeout_ms),
    };
    let endpoints = Endpoints::from_env()?;
    let seeds = endpoints.redis().map_err(|error| WorkerError::Redis(error.to_string()))?;
    let tls = seeds.is_tls();
    let store = store::Store::connect_in_time(seeds, &settings);
    let store = store.map_err(|error| WorkerError::Redis(topology::told(&error, tls)))?;
    let (events, told) = mpsc::channel();
    let clock = HostClock::new(config.clock);
    let consumer = client::subscribe(config, &endpoints.kafka, clock.clone(), events)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let stepped = clock.clone();
    let obey = move |ipc::Order::StepClock { by_us }| stepped.step(by_us);
    ipc::at_orders(obey, move || stopped.store(true, Relaxed));
    let seeks = Seeks::default();
    std::thread::scope(|scope| {
        let (ahead, taken) = mpsc::sync_channel::<Ahead<'_>>(config.lookahead);
        let (questions, asked) = mpsc::channel();
        let (answers, findings) = mpsc::channel();
        let inspector = Inspector { config, access: &endpoints.kafka, consumer: &consumer, prober: None };
        scope.spawn(move || inspector.run(&asked, &answers));
        let recovery = Recovery::new(config, &consumer, questions, findings);
        let poll = scope.spawn(|| consume::poll(&consumer, (config, &clock), ahead, (&seeks, &stop), recovery));
        let mut storing = store_loop::StoreLoop::new((config, &clock), &consumer, (store, &seeks), told, pipe);
        let stored = storing.run(taken, &stop);
        // A store thread that has failed takes the poll thread with it.
        seeks.paid();
        stop.store(true, Relaxed);
        let polled = poll.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        stored.and(polled)
    })
    // Dropping the consumer commits what was stored and leaves the group.
}
