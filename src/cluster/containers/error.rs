//! What can be wrong with Docker and its images, each with what to do next; and Docker's errors, put so.

use std::{error::Error, io};

use testcontainers::{TestcontainersError, bollard::errors::Error as DockerError, core::error::ClientError};
use thiserror::Error;

/// Why there is no cluster in containers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContainersError {
    /// Nobody listens at the daemon's socket.
    #[error(
        "no Docker daemon answers at {socket} ({reason}); start Docker, or put `scripts/with-docker` before the command, which \
         starts one for it; set DOCKER_HOST where its socket is another; or use --cluster local"
    )]
    NoDaemon {
        /// The socket that was tried.
        socket: String,
        /// What came of it.
        reason: String,
    },
    /// The socket is not this user's to use.
    #[error(
        "this user may not use Docker's socket {socket}; join its group (`sudo usermod -aG docker $USER`, then log in anew), run \
         it as root, or use --cluster local"
    )]
    NotAllowed {
        /// The socket.
        socket: String,
    },
    /// A daemon whose host's network is not that of this process.
    #[error(
        "the Docker daemon at {socket} {why}, so that brokers in its containers could not be reached at 127.0.0.1; use a daemon of \
         this machine that runs as root (DOCKER_HOST=unix:///var/run/docker.sock), or --cluster local"
    )]
    Elsewhere {
        /// Its address.
        socket: String,
        /// How that is seen.
        why: &'static str,
    },
    /// A text that is no image's name.
    #[error("{given}: must be the name of an image, such as \"apache/kafka:4.1.1\"")]
    BadImage {
        /// What was given, and where.
        given: String,
    },
    /// An image that is neither here nor to be had.
    #[error(
        "the image {image} is not on this machine and could not be pulled ({reason}); correct its name ({setting}), pull or load it \
         by hand, or, where no registry answers, build stand-ins for the default images with scripts/images"
    )]
    NoImage {
        /// The image.
        image: String,
        /// Docker's answer.
        reason: String,
        /// What names it.
        setting: &'static str,
    },
    /// An image for other processors.
    #[error(
        "the image {image} is for {has}, and this machine is {needs}: an emulated broker would only measure the emulator; pull the \
         right one (`docker pull --platform linux/{needs} {image}`), or name another ({setting})"
    )]
    Architecture {
        /// The image.
        image: String,
        /// What it was built for.
        has: String,
        /// What the daemon runs on.
        needs: String,
        /// What names it.
        setting: &'static str,
    },
    /// No room for images or the brokers' data.
    #[error(
        "no space left on the file system of {root}, where Docker keeps images and containers; see `docker system df`, free some \
         (`docker system prune`), or move its data-root to a larger one"
    )]
    DiskFull {
        /// The daemon's directory.
        root: String,
    },
    /// Brokers or Redis did not get ready in time. The containers are gone.
    #[error(
        "the cluster of {kafka} and {redis} was not ready after {seconds} s ({waiting_for}) and is removed; are these images of Kafka \
         and Redis, and is the machine overloaded?\nThe last lines of the logs:\n{lines}"
    )]
    NotReady {
        /// The brokers' image.
        kafka: String,
        /// Redis' image.
        redis: String,
        /// The limit, in seconds.
        seconds: u64,
        /// What was still missing.
        waiting_for: String,
        /// The ends of the logs.
        lines: String,
    },
    /// Anything else that Docker refused.
    #[error("Docker could not {what}: {reason}; see the daemon's log (`journalctl -u docker`)")]
    Refused {
        /// What was asked.
        what: String,
        /// Its answer.
        reason: String,
    },
}

impl ContainersError {
    /// Whether a bench may go on with a local cluster instead: there is no Docker, or no image.
    pub(in crate::cluster) fn is_lack(&self) -> bool {
        use ContainersError::{Architecture, Elsewhere, NoDaemon, NoImage, NotAllowed};
        matches!(self, NoDaemon { .. } | NotAllowed { .. } | Elsewhere { .. } | NoImage { .. } | Architecture { .. })
    }
}

/// The answer to a question to the daemon at `socket`, which keeps its data in `root`.
pub(super) fn answer(what: String, error: &DockerError, socket: &str, root: &str) -> ContainersError {
    if let Some(unreached) = unreached(error, socket) {
        return unreached;
    }
    let reason = match error {
        DockerError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        DockerError::DockerStreamError { error } => error.trim().to_owned(),
        other => other.to_string(),
    };
    if is_full(&reason) {
        ContainersError::DiskFull { root: root.to_owned() }
    } else {
        ContainersError::Refused { what, reason }
    }
}

/// Whether a message or a log says that there is no space left.
pub(super) fn is_full(text: &str) -> bool {
    text.contains("no space left on device")
        || text.contains("No space left on device")
        || text.contains("Disk quota exceeded")
        || text.contains("disk quota exceeded")
}

/// The daemon's answer within an error of testcontainers, where there is one.
pub(super) fn of_daemon(error: &TestcontainersError) -> Option<&DockerError> {
    use ClientError::{CreateContainer, Init, InspectContainer, RemoveContainer, StartContainer};
    match error {
        TestcontainersError::Client(
            Init(error)
            | CreateContainer(error)
            | StartContainer(error)
            | InspectContainer(error)
            | RemoveContainer(error),
        ) => Some(error),
        TestcontainersError::Client(ClientError::PullImage { err, .. }) => Some(err),
        _ => None,
    }
}

fn unreached(error: &DockerError, socket: &str) -> Option<ContainersError> {
    let socket = socket.to_owned();
    if let DockerError::SocketNotFoundError(_) = error {
        return Some(ContainersError::NoDaemon { socket, reason: "there is no such socket".to_owned() });
    }
    // This one says of itself what its cause says, and does not name it.
    let mut cause: Option<&(dyn Error + 'static)> =
        Some(if let DockerError::IOError { err } = error { err } else { error });
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::PermissionDenied => Some(ContainersError::NotAllowed { socket }),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                    Some(ContainersError::NoDaemon { socket, reason: io.to_string() })
                }
                _ => None,
            };
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: DockerError) -> String {
        answer("create a container".to_owned(), &error, "/run/d.sock", "/var/lib/docker").to_string()
    }

    #[test]
    fn what_docker_answers_tells_what_to_do() {
        let io = |kind| DockerError::IOError { err: io::Error::from(kind) };
        assert!(said(io(io::ErrorKind::PermissionDenied)).contains("usermod -aG docker"));
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound] {
            assert!(said(io(kind)).contains("no Docker daemon answers at /run/d.sock"));
        }
        assert!(said(DockerError::SocketNotFoundError(String::new())).contains("scripts/with-docker"));
        let server =
            |message: &str| said(DockerError::DockerResponseServerError { status_code: 500, message: message.into() });
        let full = server("write /var/lib/docker/tmp/x: no space left on device");
        assert!(full.contains("/var/lib/docker") && full.contains("docker system df"), "{full}");
        let other = server("Conflict. The name is in use\n");
        assert!(other.starts_with("Docker could not create a container: Conflict. The name is in use; see"), "{other}");
    }
}
