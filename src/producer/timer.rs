//! A timer that fires within tens of µs. tokio's own ticks at 1 ms, which alone would make every event half a ms late.

use std::{io, os::fd::OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::machine::clock::Clock;

pub(super) struct Timer {
    fd: AsyncFd<OwnedFd>,
    clock: Clock,
}

impl Timer {
    /// A timer of the current tokio runtime.
    #[expect(
        deprecated,
        reason = "unsound only for a type that may give up its descriptor, which an OwnedFd never does"
    )]
    pub fn new(clock: Clock) -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { fd: AsyncFd::with_interest(fd, Interest::READABLE)?, clock })
    }

    /// Sleeps until `at_us`, µs of the Unix epoch; returns at once when that has passed.
    pub async fn sleep_until(&self, at_us: i64) -> io::Result<()> {
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Itimerspec { it_interval: once, it_value: self.clock.monotonic(at_us) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &at)?;
        loop {
            let mut ready = self.fd.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(self.fd.get_ref(), &mut expirations) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
