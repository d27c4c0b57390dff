//! One followed tag: how far its stream was read, and what each of its followers has. Nothing here waits.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    Event, Gap, Lag, ReaderError, Reason, Snapshot, StreamId,
    content::Entry,
    continuity::{Chain, Step},
};
use shasta_model::tag_data::RedisKeys;

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One who follows a tag.
#[derive(Debug)]
pub(super) struct Follower {
    id: u64,
    sender: mpsc::Sender<Event>,
    end: Arc<OnceLock<Gap>>,
    /// Told when the first snapshot is there, or cannot be.
    ready: Option<oneshot::Sender<Result<(), ReaderError>>>,
    state: State,
    /// The last gap for which no snapshot could be read: told once.
    told: Option<Reason>,
}

#[derive(Debug)]
enum State {
    /// Waits for a snapshot.
    Waiting,
    /// Gets changes.
    Live(Chain),
    /// Has no room for what comes next: the gap, if it has not been told, then a snapshot.
    Full(Option<Gap>),
    /// Nobody listens, or it has been ended.
    Gone,
}

impl Follower {
    pub fn new(
        id: u64,
        sender: mpsc::Sender<Event>,
        end: Arc<OnceLock<Gap>>,
        ready: oneshot::Sender<Result<(), ReaderError>>,
    ) -> Self {
        Self { id, sender, end, ready: Some(ready), state: State::Waiting, told: None }
    }

    fn at(&self) -> Option<StreamId> {
        match self.state {
            State::Live(chain) => Some(chain.at()),
            _ => None,
        }
    }

    fn send(&mut self, event: Event) -> bool {
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Closed(_)) => {
                self.state = State::Gone;
                true
            }
        }
    }

    fn lose(&mut self, gap: Gap, lag: Lag) {
        if gap.reason == Reason::Lagged && lag == Lag::End {
            let _ = self.end.set(gap);
            self.state = State::Gone;
            return;
        }
        self.state = State::Waiting;
        if !self.send(Event::Gap(gap.clone())) {
            self.state = State::Full(Some(gap));
        }
    }

    /// Takes what was read; returns whether there was anything new in it.
    fn take(&mut self, entries: &[Entry], foreign: Option<StreamId>, goal: Option<StreamId>, lag: Lag) -> bool {
        let mut new = false;
        for entry in entries {
            let State::Live(chain) = &mut self.state else { return new };
            // Another program's entry stays in the stream, and is told once.
            if entry.as_ref().is_err_and(|(id, _)| Some(*id) <= foreign) {
                continue;
            }
            let before = *chain;
            match chain.step(entry) {
                Step::Known => {}
                Step::Broken(gap) => self.lose(gap, lag),
                Step::Next(delta) => {
                    new = true;
                    let (id, event) = (delta.id, Event::Delta(delta.clone()));
                    if !self.send(event) {
                        self.lose(before.gap(Some(id), Reason::Lagged), lag);
                    }
                }
            }
        }
        if let (State::Live(chain), Some(goal)) = (&self.state, goal)
            && let Some(gap) = chain.reached(goal)
        {
            self.lose(gap, lag);
        }
        new
    }

    fn start(&mut self, snapshot: &Snapshot) {
        if !matches!(self.state, State::Waiting) {
            return;
        }
        self.state = State::Live(Chain::new(snapshot.version));
        self.told = None;
        if self.send(Event::Snapshot(snapshot.clone())) {
            if let Some(ready) = self.ready.take() {
                let _ = ready.send(Ok(()));
            }
        } else {
            self.state = State::Full(None);
        }
    }

    fn fail(&mut self, error: &ReaderError, at: StreamId, lag: Lag) {
        if !matches!(self.state, State::Waiting) {
            return;
        }
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Err(error.clone()));
            self.state = State::Gone;
            return;
        }
        let reason = Reason::Foreign(error.to_string());
        if self.told.as_ref() != Some(&reason) {
            self.told = Some(reason.clone());
            self.lose(Gap { expected: at, found: None, reason }, lag);
        }
    }
}

/// One tag and its followers.
#[derive(Debug)]
pub(super) struct Followed {
    pub keys: RedisKeys,
    /// Read up to here.
    pub cursor: StreamId,
    /// It is on the list of streams to read.
    pub listed: bool,
    /// A snapshot is being read or is about to be.
    pub reading: bool,
    /// Largest entry seen, in bytes.
    pub entry_bytes: usize,
    /// How long to wait before the next snapshot: tags that break again and again must not take all the time.
    pub pause: Duration,
    /// Version that the stream has to reach.
    goal: Option<StreamId>,
    /// Last entry of another program that was told of.
    foreign: Option<StreamId>,
    followers: Vec<Follower>,
}

impl Followed {
    pub fn new(keys: RedisKeys) -> Self {
        Self {
            keys,
            cursor: StreamId::ZERO,
            listed: false,
            reading: false,
            entry_bytes: 1 << 10,
            pause: Duration::ZERO,
            goal: None,
            foreign: None,
            followers: Vec::new(),
        }
    }

    pub fn add(&mut self, follower: Follower) {
        self.followers.push(follower);
    }

    /// Forgets those that nobody listens to; returns whether any are left.
    pub fn sweep(&mut self) -> bool {
        self.followers.retain(|follower| !matches!(follower.state, State::Gone) && !follower.sender.is_closed());
        !self.followers.is_empty()
    }

    /// Whether a snapshot is wanted and nobody is reading it.
    pub fn wants_snapshot(&self) -> bool {
        !self.reading && self.followers.iter().any(|follower| matches!(follower.state, State::Waiting))
    }

    /// Whether anybody gets changes.
    pub fn is_live(&self) -> bool {
        self.followers.iter().any(|follower| follower.at().is_some())
    }

    /// Followers that wait for room, and where it will be.
    pub fn full(&self) -> impl Iterator<Item = (u64, mpsc::Sender<Event>)> {
        let full = self.followers.iter().filter(|follower| matches!(follower.state, State::Full(_)));
        full.map(|follower| (follower.id, follower.sender.clone()))
    }

    /// Hands on what was read past the cursor; `whole` when the stream has no more.
    pub fn take(&mut self, entries: &[Entry], whole: bool, lag: Lag) {
        let goal = if whole { self.goal.take() } else { None };
        let live = self.followers.iter().filter(|follower| follower.at().is_some()).count();
        let mut new = false;
        for follower in &mut self.followers {
            new |= follower.take(entries, self.foreign, goal, lag);
        }
        for entry in entries {
            let id = match entry {
                Ok(delta) => {
                    self.entry_bytes = self.entry_bytes.max(delta.name.len() + delta.data.len());
                    delta.id
                }
                Err((id, _)) => {
                    self.foreign = self.foreign.max(Some(*id));
                    *id
                }
            };
            self.cursor = self.cursor.max(id);
        }
        if self.followers.iter().filter(|follower| follower.at().is_some()).count() < live {
            if goal.is_some_and(|goal| entries.is_empty() && goal > StreamId::ZERO) {
                // The stream is another one than that which held the foreign entry.
                self.foreign = None;
            }
            self.hesitate();
        } else if new {
            self.pause = Duration::ZERO;
        }
    }

    /// What the stream cannot be read for.
    pub fn fail(&mut self, error: &ReaderError, lag: Lag) {
        self.hesitate();
        for follower in &mut self.followers {
            if let State::Live(chain) = follower.state {
                let gap = chain.gap(None, Reason::Foreign(error.to_string()));
                follower.told = Some(gap.reason.clone());
                follower.lose(gap, lag);
            }
        }
    }

    /// Takes a version that was read when the cursor was at `was`; returns whether there is more to read.
    pub fn audit(&mut self, was: StreamId, version: StreamId, lag: Lag) -> bool {
        let mut behind = false;
        for follower in &mut self.followers {
            let State::Live(chain) = follower.state else { continue };
            if let Some(gap) = chain.audited(was, version) {
                self.foreign = None;
                follower.lose(gap, lag);
                continue;
            }
            behind |= chain.at() < version;
        }
        if behind {
            self.goal = self.goal.max(Some(version));
        }
        behind
    }

    /// How far the followers were, for an audit.
    pub fn reached(&self) -> StreamId {
        self.followers.iter().filter_map(Follower::at).max().unwrap_or(StreamId::ZERO)
    }

    /// Gives a snapshot to all that wait for one, or tells why there is none.
    pub fn start(&mut self, read: Result<&Snapshot, &ReaderError>, lag: Lag) {
        self.reading = false;
        match read {
            Ok(snapshot) => {
                let others = self.followers.iter().filter_map(Follower::at).min();
                let from = self.foreign.filter(|id| *id > snapshot.version).unwrap_or(snapshot.version);
                self.cursor = others.map_or(from, |_| self.cursor.min(from));
                self.followers.iter_mut().for_each(|follower| follower.start(snapshot));
            }
            Err(error) => {
                self.hesitate();
                if !error.is_transient() {
                    let at = self.cursor;
                    self.followers.iter_mut().for_each(|follower| follower.fail(error, at, lag));
                }
            }
        }
    }

    /// A follower has room again.
    pub fn resume(&mut self, id: u64, lag: Lag) {
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.id == id) else { return };
        if let State::Full(gap) = &mut follower.state {
            let gap = gap.take();
            follower.state = State::Waiting;
            if let Some(gap) = gap {
                follower.lose(Gap { reason: gap.reason, ..gap }, lag);
            }
        }
    }

    fn hesitate(&mut self) {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
    }
}
