//! What faults can reach: the processes of a run, the disk of its rows and the network between its parts.

use rustix::process::Signal;

use crate::{
    cluster::{Cluster, Part, Parts, network::Network},
    output::rows::Disk,
    variant::fault::{BROKERS_LOCAL, Target},
    worker::pool::WorkerPool,
};

/// Everything of a run that a fault can strike. Use it from the thread that started the processes.
pub struct Targets<'a> {
    /// Brokers and Redis.
    pub cluster: &'a mut dyn Cluster,
    /// Workers.
    pub pool: &'a mut WorkerPool,
    /// How many of the pool are workers, which come first.
    pub workers: u32,
    /// Why a worker has ended, as far as it said.
    pub why_ended: &'a dyn Fn(u32) -> Option<String>,
    /// Where the rows go.
    pub disk: &'a Disk,
    /// What is between them, where it can be disturbed.
    pub network: Option<&'a Network>,
}

impl Targets<'_> {
    /// All processes that can be started again.
    pub(super) fn all(&mut self) -> Vec<Target> {
        let parts: &[Target] = match self.cluster.parts() {
            Some(_) => &[Target::Redis],
            None => &[],
        };
        let brokers = if parts.is_empty() { 0 } else { BROKERS_LOCAL };
        let brokers = (1..=brokers).map(Target::Broker);
        parts.iter().copied().chain(brokers).chain((0..self.workers).map(Target::Worker)).collect()
    }

    fn parts(&mut self) -> Result<&mut dyn Parts, String> {
        self.cluster.parts().ok_or_else(|| "this cluster runs elsewhere, and is not ours to stop".to_owned())
    }

    /// The broker that leads the quorum now.
    pub(super) fn controller(&mut self) -> Result<Target, String> {
        let leader = self.parts()?.controller();
        leader.map(Target::Broker).ok_or_else(|| "no broker leads the quorum".to_owned())
    }

    /// How the process has ended, if it has.
    pub(super) fn ended(&mut self, target: Target) -> Result<Option<String>, String> {
        let Target::Worker(worker) = target else {
            return self.parts()?.how_ended(part(target)).map_err(|error| error.to_string());
        };
        let ended = self.pool.ended().map_err(|error| error.to_string())?;
        let status = ended.into_iter().find(|(number, ..)| *number == worker).map(|(.., status)| status);
        Ok(status.map(|status| match (self.why_ended)(worker) {
            Some(why) => format!("{status}: {why}"),
            None => status.to_string(),
        }))
    }

    pub(super) fn signal(&mut self, target: Target, signal: Signal) -> Result<(), String> {
        match target {
            Target::Worker(worker) => self.pool.signal(worker, signal).map_err(|error| error.to_string()),
            other => self.parts()?.signal(part(other), signal).map_err(|error| error.to_string()),
        }
    }

    /// Asks the process to end in good order.
    pub(super) fn terminate(&mut self, target: Target) -> Result<(), String> {
        match target {
            Target::Worker(worker) => {
                self.pool.dismiss(worker);
                Ok(())
            }
            other => self.signal(other, Signal::TERM),
        }
    }

    /// Starts an ended process as it was.
    pub(super) fn start(&mut self, target: Target) -> Result<(), String> {
        match target {
            Target::Worker(worker) => self.pool.start_again(worker).map_err(|error| error.to_string()),
            other => self.parts()?.start_again(part(other)).map_err(|error| error.to_string()),
        }
    }

    /// Whether the process takes requests. Of a worker it is enough that it was started.
    pub(super) fn answers(&mut self, target: Target) -> bool {
        match target {
            Target::Worker(_) => true,
            other => self.parts().is_ok_and(|parts| parts.answers(part(other))),
        }
    }
}

fn part(target: Target) -> Part {
    match target {
        Target::Broker(broker) => Part::Broker(broker),
        Target::Redis => Part::Redis,
        Target::Controller | Target::Worker(_) => unreachable!("a controller was looked up, a worker is of the pool"),
    }
}
