//! What is asked of Redis and of the brokers while a run goes on, each in a thread of its own: the run never waits.

use std::{thread::JoinHandle, time::Duration};

use crate::cluster::{KafkaAccess, topic};
use shasta_reader::topology::{Primaries, Seeds};

/// How long Redis may take to answer one command.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A command whose reply is awaited.
pub(super) struct PendingCommand(JoinHandle<Result<String, String>>);

impl PendingCommand {
    fn spawn(ask: impl FnOnce() -> Result<String, String> + Send + 'static) -> Result<Self, String> {
        let thread = std::thread::Builder::new().name("fault".into()).spawn(ask);
        thread.map(Self).map_err(|error| format!("a thread could not be started: {error}"))
    }

    /// A command and its arguments, of each primary of Redis; the answer is the last one's.
    pub fn redis(url: &str, command: &[&str]) -> Result<Self, String> {
        let (url, command) = (url.to_owned(), command.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        Self::spawn(move || {
            let asked = || {
                let mut primaries = Primaries::connect(Seeds::parse(&url)?, ANSWER_MAX)?;
                let mut answer = redis::Value::Nil;
                for index in 0..primaries.map().nodes().len() {
                    let mut all = redis::cmd(&command[0]);
                    answer = all.arg(&command[1..]).query::<redis::Value>(primaries.node(index)?)?;
                }
                Ok::<_, redis::RedisError>(answer)
            };
            match asked() {
                Ok(redis::Value::Array(values)) => match values.last() {
                    Some(redis::Value::BulkString(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
                    _ => Ok(String::new()),
                },
                Ok(_) => Ok(String::new()),
                Err(error) => Err(format!("Redis: {error}")),
            }
        })
    }

    /// Whether every replica of every partition is in sync; `no` otherwise.
    pub fn all_in_sync(access: &KafkaAccess) -> Result<Self, String> {
        let access = access.clone();
        Self::spawn(move || match topic::all_in_sync(&access, Duration::from_secs(1)) {
            Ok(true) => Ok("yes".to_owned()),
            // A broker that is starting answers late or not at all.
            Ok(false) | Err(_) => Ok("no".to_owned()),
        })
    }

    /// Whether the answer is there.
    pub fn is_answered(&self) -> bool {
        self.0.is_finished()
    }

    /// The answer; waits for it.
    pub fn answer(self) -> Result<String, String> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
