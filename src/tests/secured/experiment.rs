//! The real program against a cluster of others, short, with secrets in its environment alone.

use std::{
    fs,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{
    broker::{Broker, Listener},
    password,
};

/// Longer than any short run; a run that waits for what never comes is killed.
const ENDED_MAX: Duration = Duration::from_secs(120);

/// A run that is about to be made.
pub struct Experiment {
    flags: Vec<String>,
    environment: Vec<(&'static str, String)>,
    out: tempfile::TempDir,
}

/// A run that has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// What it said, on both streams.
    pub said: String,
    pub took: Duration,
    /// Its manifest, where there is one.
    pub manifest: serde_json::Value,
}

impl Experiment {
    /// Of the program at `program` (`env!("CARGO_BIN_EXE_experiment")`): 5 s with 20 connections, by a listener of the
    /// broker, and with this URL of Redis.
    pub fn new(broker: &Broker, listener: Listener, redis_url: &str) -> Self {
        let mut run = Self {
            flags: Vec::new(),
            environment: vec![("SHASTA_REDIS", redis_url.to_owned())],
            out: tempfile::tempdir().unwrap(),
        };
        run = run.flags(&["--cluster", "external", "--duration", "5s", "--warm", "2s", "--connections", "20"]);
        run = run.flags(&["--replication-factor", "1", "--min-insync-replicas", "1", "--partitions", "4"]);
        run = run.flags(&["--reuse-redis", "--verify", "--bootstrap", &broker.address(listener)]);
        run.by(listener.protocol()).trusting(&broker.authority.file)
    }

    /// Adds flags; of one that is given twice the last counts.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        for flag in flags.iter().filter(|flag| flag.starts_with("--")) {
            if let Some(at) = self.flags.iter().position(|known| known == flag) {
                let values = self.flags[at + 1..].iter().take_while(|word| !word.starts_with("--")).count();
                self.flags.drain(at..=at + values);
            }
        }
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// By another security protocol than the listener's.
    pub fn by(self, protocol: &str) -> Self {
        self.flags(&["--security-protocol", protocol])
    }

    /// As a user, with the right password.
    pub fn user(self, name: &str) -> Self {
        self.login(name, &password(name))
    }

    /// As a user, with any password.
    pub fn login(self, name: &str, password: &str) -> Self {
        self.flags(&["--sasl-username", name]).env("SHASTA_SASL_PASSWORD", password)
    }

    /// Trusting the authority in a file for the brokers' certificates.
    pub fn trusting(self, file: &Path) -> Self {
        self.env("SHASTA_CA_FILE", &file.display().to_string())
    }

    pub fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Runs it to its end.
    pub fn run(self, program: &str) -> Ended {
        let (said, run) = (self.out.path().join("said"), "short");
        let file = fs::File::create(&said).unwrap();
        let mut command = Command::new(program);
        // What a developer's shell has set is none of ours.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHASTA_") && name != "SHASTA_KAFKA_LIBS")
        {
            command.env_remove(name);
        }
        command.args(["--run", run, "--out", self.out.path().to_str().unwrap()]).args(&self.flags);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > ENDED_MAX {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let manifest = fs::read(self.out.path().join(format!("{run}.json"))).unwrap_or_default();
        Ended {
            status,
            said: fs::read_to_string(&said).unwrap_or_default(),
            took: started.elapsed(),
            manifest: serde_json::from_slice(&manifest).unwrap_or_default(),
        }
    }
}

impl Ended {
    /// The run came to its end, and its proof passed.
    pub fn passed(&self) {
        assert!(self.status.success(), "{}", self.said);
        assert_eq!(self.manifest["verification"]["passed"], true, "{}", self.said);
        self.kept_secrets();
    }

    /// It ended early, with a message that holds all of `parts`, one line of it being the error.
    pub fn refused(&self, parts: &[&str]) {
        let error = self.said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(!self.status.success() && !error.is_empty(), "{}", self.said);
        assert!(parts.iter().all(|part| error.contains(part)), "wanted {parts:?} in: {}", self.said);
        // OpenSSL's numbers mean nothing to people.
        assert!(!self.said.contains("error:0A"), "{}", self.said);
        self.kept_secrets();
    }

    fn kept_secrets(&self) {
        let shown = format!("{}{}", self.said, self.manifest);
        assert!(!shown.contains("-s3cret") && !shown.contains("wr0ng"), "{shown}");
    }
}
