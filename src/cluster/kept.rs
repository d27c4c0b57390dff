//! Local clusters that were left up, by `experiment cluster up` or `--keep-cluster`: which there are, and how each is stopped.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    ClusterError,
    scratch::{KEPT, is_ours, parents, running_children, signal_children},
};

/// How long brokers and Redis have to end in good order. Their data goes anyway.
const END_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// A cluster that was left up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCluster {
    /// Its directory, which names it.
    pub dir: PathBuf,
    /// Where its brokers are, and its Redis.
    pub bootstrap: String,
    /// URL of its Redis.
    pub redis_url: String,
}

impl KeptCluster {
    /// All of this user's, of those whose data is in the temporary directory or in memory.
    pub fn all() -> Vec<Self> {
        let parents = parents(&std::env::temp_dir());
        let entries = parents.iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten();
        let dirs: BTreeSet<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        dirs.iter().filter_map(|dir| Self::in_dir(dir)).collect()
    }

    /// The one in this directory, if there is one that belongs to this user.
    pub fn in_dir(dir: &Path) -> Option<Self> {
        if !is_ours(dir) {
            return None;
        }
        let text = fs::read_to_string(dir.join(KEPT)).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        let (bootstrap, redis_url) = (lines.next()?, lines.next().unwrap_or_default());
        Some(Self { dir: dir.to_owned(), bootstrap, redis_url })
    }

    /// Ends its processes and removes its directory.
    ///
    /// # Errors
    /// The directory cannot be removed.
    pub fn stop(&self) -> Result<(), ClusterError> {
        let started = Instant::now();
        signal_children(&self.dir, Signal::TERM);
        while !running_children(&self.dir).is_empty() && started.elapsed() < END_MAX {
            std::thread::sleep(POLL);
        }
        signal_children(&self.dir, Signal::KILL);
        while !running_children(&self.dir).is_empty() {
            std::thread::sleep(POLL);
        }
        fs::remove_dir_all(&self.dir).map_err(super::error::file_error(&self.dir, "removed"))
    }
}
