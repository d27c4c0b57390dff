//! Wakes tasks of one thread at their time, to some ten microseconds: tokio's own timer ticks once a millisecond.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// One timer of the kernel for all who wait.
pub(super) struct Timer {
    timer: AsyncFd<OwnedFd>,
    /// By the time at which they are due, then in the order in which they came.
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
    /// Whom the timer is set for.
    set_for: Cell<Option<Instant>>,
    /// How much earlier it is set: what a wake-up takes here at least, as far as the last ones show.
    lead: Cell<Duration>,
}

/// Longest lead, so that what is spent waiting awake is bounded.
const LEAD_MAX: Duration = Duration::from_micros(60);

impl Timer {
    /// Call it within a runtime.
    #[expect(deprecated, reason = "its replacement is unsafe; an OwnedFd is closed by nobody else while this holds it")]
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        let (waiting, count, set_for, lead) = Default::default();
        Ok(Self { timer, waiting, count, set_for, lead })
    }

    /// Waits until `due`, never less.
    pub async fn until(&self, due: Instant) {
        if due <= Instant::now() {
            return;
        }
        let key = (due, self.count.replace(self.count.get() + 1));
        let _forgotten = Forgotten { timer: self, key };
        poll_fn(|context| {
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().insert(key, context.waker().clone());
            self.set();
            Poll::Pending
        })
        .await;
    }

    /// Wakes whoever is due, for ever; without it nobody wakes.
    pub async fn ring(&self) {
        // The timer of the kernel cannot fail once it is there.
        while let Ok(mut ready) = self.timer.readable().await {
            // Nothing is there to be read when the timer was set again after it rang.
            let rang = rustix::io::read(ready.get_inner(), &mut [0; 8]).is_ok();
            ready.clear_ready();
            if !rang {
                continue;
            }
            if let Some(due) = self.set_for.take() {
                self.learn(due);
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
            }
            let now = Instant::now();
            while let Some(first) = self.waiting.borrow_mut().first_entry().filter(|first| first.key().0 <= now) {
                first.remove().wake();
            }
            self.set();
        }
    }

    /// Takes the lead from how late it is now: at once where it was too large, little by little where it may be larger.
    fn learn(&self, due: Instant) {
        let lead = self.lead.get();
        let took = (Instant::now() + lead).saturating_duration_since(due);
        let better = if took < lead { took } else { lead + (took - lead).min(LEAD_MAX) / 64 };
        self.lead.set(better.min(LEAD_MAX));
    }

    /// Sets the timer for the first who waits, if it would ring later.
    fn set(&self) {
        let Some(due) = self.waiting.borrow().keys().next().map(|(due, _)| *due) else { return };
        if self.set_for.get().is_some_and(|set_for| set_for <= due) {
            return;
        }
        // Zero would turn it off.
        let left = due.saturating_duration_since(Instant::now() + self.lead.get()).max(Duration::from_nanos(1));
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: left };
        if timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).is_ok() {
            self.set_for.set(Some(due));
        }
    }
}

/// Takes a waiter out that is dropped before its time.
struct Forgotten<'a> {
    timer: &'a Timer,
    key: (Instant, u64),
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.timer.waiting.borrow_mut().remove(&self.key);
    }
}
