//! What this machine has: cores, memory, limits and disks, as far as they bound a local run.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use procfs::{Current, Meminfo};
use rustix::process::{Resource, getrlimit};

/// What statfs(2) calls a file system in memory.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// A place on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which file system: places that share one share its space.
    pub(crate) device: u64,
    pub(crate) free_bytes: u64,
    /// Whether what is in it takes memory, and no disk.
    pub(crate) is_memory: bool,
}

/// What bounds a local run. What cannot be read bounds nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) cores: f64,
    /// Available memory, or the control group's limit if that is lower.
    pub(crate) memory_bytes: u64,
    /// Memory maps that a process may have.
    pub(crate) maps_max: u64,
    /// Files that a process may open; a JVM raises its own limit to the hard one.
    pub(crate) nofile_hard: u64,
    pub(crate) out: Place,
    pub(crate) temp: Place,
}

impl Machine {
    pub(crate) fn read(out: &Path, temp: &Path) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(f64::INFINITY, |n| n.get() as f64),
            memory_bytes: memory_bytes(),
            maps_max: number("/proc/sys/vm/max_map_count").unwrap_or(u64::MAX),
            nofile_hard: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            out: place(out),
            temp: place(temp),
        }
    }
}

fn number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn memory_bytes() -> u64 {
    let available = Meminfo::current().ok().and_then(|info| info.mem_available);
    let group =
        ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].into_iter().find_map(number);
    available.unwrap_or(u64::MAX).min(group.unwrap_or(u64::MAX))
}

/// The file system on which `path` is, or will be once it is created.
pub(crate) fn place(path: &Path) -> Place {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let found =
        absolute.ancestors().find_map(|dir| Some((fs::metadata(dir).ok()?.dev(), rustix::fs::statfs(dir).ok()?)));
    let nowhere = Place { device: 0, free_bytes: u64::MAX, is_memory: false };
    found.map_or(nowhere, |(device, fs)| Place {
        device,
        free_bytes: fs.f_bavail.saturating_mul(fs.f_bsize.unsigned_abs()),
        is_memory: fs.f_type == TMPFS,
    })
}

/// Bytes for people: `6.0 GiB`, `150 MiB`, `12 KiB`.
pub(crate) fn gib(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something_of_everything() {
        let machine = Machine::read(Path::new("no/such/directory/yet"), &std::env::temp_dir());
        assert!(
            machine.cores >= 1.0 && machine.memory_bytes > 1 << 20 && machine.maps_max > 0 && machine.nofile_hard > 0
        );
        assert!(machine.out.free_bytes < u64::MAX && machine.temp.free_bytes < u64::MAX);
        assert_eq!(gib(1500), "2 KiB");
        assert_eq!((gib(150 << 20), gib(3 << 29)), ("150 MiB".to_owned(), "1.5 GiB".to_owned()));
    }
}
