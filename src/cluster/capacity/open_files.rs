//! Open files of the measuring process: what a run needs, and the limit that is raised for it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::{
    cluster::broker::NODES,
    machine::limits::Machine,
    variant::{Engine, Variant, fault::Scope},
};

/// The hard limit of open files is short.
#[derive(Debug, Error)]
pub enum NofileError {
    /// Only the machine's administrator can help.
    #[error(
        "{needed} open files are needed and the hard limit is {hard}: use fewer --connections (--engine rskafka needs the fewest files), or raise it (`ulimit -Hn {needed}` as root, or LimitNOFILE)"
    )]
    Hard {
        /// Files that the run needs.
        needed: u64,
        /// What the machine allows.
        hard: u64,
    },
    /// The system refused to raise the soft limit.
    #[error("the limit of open files could not be raised to {needed}: {source}")]
    Refused {
        /// Files that the run needs.
        needed: u64,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// What is needed and what there is, where that is too little.
pub(super) fn short(variant: &Variant, machine: &Machine) -> Option<String> {
    let (needed, limit) = (nofile_needed(variant), machine.nofile_hard);
    let Variant { connections, workers, .. } = variant;
    (needed > limit).then(|| {
        format!("open files: {connections} connections and {workers} workers need {needed} here; the limit is {limit}")
    })
}

/// Open files of the measuring process: the producers' sockets and what their clients open beside them.
pub fn nofile_needed(variant: &Variant) -> u64 {
    const OWN: u64 = 256;
    let brokers_used = u64::from(variant.tags_per_connection.min(NODES as u32));
    let connection = match variant.engine {
        Engine::Rskafka => 1 + brokers_used,
        // Seen: 11, for four sockets and the pipes of five threads.
        Engine::Librdkafka => 12,
    };
    OWN + u64::from(variant.workers) * 4 + u64::from(variant.connections) * connection + proxied(variant)
}

/// Open files of the network's proxies, which have both ends of each connection.
fn proxied(variant: &Variant) -> u64 {
    let parties = u64::from(variant.workers) + u64::from(variant.readers);
    let connections = match variant.network_scope() {
        None => return 0,
        Some(Scope::Redis) => parties,
        // Each client has a socket to each broker and to the one that it started from, and so have brokers to each other.
        Some(Scope::Whole) => (u64::from(variant.connections) + parties + NODES as u64) * (1 + NODES as u64),
    };
    const PROXIES: u64 = 14;
    2 * connections + 4 * PROXIES
}

/// Raises the soft limit of open files to `needed` where it is lower; children inherit it. Returns the limit.
///
/// # Errors
/// When the hard limit is lower than `needed`.
pub fn raise_nofile(needed: u64) -> Result<u64, NofileError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No number means no limit.
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    if soft >= needed {
        return Ok(soft);
    }
    if hard < needed {
        return Err(NofileError::Hard { needed, hard });
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum });
    raised.map(|()| needed).map_err(|errno| NofileError::Refused { needed, source: errno.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::variant;

    #[test]
    fn the_soft_limit_is_raised_and_a_short_hard_one_is_named() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        assert!(raise_nofile(64).unwrap() >= 64);
        if let Some(hard) = maximum {
            let text = raise_nofile(hard + 1).unwrap_err().to_string();
            assert!(text.contains(&format!("the hard limit is {hard}")), "{text}");
        }
        assert!(nofile_needed(&Variant { connections: 1000, ..variant() }) < 3000);
    }
}
