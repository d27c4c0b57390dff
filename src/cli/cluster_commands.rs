//! `experiment cluster`: a local cluster that stays up between runs.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};

use super::{
    arguments::UpArguments,
    exit::{Exit, stop_on_signals},
};
use crate::{
    cluster::{self, KeptCluster},
    machine::process::Lifetime,
    output::{
        progress::Progress,
        terminal::{print, say},
    },
    run::prepare_machine,
    variant::{ClusterKind, Variant},
};

/// Starts a cluster as the variant wants it, and leaves it up.
pub(super) fn up(arguments: &UpArguments) -> anyhow::Result<Exit> {
    let (_, variant) = Variant::load(&arguments.variant, &arguments.overrides)?;
    ensure!(
        matches!(variant.cluster, ClusterKind::Local | ClusterKind::Containers),
        "`cluster up` starts a cluster on this machine, and this variant's is not; give --cluster local or containers"
    );
    let stop = stop_on_signals()?;
    prepare_machine(&variant, Path::new("."), true)?;
    let progress = Progress::default();
    let step = |text: &str| progress.step(text);
    let mut cluster = cluster::start(&variant, None, Lifetime::Detached, &|| stop.requested(), &step)?;
    let (kafka, redis) = (cluster.endpoints().kafka.bootstrap.join(","), cluster.endpoints().redis_shown());
    let down = cluster.keep()?;
    print(format_args!(
        "Kafka    {kafka}\nRedis    {redis}\nuse it   --cluster external --bootstrap {kafka} --redis {redis} --reuse-redis\n\
         stop it  {down}\n"
    ))?;
    Ok(Exit::Done)
}

/// Stops the clusters in these directories, or all that this user has left up.
pub(super) fn down(dirs: &[PathBuf]) -> anyhow::Result<Exit> {
    let named = |dir: &PathBuf| {
        KeptCluster::in_dir(dir).ok_or_else(|| {
            anyhow!(
                "{}: no cluster of yours was left up there; `experiment cluster list` shows those that are",
                dir.display()
            )
        })
    };
    let clusters = match dirs {
        [] => KeptCluster::all(),
        dirs => dirs.iter().map(named).collect::<Result<_, _>>()?,
    };
    if clusters.is_empty() {
        say("no local cluster was left up; one in containers is ended by the command that it printed");
    }
    for cluster in clusters {
        cluster.stop()?;
        print(format_args!("stopped {}\n", cluster.dir.display()))?;
    }
    Ok(Exit::Done)
}

/// Lists the clusters that this user has left up.
pub(super) fn list() -> anyhow::Result<Exit> {
    for KeptCluster { dir, bootstrap, redis_url } in KeptCluster::all() {
        print(format_args!("{}  --bootstrap {bootstrap} --redis {redis_url}\n", dir.display()))?;
    }
    Ok(Exit::Done)
}
