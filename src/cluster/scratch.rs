//! The temporary directory of a local cluster. Its name and its `owner` file say which process it belongs to, so that
//! a later start removes what a killed run could not.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{ClusterError, Endpoints, error::file_error};
use crate::machine::process::{Child, start_time_ticks};

const PREFIX: &str = "shasta-";
const OWNER: &str = "owner";
/// In the directory of a cluster that was left up: where its brokers are, and its Redis, a line each.
pub(super) const KEPT: &str = "kept";
const CHILDREN: &str = "children";
/// Where data is in memory.
const MEMORY: &str = "/dev/shm";
/// Where this process has made such directories.
static PARENTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A directory that is removed when dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Removes what dead runs left in `parent`, the temporary directory and memory, then makes a directory of our own in `parent`.
    pub(super) fn create(parent: &Path) -> Result<Self, ClusterError> {
        parents(parent).iter().for_each(|place| sweep(place));
        let mut parents = PARENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if !parents.iter().any(|known| known == parent) {
            parents.push(parent.to_path_buf());
        }
        drop(parents);
        let pid = std::process::id();
        let dir = tempfile::Builder::new().prefix(&format!("{PREFIX}{pid}-")).tempdir_in(parent);
        let dir = dir.map_err(|reason| match file_error(parent, "written")(reason) {
            ClusterError::File { path: dir, source: reason, .. } => ClusterError::Temporary { dir, reason },
            full => full,
        })?;
        let ticks = start_time_ticks(pid).unwrap_or(0);
        write(&dir.path().join(OWNER), &format!("{pid} {ticks}\n"))?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Records a child that works in it.
    pub(super) fn record(&self, child: &Child) -> Result<(), ClusterError> {
        let path = self.path().join(CHILDREN);
        let line = format!("{} {}\n", child.pid(), start_time_ticks(child.pid()).unwrap_or(0));
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(file_error(&path, "written"))
    }

    /// Keeps it after the drop and out of later sweeps.
    pub(super) fn keep(&mut self, endpoints: &Endpoints) -> Result<(), ClusterError> {
        let addresses = format!("{}\n{}\n", endpoints.kafka.bootstrap.join(","), endpoints.redis_shown());
        write(&self.path().join(KEPT), &addresses)?;
        self.dir.disable_cleanup(true);
        Ok(())
    }
}

/// Where such directories may be.
pub(super) fn parents(parent: &Path) -> BTreeSet<PathBuf> {
    BTreeSet::from([parent.to_path_buf(), std::env::temp_dir(), MEMORY.into()])
}

/// Writes a small file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(file_error(path, "written"))
}

fn sweep(parent: &Path) {
    end_all(parent, is_abandoned);
}

/// Ends what this process has started and not kept, and removes it.
pub(super) fn end_own() {
    let own = format!("{PREFIX}{}-", std::process::id());
    let is_own = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own));
    // Not waited for: who holds it may be the one that is being ended.
    let parents = PARENTS.try_lock().map(|parents| parents.clone()).unwrap_or_default();
    for parent in parents {
        end_all(&parent, |path| is_own(path) && !path.join(KEPT).exists());
    }
}

fn end_all(parent: &Path, is_to_end: impl Fn(&Path) -> bool) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for path in paths.filter(|path| is_to_end(path)) {
        // Only detached children can outlive a process that had not kept them yet.
        signal_children(&path, Signal::KILL);
        // Another run may be sweeping the same one.
        let _ = fs::remove_dir_all(path);
    }
}

/// Sends a signal to those of the children recorded in a directory that still run.
pub(super) fn signal_children(dir: &Path, signal: Signal) {
    for pid in running_children(dir) {
        // It may end by itself at this moment.
        let _ = kill_process(pid, signal);
    }
}

/// Those of the children recorded in a directory that still run.
pub(super) fn running_children(dir: &Path) -> Vec<Pid> {
    children(dir).lines().filter_map(same).collect()
}

fn children(dir: &Path) -> String {
    fs::read_to_string(dir.join(CHILDREN)).unwrap_or_default()
}

/// The process of a `pid start-time` line, if it still has that pid.
fn same(line: &str) -> Option<Pid> {
    let (pid, ticks) = line.split_once(' ')?;
    let (pid, ticks) = (pid.parse::<i32>().ok()?, ticks.parse::<u64>().ok()?);
    let is_same = u32::try_from(pid).ok().and_then(start_time_ticks) == Some(ticks);
    Pid::from_raw(pid).filter(|_| is_same)
}

/// Whether it is a directory of this user's, and no link to one.
pub(super) fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::getuid().as_raw())
}

fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((pid, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    if !is_ours(path) {
        return false;
    }
    if path.join(KEPT).exists() {
        // As long as one of its processes lives.
        return !children(path).is_empty() && running_children(path).is_empty();
    }
    // Without the owner file, the run is just starting or died while it was; the pid alone must do then.
    let recorded = fs::read_to_string(path.join(OWNER)).ok();
    let recorded = recorded.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    match (start_time_ticks(pid), recorded) {
        (None, _) => true,
        (Some(running), Some(recorded)) => running != recorded,
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::process::{Lifetime, Spawn, Streams, find_program};

    #[test]
    fn only_what_dead_runs_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let own = std::process::id();
        let ticks = start_time_ticks(own).unwrap();
        let make = |name: String, owner: Option<String>| {
            let dir = parent.path().join(name);
            fs::create_dir(&dir).unwrap();
            owner.iter().for_each(|owner| fs::write(dir.join(OWNER), owner).unwrap());
            dir
        };
        let dead = make("shasta-4194999-a".into(), Some("4194999 1".into()));
        let reused = make(format!("shasta-{own}-b"), Some(format!("{own} {}", ticks + 1)));
        let starting = make(format!("shasta-{own}-c"), None);
        let alive = make(format!("shasta-{own}-d"), Some(format!("{own} {ticks}")));
        let kept = make("shasta-4194999-e".into(), None);
        fs::write(kept.join(KEPT), "").unwrap();
        fs::write(kept.join(CHILDREN), format!("4194999 1\n{own} {ticks}\n")).unwrap();
        let gone = make("shasta-4194999-g".into(), None);
        fs::write(gone.join(KEPT), "").unwrap();
        fs::write(gone.join(CHILDREN), "4194999 1\n").unwrap();
        let foreign = make("shasta-notes-f".into(), None);
        // In memory, where another parent is none of its concern.
        let in_memory = Path::new(MEMORY).join(format!("shasta-4194999-{own}"));
        fs::create_dir(&in_memory).unwrap();

        let mut scratch = Scratch::create(parent.path()).unwrap();
        assert!(!dead.exists() && !reused.exists() && !gone.exists());
        assert!(!in_memory.exists());
        assert!(starting.exists() && alive.exists() && kept.exists() && foreign.exists());

        let own = scratch.path().to_path_buf();
        let kafka = super::super::KafkaAccess::plaintext(vec!["127.0.0.1:1".to_owned()]);
        scratch.keep(&Endpoints { kafka, redis_url: "redis://127.0.0.1:2".to_owned() }).unwrap();
        drop(scratch);
        assert!(own.exists());
        let other = Scratch::create(parent.path()).unwrap();
        let path = other.path().to_path_buf();
        drop(other);
        assert!(own.exists() && !path.exists());
    }

    #[test]
    fn what_a_killed_start_left_running_is_ended_with_its_directory() {
        let parent = tempfile::tempdir().unwrap();
        let sleep = find_program("sleep", None).unwrap();
        let log = Streams::Log(parent.path().join("log"));
        let mut child = Spawn::new("broker 1", sleep, log).args(["600"]).lifetime(Lifetime::Detached).start().unwrap();
        let mut scratch = Scratch::create(parent.path()).unwrap();
        scratch.record(&child).unwrap();
        let abandoned = parent.path().join("shasta-4194999-x");
        fs::rename(scratch.path(), &abandoned).unwrap();
        scratch.dir.disable_cleanup(true);
        fs::write(abandoned.join(OWNER), "4194999 1").unwrap();
        sweep(parent.path());
        assert!(!abandoned.exists());
        assert!(!child.wait().unwrap().success());
    }
}
