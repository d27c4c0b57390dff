//! Producers: one connection is one Kafka client with its own sockets. All connections of a thread are driven by one
//! open-loop plan; the plan never waits for an ack.
//!
//! ```text
//! Plan ──due──▶ Engine::hand_over ──▶ client ──▶ broker
//!                    │ busy: bounded backlog, over it `unsent`      │
//!                    └───────────── Outbox ◀── result ◀── ack ────────┘ ──▶ the run's joiner, in batches
//! ```

mod connection_ramp;
mod librdkafka;
mod light;
mod merged_schedule;
mod null;
mod outcomes;
mod publish_errors;
mod thread;
mod timer;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::sync::oneshot;

pub use self::{
    merged_schedule::{Due, Plan},
    publish_errors::Refusals,
};
use crate::{
    cluster::{KafkaAccess, throttle::Throttles},
    event::{headers::Stamps, payload::EventShape, schedule::Pace},
    machine::clock::Clock,
    variant::{Acks, Engine as EngineKind},
};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// All in-sync replicas have it.
    Acked,
    /// The brokers refused it each time: it is proven unwritten.
    Failed,
    /// No ack within the deadline, or an answer that leaves open whether it was written.
    Maybe,
    /// Never handed over: the connection's backlog was full, or the run ended first.
    Unsent,
}

/// The end of an event on the producing side.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The event.
    pub due: Due,
    /// Its tag's number.
    pub tag: u64,
    /// Its partition.
    pub partition: i32,
    /// What became of it.
    pub result: PublishOutcome,
    /// When it was first handed to the client, µs of the Unix epoch; `None` when it never was.
    pub before_publish_us: Option<i64>,
    /// When the ack was handled, µs of the Unix epoch.
    pub after_publish_us: Option<i64>,
    /// Its offset, as acked.
    pub offset: Option<i64>,
}

/// A producer could not do its work.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "connection {connection} cannot publish to {bootstrap}: {reason}; check that every broker can be reached from here"
)]
pub struct ProducerError {
    /// Connection.
    pub connection: u32,
    /// Bootstrap servers.
    pub bootstrap: String,
    /// The last error.
    pub reason: String,
}

/// All that the producers of a run share.
#[derive(Debug)]
pub struct Load {
    /// Run, as the header says it.
    pub run: String,
    /// Topic.
    pub topic: String,
    /// Leader of each partition when the run starts, by partition.
    pub leaders: Vec<i32>,
    /// Brokers and how to log in to them.
    pub access: KafkaAccess,
    /// The run's clock.
    pub clock: Clock,
    /// The events.
    pub shape: EventShape,
    /// Seed of the schedule.
    pub seed: u64,
    /// The measured window.
    pub window: Pace,
    /// The warm-up before it.
    pub warm_up: Pace,
    /// Connections in all.
    pub connections: u32,
    /// Simulated producing hosts.
    pub instances: u32,
    /// Client.
    pub engine: EngineKind,
    /// Whether there is nothing to publish to: each event is encoded and acked at once.
    pub null: bool,
    /// Replicas that must have an event before it is acked.
    pub acks: Acks,
    /// Threads that share the connections.
    pub threads: u32,
    /// librdkafka's `linger.ms`.
    pub linger: Duration,
    /// Events that may wait in one connection.
    pub backlog: u32,
    /// How long an event may wait for its ack.
    pub delivery_timeout: Duration,
    /// Sockets per second and broker while connecting.
    pub ramp: u32,
    /// How long past the window an event may still be on its way.
    pub drain: Duration,
}

impl Load {
    /// How the producing clients are set up, but for how they log in.
    pub fn client_properties(&self) -> BTreeMap<&'static str, String> {
        match self.engine {
            _ if self.null => BTreeMap::from([("engine", "none: each event is encoded and acked at once".to_owned())]),
            EngineKind::Rskafka => light::properties(self),
            EngineKind::Librdkafka => librdkafka::properties(self),
        }
    }

    /// Partition of a tag.
    pub fn partition(&self, tag: u64) -> i32 {
        crate::event::partitioner::partition(&self.shape.partition_key(tag), self.leaders.len() as u32)
    }

    fn partitions_of(&self, connection: u32) -> Vec<i32> {
        let mut partitions: Vec<_> = self.shape.tags(connection).map(|tag| self.partition(tag)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    fn headers(&self, due: &Due, before_publish_us: i64) -> Vec<(&'static str, Vec<u8>)> {
        let source = source(due.connection, self.instances);
        let Due { connection: producer, sequence, scheduled_us, warm, .. } = *due;
        let stamps =
            Stamps { run: &self.run, source: &source, producer, sequence, scheduled_us, before_publish_us, warm };
        stamps.headers()
    }
}

/// Name of the simulated host that a connection belongs to: `p<i>`.
pub fn source(connection: u32, instances: u32) -> String {
    format!("p{}", connection % instances)
}

/// What the producers count while they run, each count on its own.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events of the window that the schedule has asked for.
    pub planned: AtomicU64,
    /// Events of the window handed to the client.
    pub sent: AtomicU64,
    /// Events of the window that never were.
    pub unsent: AtomicU64,
    /// Events of the window whose hand-over waited for an earlier one of the same partition.
    pub waited: AtomicU64,
    /// Requests that were tried again.
    pub retries: AtomicU64,
    /// Why events were not acked.
    pub refusals: Refusals,
    /// Connections that are open and have had their first event acked.
    pub connected: AtomicU64,
    /// What the brokers held back by a quota.
    pub throttled: Throttles,
}

/// When the load starts.
#[derive(Debug, Clone, Copy)]
struct Go {
    warm_start_us: i64,
    window_start_us: i64,
}

/// How late the schedule itself ran, in µs: due time to the moment the thread took the event.
pub type Lateness = Histogram<u64>;

/// The producing threads of a run.
#[derive(Debug)]
pub struct Producers {
    threads: Vec<JoinHandle<Result<Lateness, ProducerError>>>,
    go: Vec<oneshot::Sender<Go>>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    give_up: Arc<AtomicBool>,
}

impl Producers {
    /// Starts to connect. `sink` takes the outcomes, window's and warm-up's, in batches.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start<S>(load: &Arc<Load>, sink: S) -> std::io::Result<Self>
    where
        S: Fn(Vec<Outcome>) + Clone + Send + 'static,
    {
        let (counters, stop) = (Arc::new(Counters::default()), Arc::new(AtomicBool::new(false)));
        let give_up = Arc::new(AtomicBool::new(false));
        let (mut threads, mut go) = (Vec::new(), Vec::new());
        for nth in 0..load.threads {
            let (sender, receiver) = oneshot::channel();
            let thread = thread::Thread {
                load: Arc::clone(load),
                connections: (0..load.connections).filter(|connection| connection % load.threads == nth).collect(),
                counters: Arc::clone(&counters),
                stop: Arc::clone(&stop),
                give_up: Arc::clone(&give_up),
            };
            let sink = sink.clone();
            let spawned = std::thread::Builder::new().name(format!("producer-{nth}"));
            threads.push(spawned.spawn(move || thread.run(receiver, sink))?);
            go.push(sender);
        }
        Ok(Self { threads, go, counters, stop, give_up })
    }

    /// The counters, which change while the producers run.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Connections that are open and have had their first event acked.
    pub fn connected(&self) -> u32 {
        self.counters.connected.load(Relaxed) as u32
    }

    /// Whether some thread has ended: before [`Producers::finish`] is due, because it failed.
    pub fn ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Starts the warm-up load, and the window right after it.
    pub fn go(&mut self, warm_start_us: i64, window_start_us: i64) {
        for sender in self.go.drain(..) {
            // A thread that is gone has failed, which `finish` reports.
            let _ = sender.send(Go { warm_start_us, window_start_us });
        }
    }

    /// Ends the schedule now; what was handed over still gets its time to drain.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Ends it without that time: what was handed over and has no answer yet gets none.
    pub fn give_up(&self) {
        self.stop();
        self.give_up.store(true, Relaxed);
    }

    /// Whether all threads have ended.
    pub fn done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end of the load and its drain, and returns how late the schedule ran.
    ///
    /// # Errors
    /// The first connection that could not publish.
    pub fn finish(mut self) -> Result<Lateness, ProducerError> {
        self.go.clear();
        let mut lateness = thread::lateness();
        for thread in std::mem::take(&mut self.threads) {
            let own = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            lateness.add(own).expect("all have the same bounds");
        }
        Ok(lateness)
    }
}

impl Drop for Producers {
    /// A run that failed leaves no load beside the next one.
    fn drop(&mut self) {
        self.go.clear();
        self.give_up();
        for thread in self.threads.drain(..) {
            // Why the run failed has been told.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::clock::Anchor;

    /// One connection with one tag, to one partition.
    pub(super) fn load(engine: EngineKind, bootstrap: String, bytes: usize) -> Load {
        let pace = || Pace { rate: 1.0, jitter: 0.5, duration: Duration::from_secs(1) };
        Load {
            run: "r".into(),
            topic: "t".into(),
            leaders: vec![1],
            access: KafkaAccess::plaintext(vec![bootstrap]),
            clock: Clock::new(Anchor::read()),
            shape: EventShape::new(bytes, 1, 1, 1, 0).unwrap(),
            seed: 0,
            window: pace(),
            warm_up: pace(),
            connections: 1,
            instances: 1,
            engine,
            null: false,
            acks: Acks::All,
            threads: 1,
            linger: Duration::ZERO,
            backlog: 1_000,
            delivery_timeout: Duration::from_secs(60),
            ramp: 80,
            drain: Duration::from_secs(1),
        }
    }
}
