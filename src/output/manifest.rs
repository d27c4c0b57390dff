//! `results/<run>.json`: everything that a reader needs to trust, repeat or reject a run.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    cluster::throttle::Throttled,
    fault::Record,
    machine::{
        contention::Before,
        harness::{Proof, Spread},
        host::{Cores, Host, Versions},
        sched_slice::Slices,
    },
    output::latency_tables::Tables,
    producer::Refusal,
    run::{caveats::Caveat, collector::Rebalance, missing_records::Undecodable},
    variant::Variant,
    verify::Verification,
    worker::report::SetAside,
};
use shasta_model::ledger::Ledger;

/// The clock of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ClockProof {
    /// Which clock, and how it is anchored.
    pub source: &'static str,
    /// Error bound of the anchor, in ns.
    pub error_ns: i64,
    /// How far the wall clock had moved against CLOCK_MONOTONIC at the end, in ns.
    pub drift_ns: i64,
    /// What reading it takes, in ns: the mean of 10,000 reads after the drain.
    pub read_ns: f64,
}

/// How the run was brought to its start, and how its clients fared.
#[derive(Debug, Clone, Serialize)]
pub struct Conduct {
    /// Seconds until the cluster was ready.
    pub cluster_ready_s: f64,
    /// Runs that had been made on the cluster before this one.
    pub runs_before: u32,
    /// Seconds from the first worker's start until every partition was assigned and had reached a worker.
    pub assigned_s: f64,
    /// Seconds until all connections were open and had had an ack.
    pub connected_s: f64,
    /// Partitions of each worker when the window began.
    pub partitions_per_worker: Vec<usize>,
    /// Rebalances inside of the window; with any, latencies are not those of a settled group.
    pub rebalances_in_window: usize,
    /// All rebalances.
    pub rebalances: Vec<Rebalance>,
    /// Events whose hand-over waited for an earlier one of the same partition.
    pub waited: u64,
    /// Produce requests that were tried again.
    pub retries: u64,
    /// How long the brokers held clients back because a quota was used up.
    pub throttled: Throttling,
    /// Bytes that the headers add to an event.
    pub header_bytes: usize,
    /// Group, and the generation of the topic in stream IDs.
    pub group: String,
    /// Generation of the topic.
    pub generation: u64,
    /// Whether the cores slept between two events, from the warm-up on.
    pub cores: Cores,
    /// Whose slices its tasks had.
    pub slices: Slices,
}

/// Throttling by client quotas, as the brokers' answers say it; the warm-up is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Throttling {
    /// Of producers; of librdkafka's, the first [`crate::cluster::throttle::PRODUCERS_ASKED`] alone are asked.
    pub producers: Throttled,
    /// Of the workers' consumers.
    pub consumers: Throttled,
}

impl Throttling {
    /// What is to be known of it beside the latencies, a line each.
    pub fn told(&self) -> Vec<String> {
        let sides = [("producers", self.producers), ("workers' consumers", self.consumers)];
        let told = |(side, throttled): (&str, Throttled)| {
            format!(
                "a client quota held the {side} back ({throttled}); these latencies contain it; see `kafka-configs \
                 --describe --entity-type users` and `clients`"
            )
        };
        sides.into_iter().filter(|(_, throttled)| !throttled.is_none()).map(told).collect()
    }
}

/// The manifest. Times are µs of the Unix epoch unless named otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    /// Name of the run.
    pub run: String,
    /// Name of the file of rows, beside this one.
    pub rows_file: String,
    /// Name of the variant.
    pub variant_name: String,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// The verdict, in words.
    pub verdict: String,
    /// What bounds it: a busy machine, a late harness, events that came again.
    pub caveats: Vec<Caveat>,
    /// Planned events.
    pub planned: u64,
    /// Planned events that were not stored within 100 ms of their scheduled time.
    pub over_slo: u64,
    /// The ledger.
    pub ledger: Ledger,
    /// Percentiles.
    pub latencies: Tables,
    /// Start and end of the window.
    pub window_us: [i64; 2],
    /// Start, RFC 3339.
    pub started: String,
    /// End, RFC 3339.
    pub ended: String,
    /// Seed of the schedule and the payload.
    pub seed: u64,
    /// What the run was made against.
    pub substrate: &'static str,
    /// How it was reached: `kafka` (`protocol`, `mechanism`, `ca_file`) and `redis` (`tls`, `user`); null without a cluster.
    pub security: Value,
    /// Start-up, group and clients.
    pub conduct: Conduct,
    /// How late the schedule itself ran.
    pub lateness: Spread,
    /// What the harness cost, and what else the machine did.
    pub harness: Proof,
    /// What else the machine did before the run started.
    pub machine_before: Before,
    /// The clock.
    pub clock: ClockProof,
    /// Faults that were injected, and ends that came from outside.
    pub faults: Vec<Record>,
    /// What `--verify` has found, where it was asked for.
    pub verification: Option<Verification>,
    /// Records that could not be stored, the first 1,000.
    pub set_aside: Vec<SetAside>,
    /// Why events were not acked, the most frequent cause first.
    pub refusals: Vec<Refusal>,
    /// Batches of the topic that the workers could not decode and passed by, the first 1,000.
    pub undecodable: Vec<Undecodable>,
    /// Troubles, the first 1,000.
    pub warnings: Vec<String>,
    /// The resolved variant.
    pub variant: Variant,
    /// What was changed of the variant of that name.
    pub overrides: Map<String, Value>,
    /// Properties of the producing and the consuming clients.
    pub clients: Value,
    /// Brokers, JVMs and Redis: settings and versions.
    pub cluster: Value,
    /// The topic as described: leaders, replicas and in-sync replicas.
    pub topic: Value,
    /// Command line, without secrets.
    pub command_line: Vec<String>,
    /// Programs.
    pub versions: Versions,
    /// Machine.
    pub host: Host,
}

impl Manifest {
    /// Writes it beside its place and moves it there: it is there whole or not at all.
    ///
    /// # Errors
    /// Those of writing: the disk is full.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        whole_json(self, directory)?.persist_noclobber(path)?;
        Ok(())
    }
}

/// A temporary file in `directory` that holds the value in JSON on one line, readable by all, to be moved to its place.
///
/// # Errors
/// Those of writing: the disk is full.
pub(crate) fn whole_json(value: &impl Serialize, directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, value)?;
    file.write_all(b"\n")?;
    let readable_by_all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable_by_all)?;
    Ok(file)
}
