//! The cluster that benches measure on: containers where there is Docker, so that they are the same everywhere; local
//! processes otherwise, and never without saying so.

use super::{Cluster, ClusterError, Site, local};
use crate::{output::say, process::Lifetime, variant::Variant};

const VARIABLE: &str = "SHASTA_CLUSTER";

/// Starts the cluster that `SHASTA_CLUSTER` names, `containers` or `local`; when it is unset, containers if a Docker daemon
/// answers and the images are there or can be pulled, and else a local cluster, which one line on standard error then says.
/// The variant's own `cluster` does not count. [`Cluster::substrate`] tells which it became.
///
/// Ctrl-C removes containers before it ends the process. Call it from the main thread, as [`super::start`].
///
/// # Errors
/// Those of the cluster that was wanted; with `SHASTA_CLUSTER=containers` also that there is no Docker.
pub fn for_benches(variant: &Variant) -> Result<Box<dyn Cluster>, ClusterError> {
    let wanted = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    choose(wanted.as_deref(), variant)
}

fn choose(wanted: Option<&str>, variant: &Variant) -> Result<Box<dyn Cluster>, ClusterError> {
    match wanted {
        Some("local") => start_local(variant),
        None | Some("containers") => match start_in_containers(variant) {
            Err(lack) if wanted.is_none() && is_lack(&lack) => {
                say(format_args!("no containers, so a local cluster is measured: {lack}"));
                start_local(variant)
            }
            done => done,
        },
        Some(other) => Err(ClusterError::NoSuchCluster(other.to_owned())),
    }
}

fn start_local(variant: &Variant) -> Result<Box<dyn Cluster>, ClusterError> {
    let (site, lifetime) = (Site::from_env(), Lifetime::WithParent);
    let starting = local::Starting { variant, site: &site, lifetime, stop: &|| false, progress: &|_| () };
    Ok(Box::new(local::start(starting)?))
}

#[cfg(feature = "containers")]
fn start_in_containers(variant: &Variant) -> Result<Box<dyn Cluster>, ClusterError> {
    use super::containers;

    let prepared = containers::prepare(variant, &|| false, &|line| say(line))?;
    #[expect(clippy::disallowed_methods, reason = "the bench is interrupted, and containers are gone")]
    let end = || {
        containers::remove_own();
        std::process::exit(130);
    };
    // Where somebody handles signals already, it is theirs to drop the cluster.
    let _ = ctrlc::try_set_handler(end);
    Ok(Box::new(prepared.start(variant, &|| false, &|_| ())?))
}

#[cfg(not(feature = "containers"))]
fn start_in_containers(_: &Variant) -> Result<Box<dyn Cluster>, ClusterError> {
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
            let text = choose(Some(wanted), &variant()).err().unwrap().to_string();
            assert!(text.contains(wanted) && text.contains("must be containers or local"), "{text}");
        }
    }
}
