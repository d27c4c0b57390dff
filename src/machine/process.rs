//! Child processes that never outlive a run: brokers, Redis, workers.
//!
//! A child is in a process group of its own, so that a terminal's Ctrl-C reaches the parent alone, which then drains.
//! It dies with the parent, even when that is killed by SIGKILL: `setpriv` sets the parent-death signal before the
//! program starts. The kernel sends that signal when the *thread* that spawned the child ends, so spawn only from a
//! thread that lives as long as the run: the main thread.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal};
use thiserror::Error;

/// Why a child could not be started or asked about.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// A program that this machine lacks.
    #[error("`{program}` is not on PATH; install it ({package}), or run scripts/setup, which does")]
    Missing {
        /// The program's name.
        program: String,
        /// Debian's package that holds it.
        package: &'static str,
    },
    /// Anything that the operating system refused.
    #[error("{name} could not be {what}: {source}")]
    System {
        /// The child.
        name: String,
        /// What was tried.
        what: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// How long a child lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It dies with the parent, however that dies.
    WithParent,
    /// In a session of its own: it can be left running with [`Child::leave`].
    Detached,
}

/// Where a child's standard streams go.
#[derive(Debug, Clone)]
pub enum Streams {
    /// Output and errors are appended to this file; nothing comes in.
    Log(PathBuf),
    /// Input and output are pipes to the parent; errors are the parent's.
    Piped,
}

/// A child that is about to be started.
#[derive(Debug)]
pub struct Spawn {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
    streams: Streams,
    lifetime: Lifetime,
    nice: u8,
}

impl Spawn {
    /// Runs `program`, a path as [`find_program`] returns it; `name` is for messages ("broker 1").
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, streams: Streams) -> Self {
        let (name, program) = (name.into(), program.into());
        Self { name, program, args: vec![], env: vec![], dir: None, streams, lifetime: Lifetime::WithParent, nice: 0 }
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds environment variables; secrets belong here, since every user of a machine can read command lines.
    pub fn env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
    }

    /// Sets the working directory.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets how long the child lives; by default it dies with the parent.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets how much nicer than this process it is to others that want the same cores; by default as nice as this.
    pub fn nice(mut self, nice: u8) -> Self {
        self.nice = nice;
        self
    }

    /// Starts the child. Call it from a thread that lives as long as the child should.
    ///
    /// # Errors
    /// When `setpriv` (`setsid` for a detached child) is missing, the log cannot be opened or the start is refused.
    pub fn start(self) -> Result<Child, ProcessError> {
        let mut command = self.launcher()?;
        if self.nice > 0 {
            // It becomes the program, so the process id stays.
            command.arg(tool("nice", "coreutils")?).args(["-n", &self.nice.to_string()]);
        }
        command.arg(&self.program).args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let failed = |what| {
            let name = self.name.clone();
            move |source| ProcessError::System { name, what, source }
        };
        let log = match &self.streams {
            Streams::Piped => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                None
            }
            Streams::Log(path) => {
                let file =
                    OpenOptions::new().create(true).append(true).open(path).map_err(failed("given a log file"))?;
                let copy = file.try_clone().map_err(failed("given a log file"))?;
                command.stdin(Stdio::null()).stdout(file).stderr(copy);
                Some(path.clone())
            }
        };
        let inner = command.spawn().map_err(failed("started"))?;
        Ok(Child { name: self.name, inner, log, left: false })
    }

    fn launcher(&self) -> Result<Command, ProcessError> {
        if self.lifetime == Lifetime::Detached {
            // `setsid` forks, and the pid changes, only where it leads a group: so no group of its own here.
            return Ok(Command::new(tool("setsid", "util-linux")?));
        }
        // The parent may die between the fork and setpriv's system call; the shell then sees another parent.
        let same_parent = r#"[ "$PPID" = "$0" ] && exec "$@""#;
        let mut command = Command::new(tool("setpriv", "util-linux")?);
        command.args(["--pdeathsig", "KILL", "--", "/bin/sh", "-c", same_parent]).arg(std::process::id().to_string());
        command.process_group(0);
        Ok(command)
    }
}

fn tool(name: &str, package: &'static str) -> Result<PathBuf, ProcessError> {
    find_program(name, None).ok_or_else(|| missing(name, package))
}

/// A running child; killed and reaped when dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    inner: std::process::Child,
    log: Option<PathBuf>,
    left: bool,
}

impl Child {
    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, valid until it is reaped.
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// The pipe to its standard input, once.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// The pipe from its standard output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// How it ended, if it did; reaps it then.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.inner.try_wait().map_err(|source| self.failed("waited for", source))
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        self.inner.wait().map_err(|source| self.failed("waited for", source))
    }

    /// Sends a signal; nothing happens when it has ended.
    ///
    /// # Errors
    /// When the signal is refused.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        let sent = rustix::process::kill_process(Pid::from_child(&self.inner), signal);
        sent.map_err(|errno| self.failed("signalled", errno.into()))
    }

    /// Kills it (SIGKILL) without waiting for its end; the drop reaps it.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is what was wanted.
        let _ = self.inner.kill();
    }

    /// Leaves it running after the drop; for a [`Lifetime::Detached`] child only, the others die with the parent.
    pub fn leave(&mut self) {
        self.left = true;
    }

    /// Whether it was left running.
    pub fn is_left(&self) -> bool {
        self.left
    }

    /// The last lines of its log; empty without one.
    pub fn last_lines(&self, lines: usize) -> String {
        self.log.as_deref().map_or_else(String::new, |path| last_lines(path, lines))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> ProcessError {
        ProcessError::System { name: self.name.clone(), what, source }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.left {
            self.kill();
            let _ = self.inner.wait();
        }
    }
}

/// The error for a program that this machine lacks.
pub fn missing(program: &str, package: &'static str) -> ProcessError {
    ProcessError::Missing { program: program.to_owned(), package }
}

/// The executable of this name on `path`, by default on the `PATH` of this process.
pub fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let own = std::env::var_os("PATH");
    let candidates = std::env::split_paths(path.or(own.as_deref())?).map(|dir| dir.join(name)).collect::<Vec<_>>();
    let executable =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    candidates.into_iter().find(executable)
}

/// When the process started, in clock ticks since boot: with its id, this names a process for good.
pub fn start_time_ticks(pid: u32) -> Option<u64> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    (stat.state != 'Z').then_some(stat.starttime)
}

fn last_lines(path: &Path, lines: usize) -> String {
    const TAIL_BYTES_MAX: u64 = 64 * 1024;
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
        let mut bytes = vec![];
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        time::{Duration, Instant},
    };

    use super::*;

    const AS_PARENT: &str = "SHASTA_TEST_AS_PARENT";

    fn sleeper(lifetime: Lifetime) -> Child {
        let sleep = find_program("sleep", None).unwrap();
        Spawn::new("sleeper", sleep, Streams::Piped).args(["600"]).lifetime(lifetime).start().unwrap()
    }

    fn is_gone_within(pid: u32, limit: Duration) -> bool {
        let start = Instant::now();
        while start_time_ticks(pid).is_some() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    #[test]
    fn a_dropped_child_is_gone_and_reaped() {
        let child = sleeper(Lifetime::WithParent);
        let pid = child.pid();
        assert!(start_time_ticks(pid).is_some());
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_child_leads_its_own_group_and_keeps_its_pid() {
        for lifetime in [Lifetime::WithParent, Lifetime::Detached] {
            let shell = find_program("sh", None).unwrap();
            let spawn = Spawn::new("shell", shell, Streams::Piped).lifetime(lifetime).nice(3);
            let mut child = spawn.args(["-c", "echo $$ $(ps -o pgid=,ni= -p $$); cat"]).start().unwrap();
            let mut line = String::new();
            BufReader::new(child.take_stdout().unwrap()).read_line(&mut line).unwrap();
            let found: Vec<i64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
            let (pid, own) = (child.pid().into(), procfs::process::Process::myself().unwrap().stat().unwrap().nice);
            assert_eq!(found, [pid, pid, (own + 3).min(19)]);
            drop(child.take_stdin());
            assert!(child.wait().unwrap().success());
        }
    }

    #[test]
    fn pipes_environment_and_log_arrive() {
        let shell = find_program("sh", None).unwrap();
        let spawn = Spawn::new("shell", &shell, Streams::Piped).args(["-c", "read x; echo $x $WORD"]);
        let mut child = spawn.env([("WORD".to_owned(), "there".to_owned())]).start().unwrap();
        writeln!(child.take_stdin().unwrap(), "hello").unwrap();
        let mut line = String::new();
        BufReader::new(child.take_stdout().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "hello there\n");

        let dir = tempfile::tempdir().unwrap();
        let log = Streams::Log(dir.path().join("log"));
        let mut child =
            Spawn::new("shell", shell, log).args(["-c", "echo 1; echo 2; echo 3 >&2; exit 7"]).start().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert_eq!(child.last_lines(2), "2\n3");
    }

    #[test]
    fn a_child_dies_with_its_parent_and_a_detached_one_can_be_left() {
        if std::env::var_os(AS_PARENT).is_some() {
            return; // The children of this test run only the one below.
        }
        let test = "machine::process::tests::as_parent";
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(AS_PARENT, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut pids = lines.filter_map(|line| line.split_once("pid ").map(|(_, pid)| pid.parse::<u32>().unwrap()));
        let (bound, detached) = (pids.next().unwrap(), pids.next().unwrap());
        assert!(start_time_ticks(bound).is_some() && start_time_ticks(detached).is_some());
        parent.kill().unwrap();
        parent.wait().unwrap();
        assert!(is_gone_within(bound, Duration::from_secs(20)));
        assert!(start_time_ticks(detached).is_some());
        rustix::process::kill_process(Pid::from_raw(detached as i32).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    #[ignore = "the parent that the test above kills"]
    fn as_parent() {
        if std::env::var_os(AS_PARENT).is_some() {
            let children = [sleeper(Lifetime::WithParent), sleeper(Lifetime::Detached)];
            children.iter().for_each(|child| println!("\npid {}", child.pid()));
            std::thread::sleep(Duration::from_secs(600));
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert_eq!(find_program("java", Some(OsStr::new("/nonexistent"))), None);
        let text = missing("redis-server", "redis-server").to_string();
        assert!(text.contains("`redis-server`") && text.contains("scripts/setup"), "{text}");
    }
}
