//! A whole cluster in Docker's containers: three combined KRaft nodes and one Redis of whichever images are wanted, on the
//! host's network, where a broker is as fast as a local process.
//!
//! Containers are no children of this process, so nothing ends them with it. They are removed when the value drops; every
//! one carries its cluster and its owner as labels, and each start removes those of owners that have died.

mod daemon;
mod error;
mod exit_status;
mod image;
mod owner;
mod recipe;
mod started;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use self::{daemon::Daemon, image::Images, owner::Owner};
pub use self::{error::ContainersError, image::Pull, started::ContainerCluster};
use super::{ClusterError, KAFKA_VERSION, broker, ports::Held, readiness::ready_max, redis_server};
use crate::variant::Variant;

/// Whether this process has started containers that a sudden end would leave.
static STARTED: AtomicBool = AtomicBool::new(false);

/// What a start needs to know and whom it tells.
#[derive(Clone, Copy)]
pub struct Starting<'a> {
    /// What the cluster is for.
    pub variant: &'a Variant,
    /// Nodes: three for a run; benches also ask for others, or for Redis alone with 0.
    pub brokers: usize,
    /// What to do about an image that is not there.
    pub pull: Pull,
    /// Asked at least every 100 ms.
    pub stop: &'a dyn Fn() -> bool,
    /// Gets a line at each step.
    pub progress: &'a dyn Fn(&str),
}

/// A daemon that answers, and images that are there: all that can be wrong with Docker has been found by now.
struct Prepared {
    daemon: Daemon,
    images: Images,
}

/// Connects to Docker, finds or pulls the images, removes what dead runs left, starts the containers, and waits until all
/// brokers and Redis answer.
///
/// # Errors
/// [`ContainersError`], when Docker or an image is missing or refuses; a container ends, `stop` says so, or too long has
/// passed (40 s a broker, at least 120 s): no container is left then.
pub fn start(starting: Starting<'_>) -> Result<ContainerCluster, ClusterError> {
    start_within(prepare(starting)?, starting, ready_max(starting.brokers))
}

fn prepare(starting: Starting<'_>) -> Result<Prepared, ClusterError> {
    let Starting { variant, progress, .. } = starting;
    broker::check_properties(&variant.broker)?;
    redis_server::check_settings(&variant.redis)?;
    let daemon = Daemon::connect()?;
    let removed = daemon.remove(owner::OWNER, |name, owner| owner.is_dead() && !name.starts_with(owner::KEPT))?;
    if removed > 0 {
        progress(&format!("removed {removed} containers that a killed run had left"));
    }
    let images = Images::of(&daemon, starting)?;
    Ok(Prepared { daemon, images })
}

fn start_within(
    prepared: Prepared,
    starting: Starting<'_>,
    ready_max: Duration,
) -> Result<ContainerCluster, ClusterError> {
    let Starting { variant, brokers, progress, .. } = starting;
    let (kafka, redis) = (prepared.images.kafka.shown(), prepared.images.redis.shown());
    if brokers > 0 && variant.kafka_version != KAFKA_VERSION {
        progress(&format!("the variant describes Kafka {}; this cluster runs {kafka}", variant.kafka_version));
    }
    progress(&format!("starting {brokers} containers of {kafka} and one of {redis}"));
    let mut cluster = ContainerCluster::new(prepared, variant, Held::choose(brokers, 1)?)?;
    cluster.launch(starting.stop)?;
    cluster.wait_ready(starting, ready_max)?;
    Ok(cluster)
}

/// Where the daemon keeps its containers' data.
///
/// # Errors
/// [`ContainersError`], when no daemon answers.
pub fn data_dir() -> Result<PathBuf, ClusterError> {
    Ok(Daemon::connect()?.root.into())
}

/// Removes all containers of this process: for a signal's handler that ends the process without its destructors.
pub fn remove_own() {
    if STARTED.load(Relaxed) {
        let own = Owner::own();
        let wanted = |name: &str, owner: &Owner| *owner == own && !name.starts_with(owner::KEPT);
        // Where that fails, the next start removes them.
        let _ = Daemon::connect().and_then(|daemon| daemon.remove(owner::OWNER, wanted));
    }
}
