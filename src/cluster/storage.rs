//! The formatted storage of a new cluster, laid out for each node as Kafka's StorageTool does it.
//!
//! The tool takes a second of CPU, and all that it writes beside ids is the bootstrap checkpoint: the feature levels
//! of this Kafka. So the tool runs once for an installation, and its checkpoint is kept beside the jars.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ClusterError,
    broker::class_path,
    error::file_error,
    exit_diagnosis::ended,
    kafka_home::{Java, KAFKA_VERSION},
    local::Starting,
    scratch::write,
};
use crate::machine::process::{Child, Spawn, Streams};
use shasta_model::atomic_file;

/// What all nodes of one new cluster share.
#[derive(Debug)]
pub(super) struct Storage {
    cluster_id: String,
    checkpoint: Vec<u8>,
}

impl Storage {
    /// A new cluster's. `dir` is a node's directory with its `server.properties`, for the tool when it has to run.
    pub(super) fn new(starting: &Starting<'_>, java: &Java, dir: &Path) -> Result<Self, ClusterError> {
        let cluster_id = new_cluster_id()?;
        let cached = cached(&starting.site.libs);
        if let Some(checkpoint) = fs::read(&cached).ok().filter(|bytes| !bytes.is_empty()) {
            return Ok(Self { cluster_id, checkpoint });
        }
        (starting.progress)("formatting Kafka's storage (once for this installation)");
        let mut tool = tool(starting, java, dir, &cluster_id)?;
        let status = loop {
            if (starting.stop)() {
                return Err(ClusterError::Interrupted);
            }
            if let Some(status) = tool.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let written = dir.join("data/bootstrap.checkpoint");
        if !status.success() {
            return Err(ended(&tool, status, dir));
        }
        let checkpoint = fs::read(&written).map_err(file_error(&written, "read"))?;
        // Without room or permission the next start formats again.
        let _ = keep(&cached, &checkpoint);
        Ok(Self { cluster_id, checkpoint })
    }

    /// Writes the storage of node `index`. The broker adds its directory's id itself.
    pub(super) fn lay_out(&self, index: usize, data: &Path) -> Result<(), ClusterError> {
        fs::create_dir_all(data).map_err(file_error(data, "created"))?;
        let meta = format!("version=1\nnode.id={}\ncluster.id={}\n", index + 1, self.cluster_id);
        write(&data.join("meta.properties"), &meta)?;
        let checkpoint = data.join("bootstrap.checkpoint");
        fs::write(&checkpoint, &self.checkpoint).map_err(file_error(&checkpoint, "written"))
    }
}

fn cached(libs: &Path) -> PathBuf {
    libs.join(format!("bootstrap-{KAFKA_VERSION}.checkpoint"))
}

/// Whole or not at all: other starts may read it at the same time.
fn keep(cached: &Path, checkpoint: &[u8]) -> std::io::Result<()> {
    let mut file = atomic_file::beside(cached)?;
    file.write_all(checkpoint)?;
    file.as_file().sync_all()?;
    file.persist(cached)?;
    Ok(())
}

fn tool(starting: &Starting<'_>, java: &Java, dir: &Path, cluster_id: &str) -> Result<Child, ClusterError> {
    let spawn = Spawn::new("Kafka's StorageTool", &java.program, Streams::Log(dir.join("format.log")))
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(class_path(starting.site, dir))
        .args(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"])
        .args([dir.join("server.properties")]);
    Ok(spawn.start()?)
}

/// A random UUID as Kafka writes them: 22 characters of URL-safe base64.
pub(super) fn new_cluster_id() -> Result<String, ClusterError> {
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let hex = fs::read_to_string(source).map_err(file_error(source, "read"))?.trim().replace('-', "");
    let uuid = u128::from_str_radix(&hex, 16).expect("the kernel writes 32 hexadecimal digits");
    // The highest bit is cleared so that it never begins with `-`, which tools take for a flag.
    Ok(base64(uuid & (u128::MAX >> 1)))
}

fn base64(bits: u128) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let six = |i: u32| if i < 21 { bits >> (122 - 6 * i) } else { bits << 4 };
    (0..22).map(|i| char::from(ALPHABET[(six(i) & 63) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        assert_eq!(base64(0), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64(u128::MAX), "_____________________w");
        assert_eq!(base64(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), "ASNFZ4mrze8BI0VniavN7w");
        let (one, other) = (new_cluster_id().unwrap(), new_cluster_id().unwrap());
        assert!(one != other && !one.starts_with('-'));
    }
}
