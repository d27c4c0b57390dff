//! The task behind a reader: learns which tags have changed, reads them, and hands the changes to their followers.
//!
//! It never waits for a follower: who has no room loses changes, is told so, and gets a new snapshot when it has room.
//! Snapshots, audits and reconnecting are jobs beside it. Everything it holds is bounded: by the number of followed tags,
//! by each follower's buffer, by a round of reading and by the few snapshots that are read at a time.

mod audit;
mod jobs;
mod reconnect;
mod stream_round;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, sleep},
};

use self::{audit::AUDIT_TICK, jobs::Job, reconnect::BACKOFF_MIN};
use super::{
    Event, Gap, Options, ReaderError, Tag,
    bulk::Bulk,
    connections::{Inbox, Link, Notice},
    tag_follower::{Followed, Follower},
};
use crate::topology::{Map, Seeds};

/// What the actor is asked.
#[derive(Debug)]
pub(super) struct Command {
    pub tag: Tag,
    pub sender: mpsc::Sender<Event>,
    pub end: Arc<OnceLock<Gap>>,
    pub ready: oneshot::Sender<Result<(), ReaderError>>,
}

/// The Redis key of a tag's stream.
type Key = Arc<str>;

pub(super) struct ReaderActor {
    seeds: Seeds,
    /// Where everything was when it was last asked for.
    map: Arc<Map>,
    options: Options,
    commands: mpsc::Receiver<Command>,
    link: Option<Link>,
    /// Grows with every connection.
    epoch: u64,
    inbox: Arc<Inbox>,
    /// For the reader's own snapshots and deltas.
    published: watch::Sender<Option<Bulk>>,
    /// By the key of the stream.
    tags: HashMap<Key, Followed>,
    /// Streams to be read.
    to_read: VecDeque<Key>,
    /// Tags whose snapshot is to be read.
    to_snapshot: VecDeque<Key>,
    /// Tags whose version is to be compared with what was read, as soon as can be.
    to_audit: VecDeque<Key>,
    /// All tags; the first is audited next.
    audit_rotation: VecDeque<Key>,
    auditing: bool,
    snapshots_running: usize,
    jobs: JoinSet<Job>,
    backoff: Duration,
    connected_at: Instant,
    followers: u64,
}

impl ReaderActor {
    pub fn new(
        seeds: Seeds,
        options: Options,
        commands: mpsc::Receiver<Command>,
        (link, inbox): (Link, Arc<Inbox>),
    ) -> (Self, watch::Receiver<Option<Bulk>>) {
        let (published, seen) = watch::channel(Some(link.bulk()));
        let actor = Self {
            seeds,
            map: Arc::clone(link.map()),
            options,
            commands,
            link: Some(link),
            epoch: 0,
            inbox,
            published,
            tags: HashMap::new(),
            to_read: VecDeque::new(),
            to_snapshot: VecDeque::new(),
            to_audit: VecDeque::new(),
            audit_rotation: VecDeque::new(),
            auditing: false,
            snapshots_running: 0,
            jobs: JoinSet::new(),
            backoff: BACKOFF_MIN,
            connected_at: Instant::now(),
            followers: 0,
        };
        (actor, seen)
    }

    /// Works until nobody can ask for anything any more.
    pub async fn run(mut self) {
        let told = self.link.as_ref().is_some_and(|link| link.told);
        let mut audit = tokio::time::interval(if told { AUDIT_TICK } else { self.options.poll });
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let inbox = Arc::clone(&self.inbox);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.follow(command),
                    None => return,
                },
                Some(Ok(job)) = self.jobs.join_next(), if !self.jobs.is_empty() => self.finish_job(job),
                () = inbox.arrived() => self.take_notice(),
                _ = audit.tick() => self.audit_next(audit.period()),
                () = std::future::ready(()), if self.link.is_some() && !self.to_read.is_empty() => {}
            }
            self.read_round().await;
            self.start_jobs();
        }
    }

    fn follow(&mut self, command: Command) {
        let Command { tag, sender, end, ready } = command;
        let keys = tag.redis_keys();
        let key: Key = keys.delta.as_str().into();
        self.followers += 1;
        let follower = Follower::new(self.followers, sender, end, ready);
        let audit_rotation = &mut self.audit_rotation;
        let followed = self.tags.entry(Arc::clone(&key)).or_insert_with(|| {
            audit_rotation.push_back(Arc::clone(&key));
            Followed::new(keys)
        });
        followed.add(follower);
        self.schedule_snapshot(&key);
    }

    /// Takes what the connection has told.
    fn take_notice(&mut self) {
        let Notice { keys, all, gone } = self.inbox.take();
        if gone {
            // No more comes over this one; what it still told is read again over the next.
            self.disconnect(&ReaderError::Unavailable("the connection has ended".into()));
        }
        if all {
            self.recheck_all();
        }
        for key in keys {
            self.enqueue(&Key::from(key));
        }
    }

    /// Everything may have changed.
    fn recheck_all(&mut self) {
        let all: Vec<_> = self.tags.keys().cloned().collect();
        for key in &all {
            self.enqueue(key);
        }
        self.to_audit = all.into();
    }

    /// Has the stream read in one of the next rounds, if it is not waiting for that already.
    fn enqueue(&mut self, key: &Key) {
        if let Some(followed) = self.tags.get_mut(key)
            && !followed.listed
            && followed.is_live()
        {
            followed.listed = true;
            self.to_read.push_back(Arc::clone(key));
        }
    }

    /// Sees to what a tag's followers need: a snapshot, room, or nothing.
    fn schedule_snapshot(&mut self, key: &Key) {
        let Some(followed) = self.tags.get_mut(key) else { return };
        if !followed.wants_snapshot() {
            return;
        }
        followed.reading = true;
        let pause = followed.pause;
        if pause.is_zero() {
            self.to_snapshot.push_back(Arc::clone(key));
        } else {
            let key = Arc::clone(key);
            self.jobs.spawn(async move {
                sleep(pause).await;
                Job::SnapshotPauseOver(key)
            });
        }
    }

    fn await_room(&mut self, key: &Key, full_before: &[u64]) {
        let Some(followed) = self.tags.get(key) else { return };
        let room = (self.options.buffer / 2).max(2);
        for (id, sender) in followed.full().filter(|(id, _)| !full_before.contains(id)) {
            let key = Arc::clone(key);
            self.jobs.spawn(async move {
                // The room is given back at once; only this actor sends into it.
                let _ = sender.reserve_many(room).await;
                Job::Room(key, id)
            });
        }
    }

    /// Changes a tag, then sees to its followers.
    fn update(&mut self, key: &Key, change: impl FnOnce(&mut Followed)) {
        let Some(followed) = self.tags.get_mut(key) else { return };
        let full: Vec<_> = followed.full().map(|(id, _)| id).collect();
        change(followed);
        if followed.sweep() {
            self.await_room(key, &full);
            self.schedule_snapshot(key);
        } else {
            self.tags.remove(key);
        }
    }
}
