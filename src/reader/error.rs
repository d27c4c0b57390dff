//! Why something could not be read, with what to do next.

use redis::RedisError;

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// The URL is none of Redis'.
    #[error("{0}; an address is redis://[user:password@]host:port, or rediss:// for TLS")]
    Address(String),
    /// Redis refuses the user, its password or a command.
    #[error(
        "Redis refuses: {0}; check user and password in the URL. A reader needs +@read +@transaction \
         +@connection on ~shasta:*, and on a cluster +cluster|slots"
    )]
    Denied(String),
    /// Redis is not there or cannot answer now (loading, failing over): trying again may help.
    #[error("Redis cannot answer: {0}")]
    Unavailable(String),
    /// The tag is on its way from one node of a cluster to another: trying again a little later will help.
    #[error("the tag is just moving to another node of the cluster: {0}")]
    Moving(String),
    /// Redis holds something under our key that the store did not write.
    #[error("`{key}` is not what the store writes: {problem}")]
    Foreign {
        /// The key, shortened.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A snapshot is larger than [`super::Options::snapshot_bytes_max`].
    #[error("the snapshot at `{key}` is larger than the {bytes_max} bytes that Options::snapshot_bytes_max allows")]
    TooLarge {
        /// The key, shortened.
        key: String,
        /// What is allowed.
        bytes_max: usize,
    },
    /// A large snapshot changed faster than it could be read.
    #[error("the snapshot at `{0}` changes faster than it can be read; keep longer streams, or smaller snapshots")]
    Unsettled(String),
    /// The tag's parts are longer than any event.
    #[error("a tag of {bytes} bytes cannot exist: its events may have {bytes_max} bytes")]
    Tag {
        /// Its size.
        bytes: usize,
        /// The largest possible.
        bytes_max: usize,
    },
    /// The reader has ended, or its tokio runtime has.
    #[error("the reader has ended")]
    Ended,
}

impl ReaderError {
    /// What Redis' own error means when `key` was read.
    pub(super) fn of(error: &RedisError, key: &str) -> Self {
        let text = error.to_string();
        let says = |word: &str| error.code() == Some(word) || text.contains(word);
        if says("WRONGTYPE") {
            return Self::foreign(key, "it is of another type");
        }
        let denied = ["NOPERM", "NOAUTH", "WRONGPASS", "invalid password", "Authentication required"];
        if error.kind() == redis::ErrorKind::AuthenticationFailed || denied.into_iter().any(says) {
            return Self::Denied(text);
        }
        // Where a slot has moved (MOVED), the connections are of no use any more: unavailable until there are others.
        let moving = matches!(error.code(), Some("ASK" | "TRYAGAIN" | "EXECABORT")) || text.contains("ASK ");
        if moving && !says("MOVED") { Self::Moving(text) } else { Self::Unavailable(text) }
    }

    pub(super) fn foreign(key: &str, problem: impl Into<String>) -> Self {
        Self::Foreign { key: shorten(key), problem: problem.into() }
    }

    /// Whether the same may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Moving(_))
    }

    /// Whether other connections are needed before it can.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A key may be as long as an event.
pub(super) fn shorten(key: &str) -> String {
    const CHARS_MAX: usize = 120;
    match key.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}
