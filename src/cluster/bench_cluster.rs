//! The cluster that benches measure on: containers where there is Docker, so that they are the same everywhere; local
//! processes otherwise, and never without saying so.

use super::{Cluster, ClusterError, Site, local};
use crate::{machine::process::Lifetime, variant::Variant};

const VARIABLE: &str = "SHASTA_CLUSTER";

/// Starts so many brokers and a Redis on what `SHASTA_CLUSTER` names, `containers` or `local`; when it is unset, in containers
/// if a Docker daemon answers and the images are there, and else locally, which `progress` is told in a line. The variant's own
/// `cluster` does not count. [`Cluster::substrate`] tells which it became.
///
/// Ctrl-C removes containers before it ends the process. Call it from the main thread, as [`super::start`].
///
/// # Errors
/// Those of the cluster that was wanted; with `SHASTA_CLUSTER=containers` also that there is no Docker.
pub fn for_benches(
    variant: &Variant,
    brokers: usize,
    progress: &dyn Fn(&str),
) -> Result<Box<dyn Cluster>, ClusterError> {
    let wanted = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    choose(wanted.as_deref(), variant, brokers, progress)
}

fn choose(
    wanted: Option<&str>,
    variant: &Variant,
    brokers: usize,
    progress: &dyn Fn(&str),
) -> Result<Box<dyn Cluster>, ClusterError> {
    match wanted {
        Some("local") => {}
        Some("containers") => return in_containers(variant, brokers, Wanted::Yes, progress),
        Some(other) => return Err(ClusterError::NoSuchCluster(other.to_owned())),
        None => match in_containers(variant, brokers, Wanted::IfThere, progress) {
            Err(lack) if is_lack(&lack) => progress(&format!("measures a local cluster, not containers: {lack}")),
            done => return done,
        },
    }
    let (site, lifetime) = (&Site::from_env(), Lifetime::WithParent);
    let starting = local::Starting { variant, brokers, site, network: None, lifetime, stop: &|| false, progress };
    Ok(Box::new(local::start(starting)?))
}

/// How much containers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    IfThere,
}

#[cfg(feature = "containers")]
fn in_containers(
    variant: &Variant,
    brokers: usize,
    wanted: Wanted,
    progress: &dyn Fn(&str),
) -> Result<Box<dyn Cluster>, ClusterError> {
    use super::containers::{self, Pull};

    #[expect(clippy::disallowed_methods, reason = "the bench is interrupted, and containers are gone")]
    let end = || {
        // The bench will miss its brokers; that is no failure of its own, and the code below says what ended it.
        std::panic::set_hook(Box::new(|_| {
            loop {
                std::thread::park();
            }
        }));
        containers::remove_own();
        std::process::exit(130);
    };
    // Where somebody handles signals already, it is theirs to drop the cluster.
    let _ = ctrlc::try_set_handler(end);
    let pull = if wanted == Wanted::Yes { Pull::Missing } else { Pull::Never };
    let starting = containers::Starting { variant, brokers, pull, stop: &|| false, progress };
    Ok(Box::new(containers::start(starting)?))
}

#[cfg(not(feature = "containers"))]
fn in_containers(_: &Variant, _: usize, _: Wanted, _: &dyn Fn(&str)) -> Result<Box<dyn Cluster>, ClusterError> {
    Err(ClusterError::NeedsContainers)
}

#[cfg(feature = "containers")]
fn is_lack(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Containers(error) if error.is_lack())
}

#[cfg(not(feature = "containers"))]
fn is_lack(error: &ClusterError) -> bool {
    matches!(error, ClusterError::NeedsContainers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::variant;

    #[test]
    fn what_is_no_cluster_for_benches_is_refused() {
        for wanted in ["external", "docker", "Containers"] {
            let text = choose(Some(wanted), &variant(), 0, &|_| ()).err().unwrap().to_string();
            assert!(text.contains(wanted) && text.contains("must be containers or local"), "{text}");
        }
    }
}
