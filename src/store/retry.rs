//! Trying again: how long it is waited between two tries, and for how long it goes on.

use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisError, RedisResult};
use shasta_reader::topology::Seeds;

use super::{BatchProgress, Effect, Settings, Store, Verdict, Write, rights::is_refusal};

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Pauses between tries, each twice as long as the one before, from 10 to 200 ms.
#[derive(Debug)]
pub struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: PAUSE_MIN }
    }
}

impl Backoff {
    /// Whether nothing was waited for yet.
    pub fn is_first(&self) -> bool {
        self.pause == PAUSE_MIN
    }

    /// Waits.
    pub fn wait(&mut self) {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

impl Store {
    /// Connects as [`Store::connect`] does, while Redis may be away: tries again for as long as it may take to answer.
    ///
    /// # Errors
    /// The last one, or at once one that will not pass.
    pub fn connect_in_time(seeds: Seeds, settings: &Settings) -> RedisResult<Self> {
        let (started, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            match Self::connect(seeds.clone(), settings.clone()) {
                Err(error) if !is_refusal(&error) && started.elapsed() < settings.timeout => backoff.wait(),
                done => return done,
            }
        }
    }

    /// Stores a batch, in order, each event atomically, and tries for as long as [`Settings::timeout`]. Doing it again
    /// after an error is harmless.
    ///
    /// # Errors
    /// The last try's; or Redis has lost what it had acknowledged.
    pub fn apply(&mut self, batch: &[Write]) -> RedisResult<Vec<Effect>> {
        let (mut progress, started) = (BatchProgress::new(batch.len()), Instant::now());
        let mut backoff = Backoff::default();
        loop {
            match self.attempt(batch, &mut progress) {
                Ok(Verdict::Intact) => return Ok(progress.effects().expect("an attempt without an error settles all")),
                Ok(lost) => {
                    return Err(RedisError::from((ErrorKind::Client, "Redis lost what it had", format!("{lost:?}"))));
                }
                Err(error) if started.elapsed() > self.settings.timeout || is_refusal(&error) => return Err(error),
                Err(_) => backoff.wait(),
            }
        }
    }
}
