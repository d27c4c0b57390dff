//! What runs are made on: a cluster that is up. One run has one of its own; the runs of a campaign share one as long as
//! their variants permit, so that each finds it warm.

use std::{path::Path, time::Instant};

use super::{Request, RunError, Stop};
use crate::{
    cluster::{self, Cluster, capacity},
    machine::{contention, process::Lifetime},
    output::progress::Progress,
    variant::{ClusterKind, Variant},
};
use shasta_model::manifest::harness::Before;

/// A cluster, and what has been made on it. What was started for it ends when it drops.
pub struct ClusterSession {
    pub(super) cluster: Box<dyn Cluster>,
    /// How long it took to be ready, in s.
    pub(super) ready_s: f64,
    /// Runs that have been made on it.
    pub(super) runs: u32,
    /// What else the machine did before the present run started.
    pub(super) before: Before,
    variant: Variant,
}

impl ClusterSession {
    /// The one that is there already where it suits the run, else a new one in its place.
    pub(super) fn take<'a>(
        there: &'a mut Option<Self>,
        request: &Request,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<&'a mut Self, RunError> {
        let suits = there.as_mut().is_some_and(|session| session.suits(request));
        if !suits {
            // Two clusters at a time would be too much for a small machine.
            *there = None;
        }
        let own = there.as_ref().map_or_else(Vec::new, |session| session.cluster.processes());
        let before = contention::look(&own);
        let told = [contention::warning(&before), request.variant.engine_for_size()];
        told.into_iter().flatten().for_each(|line| progress.step(&line));
        let session = match there.take() {
            Some(session) => Self { before, ..session },
            None => Self::start(request, before, stop, progress)?,
        };
        Ok(there.insert(session))
    }

    fn start(request: &Request, before: Before, stop: &Stop, progress: &Progress) -> Result<Self, RunError> {
        let started = Instant::now();
        check(request)?;
        let lifetime = if request.keep_cluster { Lifetime::Detached } else { Lifetime::WithParent };
        let addresses = Some(request.addresses.clone());
        let progress = |text: &str| progress.step(text);
        let cluster = cluster::start(&request.variant, addresses, lifetime, &|| stop.requested(), &progress)?;
        let (ready_s, variant) = (started.elapsed().as_secs_f64(), request.variant.clone());
        Ok(Self { cluster, ready_s, runs: 0, before, variant })
    }

    /// Whether the run can be made on it: it is as the variant wants it, whole, and there is room beside what earlier runs
    /// have left on its disk.
    fn suits(&mut self, request: &Request) -> bool {
        self.variant.same_cluster(&request.variant)
            && self.cluster.ended().is_ok_and(|ended| ended.is_empty())
            && check(request).is_ok()
    }
}

fn check(request: &Request) -> Result<(), RunError> {
    if request.variant.cluster == ClusterKind::Null {
        let flags = [("--verify", request.verify), ("--keep-cluster", request.keep_cluster)];
        return match flags.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(RunError::Nothing { flag }),
            None => Ok(()),
        };
    }
    prepare_machine(&request.variant, &request.out, request.overload)
}

/// Refuses a cluster that this machine cannot carry, and allows this process the files that it needs. Rows go to `out`.
///
/// # Errors
/// What is too little, in numbers.
pub(crate) fn prepare_machine(variant: &Variant, out: &Path, overload: bool) -> Result<(), RunError> {
    if let Some(data) = cluster::data_dir(variant)? {
        capacity::check(variant, out, &data, overload)?;
    }
    capacity::raise_nofile(capacity::nofile_needed(variant))?;
    Ok(())
}
