//! The Docker daemon of this machine: found, asked, and told apart from one that could not serve.
//!
//! Its client is asynchronous and the rest of this program is not, so each daemon has a runtime without threads of its own,
//! which lives only while something is asked.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    time::Duration,
};

use futures_core::Stream;
use testcontainers::{
    TestcontainersError,
    bollard::{
        API_DEFAULT_VERSION, Docker,
        container::LogOutput,
        errors::Error as DockerError,
        query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder},
    },
    core::client::docker_client_instance,
};
use tokio::runtime::{Builder, Runtime};

use super::{
    error::{ContainersError, answer, of_daemon},
    owner::{self, Owner},
};
use crate::cluster::ClusterError;

const SOCKET: &str = "unix:///var/run/docker.sock";
/// How long a daemon may take for one answer; it may have much to remove.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A daemon that answers.
pub(super) struct Daemon {
    runtime: Runtime,
    pub(super) docker: Docker,
    socket: String,
    /// As Docker names processors: amd64, arm64.
    pub(super) architecture: String,
    pub(super) version: String,
    pub(super) storage: String,
    /// Where it keeps images and containers.
    pub(super) root: String,
}

impl Daemon {
    /// The daemon that `DOCKER_HOST` names, or the one at the usual socket.
    ///
    /// # Errors
    /// When there is none, it may not be used, or its containers could not be reached.
    pub(super) fn connect() -> Result<Self, ContainersError> {
        Self::at(std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()).as_deref())
    }

    pub(super) fn at(host: Option<&str>) -> Result<Self, ContainersError> {
        let socket = host.unwrap_or(SOCKET).to_owned();
        if !socket.starts_with("unix://") {
            return Err(ContainersError::Elsewhere { socket, why: "is not at a socket of this machine" });
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| refused("be asked", error))?;
        let docker = match host {
            Some(host) => Docker::connect_with_unix(host, ANSWER_MAX.as_secs(), API_DEFAULT_VERSION),
            // It also looks where rootless daemons and Docker Desktop listen.
            None => match runtime.block_on(docker_client_instance()) {
                Err(testcontainers::core::error::ClientError::Init(error)) => Err(error),
                other => Ok(other.map_err(|error| refused("be asked", error))?),
            },
        };
        let docker = docker.map_err(|error| answer("be asked".to_owned(), &error, &socket, ""))?;
        let mut daemon = Self {
            runtime,
            docker,
            socket,
            architecture: String::new(),
            version: String::new(),
            storage: String::new(),
            root: String::new(),
        };
        daemon.introduce()?;
        Ok(daemon)
    }

    fn introduce(&mut self) -> Result<(), ContainersError> {
        let version = self.ask("tell its version", self.docker.version())?;
        let info = self.ask("tell of itself", self.docker.info())?;
        let elsewhere = |why| ContainersError::Elsewhere { socket: self.socket.clone(), why };
        if info.security_options.iter().flatten().any(|option| option.contains("name=rootless")) {
            return Err(elsewhere("runs without root in a network of its own"));
        }
        if info.operating_system.as_deref() == Some("Docker Desktop") {
            return Err(elsewhere("runs its containers in a virtual machine"));
        }
        self.architecture = version.arch.unwrap_or_default();
        self.version = version.version.unwrap_or_default();
        self.storage = info.driver.unwrap_or_default();
        self.root = info.docker_root_dir.unwrap_or_default();
        Ok(())
    }

    /// Waits for one answer.
    pub(super) fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, ContainersError> {
        self.runtime.block_on(async {
            match tokio::time::timeout(ANSWER_MAX, question).await {
                Ok(answered) => answered.map_err(|error| self.answer(what, &error)),
                Err(_) => Err(refused(what, format!("no answer in {} s", ANSWER_MAX.as_secs()))),
            }
        })
    }

    /// Waits for something that may take long, until `stop` says so.
    ///
    /// # Errors
    /// [`ClusterError::Interrupted`].
    pub(super) fn wait<T>(&self, stop: &dyn Fn() -> bool, work: impl Future<Output = T>) -> Result<T, ClusterError> {
        const LOOK: Duration = Duration::from_millis(50);
        self.runtime.block_on(async {
            let mut work = pin!(work);
            while !stop() {
                if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
                    return Ok(done);
                }
            }
            Err(ClusterError::Interrupted)
        })
    }

    pub(super) fn answer(&self, what: &str, error: &DockerError) -> ContainersError {
        answer(what.to_owned(), error, &self.socket, &self.root)
    }

    /// The same of an error of testcontainers.
    pub(super) fn answer_within(&self, what: &str, error: &TestcontainersError) -> ContainersError {
        of_daemon(error).map_or_else(|| refused(what, error), |error| self.answer(what, error))
    }

    /// The last lines that a container has said; empty when they cannot be had.
    pub(super) fn last_lines(&self, container: &str, lines: usize) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
        self.said(self.docker.logs(container, Some(options)), usize::MAX)
    }

    /// The first `bytes` that it has said.
    pub(super) fn first_said(&self, container: &str, bytes: usize) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        self.said(self.docker.logs(container, Some(options)), bytes)
    }

    fn said(&self, logs: impl Stream<Item = Result<LogOutput, DockerError>>, bytes_max: usize) -> String {
        let mut said = Vec::new();
        let read = async {
            let mut logs = pin!(logs);
            while let Some(Ok(part)) = next(logs.as_mut()).await {
                said.extend_from_slice(&part.into_bytes());
                if said.len() >= bytes_max {
                    break;
                }
            }
            Ok(())
        };
        // What came before an error is more than nothing.
        let _ = self.ask("tell a log", read);
        String::from_utf8_lossy(&said).trim_end().to_owned()
    }

    /// Removes the containers that carry `label`, and whose names and owners `wanted` takes, with their volumes.
    ///
    /// # Errors
    /// The daemon's, once all others have been tried.
    pub(super) fn remove(&self, label: &str, wanted: impl Fn(&str, &Owner) -> bool) -> Result<usize, ContainersError> {
        let filters = std::collections::HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.ask("list its containers", self.docker.list_containers(Some(options)))?;
        let mut removed = Ok(0);
        for container in found {
            let name = container.names.into_iter().flatten().next().unwrap_or_default();
            let owner = container.labels.unwrap_or_default().remove(owner::OWNER).unwrap_or_default();
            let (Some(id), Some(owner)) = (container.id, Owner::parse(&owner)) else { continue };
            if !wanted(name.trim_start_matches('/'), &owner) {
                continue;
            }
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            match self.ask("remove a container", self.docker.remove_container(&id, Some(options))) {
                Ok(()) => removed = removed.map(|n| n + 1),
                // Another start may be removing the same one.
                Err(ContainersError::Refused { reason, .. }) if is_gone(&reason) => {}
                Err(error) => removed = Err(error),
            }
        }
        removed
    }
}

fn is_gone(reason: &str) -> bool {
    reason.contains("No such container") || reason.contains("already in progress")
}

fn refused(what: &str, reason: impl ToString) -> ContainersError {
    ContainersError::Refused { what: what.to_owned(), reason: reason.to_string() }
}

/// The next item of a stream.
pub(super) async fn next<S: Stream>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn problem(host: &str) -> String {
        Daemon::at(Some(host)).err().unwrap().to_string()
    }

    #[test]
    fn a_daemon_that_is_not_there_is_named_with_its_socket() {
        let text = problem("unix:///nonexistent/docker.sock");
        assert!(text.contains("at unix:///nonexistent/docker.sock (there is no such socket)"), "{text}");
        assert!(text.contains("scripts/with-docker") && text.contains("--cluster local"), "{text}");
        // A socket that its daemon has left behind.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        drop(UnixListener::bind(&path).unwrap());
        let text = problem(&format!("unix://{}", path.display()));
        assert!(text.contains("no Docker daemon answers") && text.contains("refused"), "{text}");
    }

    #[test]
    fn a_daemon_of_another_machine_is_refused() {
        for host in ["tcp://10.0.0.1:2375", "ssh://me@there", "http://localhost:1"] {
            let text = problem(host);
            assert!(text.contains(host) && text.contains("is not at a socket of this machine"), "{text}");
        }
    }
}
