//! Whose a container is: the process that started it, by labels, so that a later start removes what a killed run could not,
//! and nothing else.

use std::fs;

use crate::machine::process::start_time_ticks;

/// The label that names the cluster which a container is part of.
pub(super) const RUN: &str = "shasta.run";
/// The label that names the process which it was started by.
pub(super) const OWNER: &str = "shasta.owner";
/// What the names of containers begin with that `--keep-cluster` left up: labels cannot be changed.
pub(super) const KEPT: &str = "shasta-kept-";

/// A process, named for good: its id and start time, the boot that they belong to, and the processes among which the id
/// counts (its pid namespace).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    ticks: u64,
    boot: String,
    among: String,
}

impl Owner {
    /// This process.
    pub(super) fn own() -> Self {
        let pid = std::process::id();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let among = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            pid,
            ticks: start_time_ticks(pid).unwrap_or(0),
            boot: boot.trim().to_owned(),
            among: among.display().to_string(),
        }
    }

    /// As the label says it.
    pub(super) fn parse(label: &str) -> Option<Self> {
        let mut parts = label.split(' ');
        let (pid, ticks) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { pid, ticks, boot: parts.next()?.to_owned(), among: parts.next()?.to_owned() })
    }

    /// The label's text.
    pub(super) fn label(&self) -> String {
        format!("{} {} {} {}", self.pid, self.ticks, self.boot, self.among)
    }

    /// Whether the process is known to have ended. One that is counted elsewhere (in another container) cannot be judged.
    pub(super) fn is_dead(&self) -> bool {
        let own = Self::own();
        self.boot != own.boot || (self.among == own.among && start_time_ticks(self.pid) != Some(self.ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_known_to_have_ended_is_dead() {
        let own = Owner::own();
        assert_eq!(Owner::parse(&own.label()), Some(own.clone()));
        assert!(!own.is_dead());
        assert!(Owner { ticks: own.ticks + 1, ..own.clone() }.is_dead(), "another process has its id");
        assert!(Owner { pid: 4_194_999, ..own.clone() }.is_dead());
        assert!(Owner { boot: "before".to_owned(), ..own.clone() }.is_dead());
        assert!(!Owner { pid: 4_194_999, among: "pid:[1]".to_owned(), ..own }.is_dead(), "counted elsewhere");
        for label in ["", "1", "x 1 b n", "1 2 b"] {
            assert_eq!(Owner::parse(label), None, "{label}");
        }
    }
}
