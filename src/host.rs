//! The machine and the program that a run was measured with.

use std::process::Command;

use procfs::Current;
use serde::Serialize;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// CPU model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

/// The program.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// This package.
    pub shasta: &'static str,
    /// The librdkafka that it was linked with.
    pub librdkafka: String,
    /// Git revision of the source tree; none outside of a checkout.
    pub git_revision: Option<String>,
    /// Whether the source tree had changes that are not committed.
    pub git_dirty: Option<bool>,
    /// Whether it was built with optimizations off or debug assertions on.
    pub debug_assertions: bool,
}

impl Host {
    /// Reads /proc; what it does not tell is empty.
    pub fn read() -> Self {
        let cpu = procfs::CpuInfo::current().ok();
        let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0).map(str::to_owned));
        Self {
            cpu: model.unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

impl Versions {
    /// Asks git about the tree that this program was built from.
    pub fn read() -> Self {
        let status = git(&["status", "--porcelain"]);
        Self {
            shasta: env!("CARGO_PKG_VERSION"),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            git_revision: git(&["rev-parse", "HEAD"]),
            git_dirty: status.map(|changes| !changes.is_empty()),
            debug_assertions: cfg!(debug_assertions),
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
