//! The wish to end a run: once for the run, once more for its drain.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::RunError;

/// The user's wish to end, from Ctrl-C or SIGTERM.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<StopRequests>);

#[derive(Debug, Default)]
struct StopRequests {
    asked: OnceLock<Instant>,
    insisted: OnceLock<Instant>,
    /// A run is draining, and looks at both.
    draining: AtomicBool,
}

/// What comes within this time of a wish is the same wish: some senders signal a process and its group.
const ONE_REQUEST: Duration = Duration::from_secs(1);

impl Stop {
    /// Asks to stop; while a run drains, asking again gives up its drain. Returns whether the process should end at
    /// once, because it was asked before and nothing is left to be given up.
    pub fn request(&self) -> bool {
        let StopRequests { asked, insisted, draining } = &*self.0;
        if asked.get_or_init(Instant::now).elapsed() <= ONE_REQUEST {
            return false;
        }
        !draining.load(Relaxed) || insisted.get_or_init(Instant::now).elapsed() > ONE_REQUEST
    }

    /// Whether it was asked.
    pub fn requested(&self) -> bool {
        self.0.asked.get().is_some()
    }

    /// Whether it was asked a second time, while a run drained.
    pub fn insisted(&self) -> bool {
        self.0.insisted.get().is_some()
    }

    /// Says that a run drains from now on, which can be given up.
    pub(super) fn draining(&self) {
        self.0.draining.store(true, Relaxed);
    }

    /// An error once it was asked.
    pub(super) fn check(&self) -> Result<(), RunError> {
        if self.requested() { Err(RunError::Interrupted) } else { Ok(()) }
    }
}
