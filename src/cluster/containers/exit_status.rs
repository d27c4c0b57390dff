//! Whether containers still run, and how those that do not came to their end.

use std::time::{Duration, Instant};

use testcontainers::bollard::errors::Error as DockerError;

use super::{
    error::{ContainersError, is_full},
    started::ContainerCluster,
};
use crate::{
    cluster::{ClusterError, exit_diagnosis::hint},
    machine::process::start_time_ticks,
};

/// How often Docker is asked about a container whose process cannot be seen from here.
const LOOK: Duration = Duration::from_secs(1);
const LOG_LINES: usize = 20;

impl ContainerCluster {
    /// The first that has ended, while none may.
    pub(super) fn check(&mut self) -> Result<(), ClusterError> {
        for i in 0..self.containers.len() {
            if let Some(ended) = self.exit_status(i)? {
                return Err(ended);
            }
        }
        self.have_looked();
        Ok(())
    }

    /// How those that have ended did, the same words each time.
    pub(super) fn told_ended(&mut self) -> Result<Vec<String>, ClusterError> {
        for i in 0..self.containers.len() {
            if self.containers[i].ended.is_none()
                && let Some(why) = self.exit_status(i)?
            {
                let name = &self.containers[i].name;
                self.containers[i].ended = Some(match &why {
                    ClusterError::Exited { .. } => why.to_string(),
                    _ => format!("{name} ended by itself; {why}"),
                });
            }
        }
        self.have_looked();
        Ok(self.containers.iter().filter_map(|running| running.ended.clone()).collect())
    }

    fn have_looked(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
        }
    }

    /// How container `i` ended, if it did. A process that is visible here answers at once, others are asked of Docker.
    fn exit_status(&self, i: usize) -> Result<Option<ClusterError>, ClusterError> {
        let running = &self.containers[i];
        let alive = match running.process {
            Some((pid, ticks)) => start_time_ticks(pid) == Some(ticks),
            None => self.looked.elapsed() < LOOK,
        };
        if alive {
            return Ok(None);
        }
        let id = running.container.id();
        let asked = async {
            match self.daemon.docker.inspect_container(id, None).await {
                Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        let name = running.name.clone();
        let Some(found) = self.daemon.ask("look at a container", asked)? else {
            let status = "somebody removed its container".to_owned();
            return Ok(Some(ClusterError::Exited { name, status, hint: "", lines: String::new() }));
        };
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            return Ok(None);
        }
        let status = format!(
            "exit code {}{}",
            state.exit_code.unwrap_or_default(),
            if state.oom_killed == Some(true) { ", killed for want of memory" } else { "" }
        );
        let log = self.daemon.last_lines(id, 1000);
        Ok(Some(ended(name, status, &log, &self.daemon.root)))
    }
}

/// The error for a container that ended, from what it has said.
fn ended(name: String, status: String, log: &str, root: &str) -> ClusterError {
    if log.contains("Address already in use") {
        return ClusterError::PortTaken { name };
    }
    if is_full(log) {
        return ContainersError::DiskFull { root: root.to_owned() }.into();
    }
    let lines: Vec<_> = log.lines().collect();
    let lines = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    ClusterError::Exited { name, status, hint: hint(log), lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_said_tells_why_it_ended() {
        let of = |log: &str| ended("broker 2".to_owned(), "exit code 1".to_owned(), log, "/var/lib/docker");
        assert!(matches!(
            of("Socket server failed to bind to 127.0.0.1:1: Address already in use."),
            ClusterError::PortTaken { .. }
        ));
        assert!(
            of("java.io.IOException: No space left on device").to_string().contains("file system of /var/lib/docker")
        );
        let text = of(&(1..=30).map(|n| n.to_string()).collect::<Vec<_>>().join("\n")).to_string();
        assert!(text.contains("broker 2 ended by itself (exit code 1)") && text.contains("log:\n11\n12\n"), "{text}");
    }
}
