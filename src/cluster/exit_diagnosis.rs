//! Why a child ended by itself, as far as its log says.

use std::{path::Path, process::ExitStatus};

use super::ClusterError;
use crate::machine::process::Child;

const LOG_LINES: usize = 12;

/// What programs say, and what to do then.
const HINTS: &[(&str, &str)] = &[
    ("ClassNotFoundException", "; a jar of Kafka is missing or broken, run scripts/setup"),
    ("NoClassDefFoundError", "; a jar of Kafka is missing or broken, run scripts/setup"),
    ("Could not reserve enough space", "; the heap does not fit into memory, try --broker-heap 512m"),
    ("insufficient memory", "; the heap does not fit into memory, try --broker-heap 512m"),
    ("OutOfMemoryError", "; the heap is too small for this load, give more --broker-heap"),
    ("Unrecognized VM option", "; this Java does not know a flag of the variant's broker_jvm"),
    ("Unrecognized option", "; this Java does not know a flag of the variant's broker_jvm"),
    ("Invalid maximum heap size", "; write --broker-heap as java's -Xmx takes it: 512m, 6g"),
    ("Invalid initial heap size", "; write --broker-heap as java's -Xmx takes it: 512m, 6g"),
    ("ConfigException", "; the variant's [broker] holds a setting that it refuses"),
    ("FATAL CONFIG FILE ERROR", "; the variant's [redis] holds a setting that it refuses"),
];

/// The error for a child that ended; `dir` is where its data is.
pub(super) fn ended(child: &Child, status: ExitStatus, dir: &Path) -> ClusterError {
    let name = child.name().to_owned();
    let log = child.last_lines(usize::MAX);
    if log.contains("Address already in use") {
        return ClusterError::PortTaken { name };
    }
    if log.contains("No space left on device") || log.contains("Disk quota exceeded") {
        return ClusterError::DiskFull { dir: dir.to_path_buf() };
    }
    ClusterError::Exited { name, status: status.to_string(), hint: hint(&log), lines: child.last_lines(LOG_LINES) }
}

/// What to do then, as far as the log tells; empty, or to be put after the status.
pub(super) fn hint(log: &str) -> &'static str {
    HINTS.iter().find_map(|(said, hint)| log.contains(said).then_some(*hint)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::process::{Spawn, Streams, find_program};

    fn said(line: &str) -> ClusterError {
        let dir = tempfile::tempdir().unwrap();
        let log = Streams::Log(dir.path().join("log"));
        let shell = find_program("sh", None).unwrap();
        let mut child = Spawn::new("broker 2", shell, log).args(["-c", "echo \"$0\"; exit 1", line]).start().unwrap();
        let status = child.wait().unwrap();
        ended(&child, status, dir.path())
    }

    #[test]
    fn the_log_tells_what_to_do() {
        let taken = "Socket server failed to bind to 127.0.0.1:9092: Address already in use.";
        assert!(matches!(said(taken), ClusterError::PortTaken { .. }));
        assert!(said("java.io.IOException: No space left on device").to_string().contains("TMPDIR"));
        assert!(said("java.lang.NoClassDefFoundError: org/slf4j/Logger").to_string().contains("scripts/setup"));
        let text = said("Error: nobody knows").to_string();
        assert!(text.contains("broker 2 ended by itself (exit status: 1)") && text.ends_with("nobody knows"), "{text}");
    }
}
