//! The real program against a cluster of others, short, with secrets in its environment alone.

use std::{
    fs,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
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
    /// 5 s with 20 connections, by a listener of the broker, and with this URL of Redis.
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
        // A store knows an event of a run by its number: no two runs may have one name.
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = format!("short-{}", RUNS.fetch_add(1, Relaxed));
        let said = self.out.path().join("said");
        let file = fs::File::create(&said).unwrap();
        let mut command = Command::new(program);
        // What a developer's shell has set is none of ours.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHASTA_") && name != "SHASTA_KAFKA_LIBS")
        {
            command.env_remove(name);
        }
        command.args(["--run", &run, "--out", self.out.path().to_str().unwrap()]).args(&self.flags);
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
    /// Whether the run came to its end, and its proof passed.
    fn passed(&self) -> Result<(), String> {
        let proven = self.manifest["verification"]["passed"] == true;
        if self.status.success() && proven { self.kept_secrets() } else { Err(self.said.clone()) }
    }

    /// Whether it ended early, with an error that holds all of `parts` in one line.
    fn refused(&self, parts: &[&str]) -> Result<(), String> {
        let error = self.said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        if self.status.success() || error.is_empty() || !parts.iter().all(|part| error.contains(part)) {
            return Err(format!("wanted {parts:?} in: {}", self.said));
        }
        // OpenSSL's numbers mean nothing to people.
        if self.said.contains("error:0A") { Err(self.said.clone()) } else { self.kept_secrets() }
    }

    fn kept_secrets(&self) -> Result<(), String> {
        let shown = format!("{}{}", self.said, self.manifest);
        if shown.contains("-s3cret") || shown.contains("wr0ng") {
            Err(format!("a secret is in {shown}"))
        } else {
            Ok(())
        }
    }
}

/// Runs of one test: all are made, and those that went otherwise than they should are told together.
pub struct Cases {
    program: &'static str,
    failed: Vec<String>,
}

impl Cases {
    /// With the program at this path: `env!("CARGO_BIN_EXE_experiment")`.
    pub fn new(program: &'static str) -> Self {
        Self { program, failed: Vec::new() }
    }

    /// A run that passes its proof.
    pub fn passes(&mut self, name: &str, run: Experiment) {
        let ended = run.run(self.program);
        self.took(name, &ended, ended.passed());
    }

    /// A run that ends early, with an error that holds all of `parts` in one line.
    pub fn refused(&mut self, name: &str, run: Experiment, parts: &[&str]) {
        let ended = run.run(self.program);
        self.took(name, &ended, ended.refused(parts));
    }

    fn took(&mut self, name: &str, ended: &Ended, as_it_should: Result<(), String>) {
        let well = if as_it_should.is_ok() { "as it should" } else { "NOT as it should" };
        println!("{name:<40} {:>5.1} s  {well}", ended.took.as_secs_f64());
        self.failed.extend(as_it_should.err().map(|said| format!("{name}: {said}")));
    }

    /// # Panics
    /// Any run went otherwise than it should.
    pub fn finish(self) {
        assert!(self.failed.is_empty(), "{}", self.failed.join("\n\n"));
    }
}
