//! The child's side of [`crate::worker::pool`]: what a worker's process and the readers' begin and end with.
//!
//! The parent gives addresses and secrets by the environment, all else as one line of JSON on standard input, whose end
//! tells the child to finish. Reports go to standard output.

use std::{
    fs::File,
    io::{self, BufRead, Read, Write},
    os::fd::AsFd,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::worker::{WorkerError, report::Report};

/// How long the parent's JSON line may be.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What the parent may tell a worker that is at work, a line of JSON each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Its host's clock jumps: every later reading is so much later, in µs.
    StepClock {
        /// How far; below 0 it goes back.
        by_us: i64,
    },
}

/// Does a child's work with the parent's configuration and the pipe to it.
///
/// # Errors
/// What ends it early; the parent gets the same as a fatal report.
pub fn main<C: DeserializeOwned>(
    work: impl FnOnce(&C, &mut File) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(CONFIG_BYTES_MAX)
        .read_line(&mut line)
        .map_err(|error| WorkerError::Config(error.to_string()))?;
    let config = serde_json::from_str(&line).map_err(|error| WorkerError::Config(error.to_string()))?;
    // Not `stdout()` itself, which holds bytes back until a line ends.
    let mut pipe = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // Room for a second of receipts: the parent's pauses must not become the child's.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, 1 << 20);
    work(&config, &mut pipe).inspect_err(|error| {
        let report = Report { fatal: Some(error.to_string()), ..Report::default() };
        // When the pipe itself is what broke, nobody is left to tell.
        let _ = pipe.write_all(&report.frame());
    })
}

/// Calls `stop` once the parent wants the child to finish, or is gone.
pub fn at_end_of_input(stop: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop();
    });
}

/// Calls `obey` with each order of the parent, and `stop` as [`at_end_of_input`] does. What is no order is left out.
pub fn at_orders(obey: impl Fn(Order) + Send + 'static, stop: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut line = String::new();
        let mut input = io::stdin().lock();
        while matches!(input.by_ref().take(CONFIG_BYTES_MAX).read_line(&mut line), Ok(bytes) if bytes > 0) {
            if let Ok(order) = serde_json::from_str(&line) {
                obey(order);
            }
            line.clear();
        }
        stop();
    });
}
