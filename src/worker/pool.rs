//! The workers of a run, as its parent sees them: child processes that are configured, listened to and stopped.

use std::{
    io::{BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, ExitStatus},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::Serialize;

use crate::{
    cluster::Endpoints,
    machine::process::{Child, ProcessError, Spawn, Streams},
    worker::{ipc::Order, report::Report},
};

/// How long a worker has to finish what it holds, to commit and to leave the group.
const STOP_MAX: Duration = Duration::from_secs(15);

/// What comes from a worker's pipe.
#[derive(Debug)]
pub enum WorkerMessage {
    /// A report.
    Report(Box<Report>),
    /// The pipe's end: the worker is gone, or its bytes make no sense.
    End(Option<String>),
}

/// All that a process of the pool is started with, and started again.
#[derive(Clone)]
struct Recipe {
    program: PathBuf,
    role: &'static str,
    name: String,
    endpoints: Endpoints,
    /// Its configuration, a line of JSON.
    line: Vec<u8>,
    sink: Arc<dyn Fn(WorkerMessage) + Send + Sync>,
}

/// One running worker.
pub struct Worker {
    recipe: Recipe,
    child: Child,
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

/// All workers of a run.
#[derive(Default)]
pub struct WorkerPool {
    workers: Vec<Worker>,
}

impl WorkerPool {
    /// Starts a child from this program's own executable, by its role and name. `sink` takes what it tells, in a thread of
    /// its own.
    ///
    /// # Errors
    /// When the process cannot be started or does not take its configuration.
    pub fn add(
        &mut self,
        program: &Path,
        (role, name): (&'static str, String),
        endpoints: &Endpoints,
        config: &impl Serialize,
        sink: impl Fn(WorkerMessage) + Send + Sync + 'static,
    ) -> Result<(), ProcessError> {
        let mut line = serde_json::to_vec(config).expect("a configuration is plain data");
        line.push(b'\n');
        let (program, endpoints, sink) = (program.to_owned(), endpoints.clone(), Arc::new(sink));
        self.workers.push(Recipe { program, role, name, endpoints, line, sink }.start()?);
        Ok(())
    }

    /// Starts a worker that has ended once more, as it was started first. It goes on where the group's commits end.
    ///
    /// # Errors
    /// As at its first start.
    pub fn start_again(&mut self, number: u32) -> Result<(), ProcessError> {
        let worker = &mut self.workers[number as usize];
        let again = worker.recipe.clone().start()?;
        let mut old = std::mem::replace(worker, again);
        if let Some(reader) = old.reader.take() {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Ok(())
    }

    /// Sends a signal to a worker; nothing happens to one that has ended.
    ///
    /// # Errors
    /// When the signal is refused.
    pub fn signal(&mut self, number: u32, signal: Signal) -> Result<(), ProcessError> {
        self.workers[number as usize].child.signal(signal)
    }

    /// Tells a worker to finish what it holds and to end.
    pub fn dismiss(&mut self, number: u32) {
        self.workers[number as usize].stdin = None;
    }

    /// Id of a worker's process, which is another one once it is started again.
    pub fn pid(&self, number: u32) -> u32 {
        self.workers[number as usize].child.pid()
    }

    /// Lets the clock of a worker jump, by µs. One that is started again has the run's clock.
    ///
    /// # Errors
    /// When the worker does not take it.
    pub fn step_clock(&mut self, number: u32, by_us: i64) -> Result<(), ProcessError> {
        let Worker { stdin, recipe, .. } = &mut self.workers[number as usize];
        let Some(stdin) = stdin else { return Ok(()) };
        let mut line = serde_json::to_vec(&Order::StepClock { by_us }).expect("an order is plain data");
        line.push(b'\n');
        let failed = |source| ProcessError::System { name: recipe.name.clone(), what: "told the time", source };
        stdin.write_all(&line).map_err(failed)
    }

    /// Name and process id of each.
    pub fn processes(&self) -> Vec<(String, u32)> {
        self.workers.iter().map(|worker| (worker.child.name().to_owned(), worker.child.pid())).collect()
    }

    /// The workers that have ended by themselves: number, name and how.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn ended(&mut self) -> Result<Vec<(u32, String, ExitStatus)>, ProcessError> {
        let mut ended = Vec::new();
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.look()?;
            ended.extend(worker.ended.map(|status| (number as u32, worker.child.name().to_owned(), status)));
        }
        Ok(ended)
    }

    /// Lets all finish what they hold, and waits until each has told its last, until `hurry` says that there is no time.
    /// One that takes too long is killed. Returns which ones were, and which failed while they finished.
    ///
    /// # Errors
    /// When a worker cannot be waited for.
    pub fn stop(mut self, hurry: &dyn Fn() -> bool) -> Result<Vec<String>, ProcessError> {
        let mut troubles = Vec::new();
        for worker in &mut self.workers {
            worker.look()?;
            worker.stdin = None;
        }
        let deadline = Instant::now() + STOP_MAX;
        for worker in self.workers.iter_mut().filter(|worker| worker.ended.is_none()) {
            while !worker.look()? {
                let name = worker.child.name();
                if hurry() || Instant::now() > deadline {
                    let why = if hurry() { "you gave up the drain" } else { "it did not end by itself" };
                    troubles.push(format!("{name} was killed: {why}"));
                    worker.child.kill();
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if let Some(status) = worker.ended.filter(|status| !status.success()) {
                troubles.push(format!("{} failed while it finished ({status})", worker.child.name()));
            }
        }
        for reader in self.workers.iter_mut().filter_map(|worker| worker.reader.take()) {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Ok(troubles)
    }
}

impl Recipe {
    fn start(self) -> Result<Worker, ProcessError> {
        let failed = |what| {
            let name = self.name.clone();
            move |source| ProcessError::System { name, what, source }
        };
        let spawn = Spawn::new(self.name.clone(), &self.program, Streams::Piped);
        let mut child = spawn.args(["--role", self.role]).env(self.endpoints.env()).start()?;
        let mut stdin = child.take_stdin().expect("the streams are pipes");
        let stdout = child.take_stdout().expect("the streams are pipes");
        stdin.write_all(&self.line).map_err(failed("configured"))?;
        let sink = Arc::clone(&self.sink);
        let reader = std::thread::Builder::new().name(self.name.clone()).spawn(move || listen(stdout, &*sink));
        let reader = Some(reader.map_err(failed("listened to"))?);
        Ok(Worker { recipe: self, child, stdin: Some(stdin), reader, ended: None })
    }
}

impl Worker {
    /// Whether it has ended, which is kept: only the first to ask is told how.
    fn look(&mut self) -> Result<bool, ProcessError> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended.is_some())
    }
}

fn listen(stdout: impl std::io::Read, sink: &dyn Fn(WorkerMessage)) {
    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    loop {
        match Report::read(&mut stdout) {
            Ok(Some(report)) => sink(WorkerMessage::Report(Box::new(report))),
            Ok(None) => return sink(WorkerMessage::End(None)),
            Err(error) => return sink(WorkerMessage::End(Some(error.to_string()))),
        }
    }
}
