//! Why a run has no result, with what to do next.

use std::path::PathBuf;

use crate::{
    cluster::{ClusterError, capacity},
    event::payload::TooSmall,
    machine::process::ProcessError,
    producer::ProducerError,
};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Ended by the user before the measured window began.
    #[error("interrupted before the measured window began; nothing was measured")]
    Interrupted,
    /// The cluster is not there, or not as it should be.
    #[error(transparent)]
    Cluster(ClusterError),
    /// This machine cannot carry the variant.
    #[error(transparent)]
    TooLarge(#[from] capacity::TooLarge),
    /// This process may not open enough files.
    #[error(transparent)]
    Nofile(#[from] capacity::NofileError),
    /// A child process could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A connection could not publish.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// An event of this size is impossible.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// Redis refused something.
    #[error("Redis at {url}: {problem}")]
    Redis {
        /// Its URL, without password.
        url: String,
        /// What it means, and the client's error.
        problem: String,
    },
    /// Redis cannot keep what the run would store.
    #[error("Redis at {url} cannot serve this run:\n{problems}")]
    Unfit {
        /// Its URL, without password.
        url: String,
        /// One a line.
        problems: String,
    },
    /// The user of Redis lacks rights.
    #[error("Redis at {url}: {missing}")]
    RedisRights {
        /// Its URL, without password.
        url: String,
        /// Which, and how they are granted.
        missing: String,
    },
    /// Redis holds keys of an earlier run.
    #[error(
        "Redis at {url} already holds keys of ours, such as {key}; give --reuse-redis to add to them (a newer event \
         wins), delete them, or name another Redis"
    )]
    NotEmpty {
        /// Its URL, without password.
        url: String,
        /// One of the keys.
        key: String,
    },
    /// The workers did not share the partitions out.
    #[error("the workers are not ready after {after_s} s: {state}; see --group-protocol, and the brokers' logs")]
    Unassigned {
        /// How long it was waited for.
        after_s: u64,
        /// What is missing.
        state: String,
    },
    /// Somebody has deleted the topic before the window.
    #[error("{0}; nothing was measured: give the run a --topic that nobody else touches")]
    TopicLost(String),
    /// A worker ended before the window.
    #[error("{0}")]
    Worker(String),
    /// A file could not be written or read.
    #[error("{path}: {source}; check that the directory exists, can be written and has space")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `--run` is no name.
    #[error("--run {0}: use 1 to 200 letters, digits, `.`, `_` and `-`, and no `.` first")]
    Name(String),
    /// A run of this name is there.
    #[error("{0} exists already, and a run never overwrites another; give another --run or --out")]
    Exists(PathBuf),
    /// There is nothing that a flag could be about.
    #[error("{flag}: a run with --cluster null has neither Kafka nor Redis; leave the flag out")]
    Nothing {
        /// The flag.
        flag: &'static str,
    },
    /// The system has no thread to give.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl RunError {
    /// Whether the user ended it.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}

impl From<ClusterError> for RunError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Interrupted => Self::Interrupted,
            other => Self::Cluster(other),
        }
    }
}
