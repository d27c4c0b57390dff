//! The machine and the program that a run was measured with.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    process::Command,
};

use procfs::Current;
use shasta_model::manifest::machine::{Cores, Host, Versions};

/// This machine, by /proc; what that does not tell is empty.
pub fn read() -> Host {
    let cpu = procfs::CpuInfo::current().ok();
    let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0).map(str::to_owned));
    Host {
        cpu: model.unwrap_or_default(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
    }
}

/// How long a core may take to wake up, in µs: the kernel keeps what processes wrote there for as long as they hold it
/// open (Linux, Documentation/power/pm_qos_interface.rst).
const WAKE_UP_LATENCY: &str = "/dev/cpu_dma_latency";

/// Keeps all cores of this machine from sleeping, as long as it is there.
#[derive(Debug)]
pub struct AwakeCores {
    held: Result<Option<File>, String>,
}

impl AwakeCores {
    /// Begins, where that is `wanted`.
    pub fn hold(wanted: bool) -> Self {
        Self { held: wanted.then(|| no_latency(Path::new(WAKE_UP_LATENCY))).transpose() }
    }

    /// What came of it.
    pub fn cores(&self) -> Cores {
        match &self.held {
            Ok(None) => Cores::AsTheyAre,
            Ok(Some(_)) => Cores::KeptAwake,
            Err(why) => Cores::Refused(why.clone()),
        }
    }
}

/// Asks for a wake-up in no time, which leaves a core nothing but to poll.
fn no_latency(device: &Path) -> Result<File, String> {
    let asked = OpenOptions::new().write(true).open(device).and_then(|mut file| {
        file.write_all(&0_i32.to_ne_bytes())?;
        Ok(file)
    });
    asked.map_err(|error| format!("{}: {error}", device.display()))
}

/// This program; git is asked about the tree that it was built from.
pub fn versions() -> Versions {
    // A campaign's results change the tree while it goes on, and nothing of the program.
    let status = git(&["status", "--porcelain", "--", ".", ":(exclude)results"]);
    Versions {
        shasta: env!("CARGO_PKG_VERSION").to_owned(),
        librdkafka: rdkafka::util::get_rdkafka_version().1,
        git_revision: git(&["rev-parse", "HEAD"]),
        git_dirty: status.map(|changes| !changes.is_empty()),
        debug_assertions: cfg!(debug_assertions),
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_of_no_microseconds_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("latency");
        assert!(no_latency(&device).unwrap_err().contains("latency: No such file"));
        std::fs::write(&device, [7; 4]).unwrap();
        let held = no_latency(&device).unwrap();
        assert_eq!(std::fs::read(&device).unwrap(), [0; 4]);
        let awake = |held| AwakeCores { held }.cores();
        assert_eq!(awake(Ok(Some(held))), Cores::KeptAwake);
        assert_eq!(awake(Err("no".to_owned())), Cores::Refused("no".to_owned()));
        assert_eq!(AwakeCores::hold(false).cores(), Cores::AsTheyAre);
    }
}
