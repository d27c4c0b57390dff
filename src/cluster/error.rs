//! What can be wrong with a cluster, each with what to do next.

use std::{io, path::PathBuf};

use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::machine::process::ProcessError;

/// Why a cluster is not there, or is not as the variant wants it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// What is wrong with Docker or its images.
    #[cfg(feature = "containers")]
    #[error(transparent)]
    Containers(#[from] super::containers::ContainersError),
    /// Containers in a build without them.
    #[error(
        "this build leaves containers out; build with `cargo build --features containers` (they are in by default), or use \
         --cluster local"
    )]
    NeedsContainers,
    /// `SHASTA_CLUSTER` names nothing that benches run on.
    #[error("SHASTA_CLUSTER={0}: must be containers or local; unset, benches take containers where Docker answers")]
    NoSuchCluster(String),
    /// The caller's `stop` said so.
    #[error("interrupted while the cluster was starting")]
    Interrupted,
    /// A child could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A part that has failed over is to be struck again.
    #[error("{name} is gone: it has failed over")]
    Gone {
        /// Its process.
        name: String,
    },
    /// The Java that was found is too old for this Kafka.
    #[error(
        "`{java}` is Java {found}, and Kafka {kafka} needs 17 or later; run scripts/setup, or put a later one first on PATH"
    )]
    OldJava {
        /// The executable.
        java: PathBuf,
        /// What it says of itself.
        found: String,
        /// The pinned Kafka.
        kafka: &'static str,
    },
    /// Kafka's jars are missing, incomplete or of another version.
    #[error(
        "{dir}: {problem}; run scripts/setup, which puts Kafka {kafka} there (SHASTA_KAFKA_LIBS names another directory)"
    )]
    Jars {
        /// Where they should be.
        dir: PathBuf,
        /// What is wrong.
        problem: String,
        /// The pinned Kafka.
        kafka: &'static str,
    },
    /// A setting that this harness must choose itself.
    #[error("`{name}` in [{section}] is set by the run itself ({why}); leave it out")]
    Owned {
        /// The variant's section.
        section: &'static str,
        /// The setting.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A setting whose value cannot be written down.
    #[error("`{name}` in [{section}] holds a line break; write the value on one line")]
    LineBreak {
        /// The variant's section.
        section: &'static str,
        /// The setting.
        name: String,
    },
    /// No room for the cluster's data.
    #[error(
        "no space left on the file system of {dir}; free some, or set TMPDIR or --data-dir to a directory on a larger one"
    )]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// No place for the cluster's data.
    #[error(
        "no temporary directory can be made in {dir} ({reason}); set TMPDIR or --data-dir to a directory that exists and can be written"
    )]
    Temporary {
        /// Where it was tried.
        dir: PathBuf,
        /// The operating system's answer.
        reason: io::Error,
    },
    /// A file of the cluster could not be read or written.
    #[error("{path} could not be {what}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A port was taken though it was held: by a process that asked for it by its number.
    #[error(
        "{name}: another process took the port that was chosen for it; see `ss -ltnp` for who asks for such ports, then try again"
    )]
    PortTaken {
        /// The child.
        name: String,
    },
    /// A cluster whose network ends with the run.
    #[error(
        "--keep-cluster leaves brokers that reach each other through this run's network, which ends with it: leave the flag \
         out, or run a variant without faults between brokers"
    )]
    KeptNetwork,
    /// A child ended by itself.
    #[error("{name} ended by itself ({status}){hint}\nThe last lines of its log:\n{lines}")]
    Exited {
        /// The child.
        name: String,
        /// Its exit status.
        status: String,
        /// What may be wrong.
        hint: &'static str,
        /// The end of its log.
        lines: String,
    },
    /// The cluster did not get ready in time.
    #[error(
        "the local cluster was not ready after {seconds} s ({waiting_for}); is the machine overloaded?\nThe last lines of the logs:\n{lines}"
    )]
    NotReady {
        /// The limit, in seconds.
        seconds: u64,
        /// What was still missing.
        waiting_for: String,
        /// The ends of the logs.
        lines: String,
    },
    /// An external cluster without an address.
    #[error("an external cluster needs {what}: give {flag}, or set {variable}")]
    NoAddress {
        /// What is missing.
        what: &'static str,
        /// The flag.
        flag: &'static str,
        /// The environment variable.
        variable: &'static str,
    },
    /// Addresses for a cluster that the harness starts itself.
    #[error(
        "{flag} names an external cluster, but this run starts one of its own; add `--cluster external` or leave it out"
    )]
    NotExternal {
        /// The flag.
        flag: &'static str,
    },
    /// An address or security setting that cannot be understood.
    #[error("{what}: {problem}")]
    BadAddress {
        /// The flag or variable.
        what: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A broker that does not answer.
    #[error("broker {address}: {problem}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What happened, and what to look at.
        problem: String,
    },
    /// A Redis that does not answer.
    #[error("Redis {address}: {problem}")]
    Redis {
        /// The address, without its password.
        address: String,
        /// What happened, and what to look at.
        problem: String,
    },
    /// A request that the cluster refused.
    #[error("{what} failed: {problem}")]
    Kafka {
        /// What was asked.
        what: String,
        /// The client's error, with the reason that it last gave.
        problem: String,
    },
    /// A topic with whose settings the run could not be right.
    #[error(
        "topic `{topic}`{origin} settings that contradict the run:\n{differences}\nUse another one (--topic NAME){overrides}, or \
         alter or delete it"
    )]
    TopicDiffers {
        /// The topic.
        topic: String,
        /// Where it has them from.
        origin: &'static str,
        /// One difference a line.
        differences: String,
        /// The overrides that would accept it.
        overrides: String,
    },
    /// A topic that did not get its leaders and replicas.
    #[error("topic `{topic}` was not ready after {seconds} s: {missing}; look at the brokers' logs")]
    TopicNotReady {
        /// The topic.
        topic: String,
        /// The limit, in seconds.
        seconds: u64,
        /// What was still missing.
        missing: String,
    },
}

impl ClusterError {
    pub(super) fn kafka(what: impl Into<String>, source: &KafkaError, reason: Option<String>) -> Self {
        let problem = reason.map_or_else(|| source.to_string(), |reason| format!("{source} ({reason})"));
        Self::Kafka { what: what.into(), problem }
    }
}

/// Wraps an I/O error with its file; a full disk gets its own words.
pub(super) fn file_error(path: &std::path::Path, what: &'static str) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_path_buf();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ClusterError::DiskFull { dir: path },
        _ => ClusterError::File { path, what, source },
    }
}
