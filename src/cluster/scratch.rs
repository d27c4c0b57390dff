//! The temporary directory of a local cluster. Its name and its `owner` file say which process it belongs to, so that
//! a later start removes what a killed run could not.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{ClusterError, error::file_error};
use crate::process::start_time_ticks;

const PREFIX: &str = "shasta-";
const OWNER: &str = "owner";
const KEPT: &str = "kept";

/// A directory that is removed when dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Removes what dead runs left in `parent`, then makes a directory of our own there.
    pub(super) fn create(parent: &Path) -> Result<Self, ClusterError> {
        sweep(parent);
        let pid = std::process::id();
        let dir = tempfile::Builder::new().prefix(&format!("{PREFIX}{pid}-")).tempdir_in(parent);
        let dir = dir.map_err(file_error(parent, "used for a temporary directory"))?;
        let ticks = start_time_ticks(pid).unwrap_or(0);
        write(&dir.path().join(OWNER), &format!("{pid} {ticks}\n"))?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps it after the drop and out of later sweeps.
    pub(super) fn keep(&mut self) -> Result<(), ClusterError> {
        write(&self.path().join(KEPT), "left running by --keep-cluster\n")?;
        self.dir.disable_cleanup(true);
        Ok(())
    }
}

/// Writes a small file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(file_error(path, "written"))
}

fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_abandoned(path)) {
        // Another run may be sweeping the same one.
        let _ = fs::remove_dir_all(path);
    }
}

fn is_abandoned(path: &PathBuf) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((pid, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let ours = fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::getuid().as_raw());
    if !ours || path.join(KEPT).exists() {
        return false;
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
        let foreign = make("shasta-notes-f".into(), None);

        let mut scratch = Scratch::create(parent.path()).unwrap();
        assert!(!dead.exists() && !reused.exists());
        assert!(starting.exists() && alive.exists() && kept.exists() && foreign.exists());

        let own = scratch.path().to_path_buf();
        scratch.keep().unwrap();
        drop(scratch);
        assert!(own.exists());
        let other = Scratch::create(parent.path()).unwrap();
        let path = other.path().to_path_buf();
        drop(other);
        assert!(own.exists() && !path.exists());
    }
}
