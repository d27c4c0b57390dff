//! A whole experiment, in the order in which it happens.

mod close;
mod error;
mod files;
mod stage;
mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

pub use self::error::RunError;
use self::{
    close::Measured,
    files::Files,
    stage::{Stage, start_cluster},
    watch::Watch,
};
use crate::{
    clock::Anchor,
    cluster::Addresses,
    harness::Harness,
    live::Live,
    manifest::{Conduct, Manifest},
    record::Format,
    slo::Verdict,
    variant::Variant,
};

/// What a person asked for.
#[derive(Debug)]
pub struct Request {
    /// Name of the variant.
    pub name: String,
    /// The variant, resolved and checked.
    pub variant: Variant,
    /// Name of the run; made from the variant's name and the time when not given.
    pub run: Option<String>,
    /// Directory for rows and manifest.
    pub out: PathBuf,
    /// Format of the rows.
    pub format: Format,
    /// Addresses of an external cluster.
    pub addresses: Addresses,
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
    /// The files written: rows and manifest.
    pub files: [PathBuf; 2],
}

/// The user's wish to end, from Ctrl-C or SIGTERM.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<OnceLock<Instant>>);

impl Stop {
    /// Asks to stop; returns how long ago that was first asked.
    pub fn request(&self) -> Duration {
        self.0.get_or_init(Instant::now).elapsed()
    }

    /// Whether it was asked.
    pub fn requested(&self) -> bool {
        self.0.get().is_some()
    }

    fn check(&self) -> Result<(), RunError> {
        if self.requested() { Err(RunError::Interrupted) } else { Ok(()) }
    }
}

/// Runs an experiment. Call it from the main thread: its children live no longer than the thread that starts them.
///
/// # Errors
/// Anything before the measured window ends the run without a result. After that, troubles are counted and told in the
/// manifest.
pub fn run(request: &Request, stop: &Stop, live: &Live) -> Result<Finished, RunError> {
    let anchor = Anchor::read();
    let mut files = Files::reserve(request)?;
    let (mut cluster, cluster_ready_s) = start_cluster(request, stop, live)?;
    let stage = Stage::set(request, files.run(), anchor, &*cluster, stop)?;

    let collector = stage.collect(&mut files)?;
    let (crew, assigned_s) = stage.hire(request, &collector, stop, live)?;
    let (mut producers, connected_s) = stage.connect(&collector, stop, live)?;
    let partitions_per_worker = collector.standing().partitions_per_worker();

    let window_us = stage.go(&mut producers);
    let processes = [cluster.processes(), crew.processes()].concat();
    let harness = Harness::start(processes, stage.clock, window_us.clone())?;
    let counters = Arc::clone(producers.counters());
    let mut watch = Watch::new(&stage, &window_us, collector.standing(), &counters, live);
    let end_us = watch.until_published(&producers, &mut *cluster, stop)?;
    let lateness = producers.finish()?;
    watch.until_drained(end_us);
    let proof = harness.finish(window_us.start..end_us);
    let troubles = watch.troubles();
    crew.stop()?;
    let collected = collector.finish();
    live.clear();

    let in_window = |rebalance: &&crate::collect::Rebalance| (window_us.start..end_us).contains(&rebalance.at_us);
    let conduct = Conduct {
        cluster_ready_s,
        assigned_s,
        connected_s,
        partitions_per_worker,
        rebalances_in_window: collected.rebalances.iter().filter(in_window).count(),
        rebalances: collected.rebalances.clone(),
        waited: counters.waited.load(Relaxed),
        retries: counters.retries.load(Relaxed),
        header_bytes: stage.header_bytes(),
        group: stage.group.clone(),
        generation: stage.generation,
    };
    let interrupted = end_us < window_us.end;
    let window_us = [window_us.start, end_us];
    let measured = Measured { window_us, interrupted, conduct, proof, lateness: (&lateness).into(), troubles };
    let finished = measured.close(request, &stage, &*cluster, files, &counters, collected)?;
    if request.keep_cluster {
        live.step(&format!("the cluster goes on: Kafka {}, Redis {}", stage.bootstrap(), stage.redis_shown()));
        live.step(&format!("end it with: {}", cluster.keep()?));
    }
    Ok(finished)
}
