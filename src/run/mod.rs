//! A whole experiment, in the order in which it happens.

pub mod caveats;
mod cluster_session;
pub mod collector;
pub mod consumer_group;
mod context;
mod error;
mod files;
mod finish;
pub mod join;
pub mod missing_records;
mod monitor;
pub(crate) mod null_run;
mod producers;
pub mod reader_process;
mod readers;
mod redis_claim;
mod stop;
mod topic_check;
mod workers;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
};

pub(crate) use self::cluster_session::prepare_machine;
pub use self::{cluster_session::ClusterSession, error::RunError, stop::Stop};
use self::{context::RunContext, files::Files, finish::Measured, monitor::Monitor};
use crate::{
    cluster::{Addresses, Cluster},
    machine::{
        harness::{self, Harness},
        host::AwakeCores,
        sched_slice::SchedSlice,
    },
    output::{progress::Progress, rows::Format},
    variant::Variant,
};
use shasta_model::{
    manifest::{
        Manifest,
        conduct::{Conduct, Throttling},
        verification::Verification,
    },
    slo::Verdict,
};

/// What a person asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the variant.
    pub name: String,
    /// The variant, resolved and checked.
    pub variant: Variant,
    /// What was changed of the variant of that name, for titles.
    pub overrides: serde_json::Map<String, serde_json::Value>,
    /// Name of the run; made from the variant's name and the time when not given.
    pub run: Option<String>,
    /// Directory for rows and manifest.
    pub out: PathBuf,
    /// Format of the rows.
    pub format: Format,
    /// Whether the rows stay when the manifest has been made of them.
    pub keep_rows: bool,
    /// Addresses of an external cluster.
    pub addresses: Addresses,
    /// Read Kafka and Redis back in the end, and compare them with the rows.
    pub verify: bool,
    /// More load than this machine's CPU should carry is wanted.
    pub overload: bool,
    /// Leave the local cluster running.
    pub keep_cluster: bool,
    /// Accept a Redis that has our keys already.
    pub reuse_redis: bool,
    /// The program that workers are started from, and its arguments for the manifest.
    pub program: PathBuf,
    /// Command line, without secrets.
    pub command_line: Vec<String>,
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// Everything that was measured.
    pub manifest: Manifest,
    /// The verdict.
    pub verdict: Verdict,
    /// The files of the run: rows and manifest.
    pub files: [PathBuf; 2],
    /// Why the manifest could not be written, if it could not.
    pub unwritten: Option<RunError>,
}

/// Runs an experiment. Call it from the main thread: its children live no longer than the thread that starts them.
///
/// # Errors
/// Anything before the measured window ends the run without a result. After that, troubles are counted and told in the
/// manifest.
pub fn run(request: &Request, stop: &Stop, progress: &Progress) -> Result<Finished, RunError> {
    run_on(&mut None, request, stop, progress)
}

/// The same for one of several runs: on the cluster of the one before where that suits, else on a new one, which is left
/// for the next.
///
/// # Errors
/// As for [`run`]. After one, the next run has a new cluster.
pub fn run_on(
    there: &mut Option<ClusterSession>,
    request: &Request,
    stop: &Stop,
    progress: &Progress,
) -> Result<Finished, RunError> {
    let files = Files::reserve(request)?;
    // All that the run starts, from here on, has the slice of this thread.
    let slice = SchedSlice::hold(request.variant.slice.0);
    let session = ClusterSession::take(there, request, stop, progress)?;
    let measured = measure(request, session, &slice, files, stop, progress);
    if measured.is_err() {
        *there = None;
    }
    measured
}

/// One run on a cluster that is up.
fn measure(
    request: &Request,
    session: &mut ClusterSession,
    slice: &SchedSlice,
    mut files: Files,
    stop: &Stop,
    progress: &Progress,
) -> Result<Finished, RunError> {
    let context = RunContext::prepare(request, stop, progress, files.run(), session)?;
    let ClusterSession { cluster, ready_s: cluster_ready_s, runs, before, .. } = session;

    context.remarks.iter().for_each(|remark| progress.step(remark));
    if request.keep_cluster {
        progress.step(&format!("Kafka is at {}, Redis at {}", context.bootstrap(), context.redis_shown()));
    }
    let collector = context.collect(&mut files)?;
    let (mut pool, assigned_s) = context.start_workers(&collector)?;
    context.start_readers(&mut pool, &collector)?;
    let (mut producers, connected_s) = context.connect(&collector)?;
    let partitions_per_worker = collector.status().partitions_per_worker();

    let awake = AwakeCores::hold(request.variant.cores_awake);
    let window_us = context.start_load(&mut producers);
    let processes = [cluster.processes(), pool.processes()].concat();
    let harness = Harness::start(processes, context.clock, window_us.clone())?;
    let counters = Arc::clone(producers.counters());
    let mut monitor = Monitor::new(&context, &window_us, &collector, &harness, &counters);
    let end_us = monitor.until_published(&producers, &mut **cluster, &mut pool)?;
    let lateness = producers.finish()?;
    monitor.until_drained(end_us, &mut **cluster, &mut pool)?;
    let (found, faults, topic_lost) = monitor.finish();
    let mut troubles = [context.remarks.clone(), found].concat();
    let proof = harness.finish(window_us.start..end_us);
    troubles.extend(pool.stop(&|| stop.insisted())?);
    let collected = collector.finish();
    let verification = request.verify.then(|| match &topic_lost {
        Some(why) => Verification::impossible(why),
        None => context.verify(&files, &collected),
    });
    progress.clear();

    let conduct = Conduct {
        cluster_ready_s: *cluster_ready_s,
        runs_before: Some(*runs),
        assigned_s,
        connected_s,
        partitions_per_worker,
        rebalances_in_window: collected.rebalances_in(window_us.start..end_us),
        rebalances: collected.rebalances.clone(),
        waited: counters.waited.load(Relaxed),
        retries: counters.retries.load(Relaxed),
        throttled: Some(Throttling { producers: counters.throttled.now(), consumers: collected.throttled }),
        header_bytes: context.header_bytes(),
        group: context.group.clone(),
        generation: context.generation,
        cores: Some(awake.cores()),
        slices: Some(slice.slices()),
    };
    let interrupted = (end_us < window_us.end && topic_lost.is_none()) || stop.insisted();
    let window_us = [window_us.start, end_us];
    let (lateness, gave_up) = (harness::spread(&lateness), stop.insisted());
    let measured = Measured {
        window_us,
        interrupted,
        gave_up,
        conduct,
        before: *before,
        proof,
        lateness,
        troubles,
        topic_lost,
        faults,
        verification,
    };
    let finished = measured.close(&context, &**cluster, files, &counters, collected);
    *runs += 1;
    if request.keep_cluster {
        keep(&context, &mut **cluster)?;
    }
    Ok(finished)
}

/// Leaves the cluster up, and says how to end it.
fn keep(context: &RunContext<'_>, cluster: &mut dyn Cluster) -> Result<(), RunError> {
    let progress = context.progress;
    progress.step(&format!("the cluster goes on: Kafka {}, Redis {}", context.bootstrap(), context.redis_shown()));
    progress.step(&format!("end it with: {}", cluster.keep()?));
    Ok(())
}
