//! The task behind a reader: learns which tags have changed, reads them, and hands the changes to their followers.
//!
//! It never waits for a follower: who has no room loses changes, is told so, and gets a new snapshot when it has room.
//! Snapshots, audits and reconnecting are jobs beside it. Everything it holds is bounded: by the number of followed tags,
//! by each follower's buffer, by a round of reading and by the few snapshots that are read at a time.

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

use super::{
    Event, Gap, Options, ReaderError, Snapshot, StreamId, Tag,
    bulk::Bulk,
    connections::{Inbox, Link, Notice},
    tag_follower::{Followed, Follower},
};
use crate::topology::{Map, Seeds};

/// Streams that are read in one round trip.
const ROUND_TAGS: usize = 200;
/// Bytes that one round trip should bring at most; the entries' sizes are guessed from those before.
const ROUND_BYTES: usize = 16 << 20;
/// Entries of one stream in one round trip.
const ENTRIES_MAX: usize = 200;
/// Snapshots that are read at a time.
const SNAPSHOTS_MAX: usize = 4;
/// Tags whose version is asked for at once.
const AUDIT_TAGS: usize = 1_000;
const AUDIT_TICK: Duration = Duration::from_millis(100);
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What the actor is asked.
#[derive(Debug)]
pub(super) struct Command {
    pub tag: Tag,
    pub sender: mpsc::Sender<Event>,
    pub end: Arc<OnceLock<Gap>>,
    pub ready: oneshot::Sender<Result<(), ReaderError>>,
}

type Key = Arc<str>;

/// What is done beside the actor; the number says which connection it was for.
enum Job {
    Linked(Result<(Box<Link>, Arc<Inbox>), ReaderError>),
    Snapshot(u64, Key, Result<Snapshot, ReaderError>),
    Audit(u64, Vec<(Key, StreamId)>, Result<Vec<Result<StreamId, ReaderError>>, ReaderError>),
    Room(Key, u64),
    Again(Key),
}

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
    list: VecDeque<Key>,
    /// Tags whose snapshot is to be read.
    wanted: VecDeque<Key>,
    /// Tags whose version is to be compared with what was read, at once and in turn.
    suspects: VecDeque<Key>,
    rota: VecDeque<Key>,
    auditing: bool,
    snapshots: usize,
    jobs: JoinSet<Job>,
    backoff: Duration,
    linked: Instant,
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
            list: VecDeque::new(),
            wanted: VecDeque::new(),
            suspects: VecDeque::new(),
            rota: VecDeque::new(),
            auditing: false,
            snapshots: 0,
            jobs: JoinSet::new(),
            backoff: BACKOFF_MIN,
            linked: Instant::now(),
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
                Some(Ok(job)) = self.jobs.join_next(), if !self.jobs.is_empty() => self.done(job),
                () = inbox.arrived() => self.hear(),
                _ = audit.tick() => self.next_in_turn(audit.period()),
                () = std::future::ready(()), if self.link.is_some() && !self.list.is_empty() => {}
            }
            self.read().await;
            self.start_jobs();
        }
    }

    fn follow(&mut self, command: Command) {
        let Command { tag, sender, end, ready } = command;
        let keys = tag.redis_keys();
        let key: Key = keys.delta.as_str().into();
        self.followers += 1;
        let follower = Follower::new(self.followers, sender, end, ready);
        let rota = &mut self.rota;
        let followed = self.tags.entry(Arc::clone(&key)).or_insert_with(|| {
            rota.push_back(Arc::clone(&key));
            Followed::new(keys)
        });
        followed.add(follower);
        self.want(&key);
    }

    fn hear(&mut self) {
        let Notice { keys, all, gone } = self.inbox.take();
        if gone {
            // No more comes over this one; what it still told is read again over the next.
            self.unlink(&ReaderError::Unavailable("the connection has ended".into()));
        }
        if all {
            self.doubt_all();
        }
        for key in keys {
            self.list(&Key::from(key));
        }
    }

    /// Everything may have changed.
    fn doubt_all(&mut self) {
        let all: Vec<_> = self.tags.keys().cloned().collect();
        for key in &all {
            self.list(key);
        }
        self.suspects = all.into();
    }

    fn list(&mut self, key: &Key) {
        if let Some(followed) = self.tags.get_mut(key)
            && !followed.listed
            && followed.is_live()
        {
            followed.listed = true;
            self.list.push_back(Arc::clone(key));
        }
    }

    /// Sees to what a tag's followers need: a snapshot, room, or nothing.
    fn want(&mut self, key: &Key) {
        let Some(followed) = self.tags.get_mut(key) else { return };
        if !followed.wants_snapshot() {
            return;
        }
        followed.reading = true;
        let pause = followed.pause;
        if pause.is_zero() {
            self.wanted.push_back(Arc::clone(key));
        } else {
            let key = Arc::clone(key);
            self.jobs.spawn(async move {
                sleep(pause).await;
                Job::Again(key)
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
    fn with(&mut self, key: &Key, change: impl FnOnce(&mut Followed)) {
        let Some(followed) = self.tags.get_mut(key) else { return };
        let full: Vec<_> = followed.full().map(|(id, _)| id).collect();
        change(followed);
        if followed.sweep() {
            self.await_room(key, &full);
            self.want(key);
        } else {
            self.tags.remove(key);
        }
    }

    async fn read(&mut self) {
        let Some(link) = &mut self.link else { return };
        let round = self.list.len().min(ROUND_TAGS);
        if round == 0 {
            return;
        }
        let mut from = Vec::with_capacity(round);
        for key in self.list.drain(..round) {
            let Some(followed) = self.tags.get_mut(&key) else { continue };
            followed.listed = false;
            if followed.cursor == StreamId::MAX {
                continue; // Another program has filled the stream up: nothing can come after.
            }
            let count = (ROUND_BYTES / round / followed.entry_bytes).clamp(1, ENTRIES_MAX);
            from.push((key, followed.cursor, count));
        }
        let answers = match link.read(&from).await {
            Ok(answers) => answers,
            // Everything is read again over the next connection.
            Err(error) => return self.unlink(&error),
        };
        let lag = self.options.lag;
        for ((key, _, count), answer) in from.into_iter().zip(answers) {
            match answer {
                Ok(entries) => {
                    let whole = entries.len() < count;
                    self.with(&key, |followed| followed.take(&entries, whole, lag));
                    if !whole {
                        self.list(&key);
                    } else if entries.is_empty() {
                        // Told of a change, but there is none: perhaps one has gone.
                        self.suspects.push_back(key);
                    }
                }
                Err(error) if error.is_broken() => return self.unlink(&error),
                // Told of it again by the audit, if by nothing else.
                Err(error) if error.is_transient() => self.suspects.push_back(key),
                Err(error) => self.with(&key, |followed| followed.fail(&error, lag)),
            }
        }
    }

    fn next_in_turn(&mut self, period: Duration) {
        let Some(link) = &self.link else { return };
        let share = if link.told { period.as_secs_f64() / self.options.audit.as_secs_f64() } else { 1.0 };
        let count = (self.rota.len() as f64 * share).ceil() as usize;
        for _ in 0..count.min(self.rota.len()) {
            let Some(key) = self.rota.pop_front() else { break };
            self.with(&key, |_| ());
            if self.tags.contains_key(&key) {
                self.suspects.push_back(Arc::clone(&key));
                self.rota.push_back(key);
            }
        }
    }

    fn start_jobs(&mut self) {
        let Some(bulk) = self.link.as_ref().map(Link::bulk) else { return };
        let epoch = self.epoch;
        while self.snapshots < SNAPSHOTS_MAX
            && let Some(key) = self.wanted.pop_front()
        {
            let Some(followed) = self.tags.get(&key) else { continue };
            let (keys, bulk) = (followed.keys.clone(), bulk.clone());
            self.snapshots += 1;
            self.jobs.spawn(async move { Job::Snapshot(epoch, key, bulk.snapshot(&keys).await) });
        }
        if self.auditing || self.suspects.is_empty() {
            return;
        }
        let (mut asked, mut metas) = (Vec::new(), Vec::new());
        for key in self.suspects.drain(..self.suspects.len().min(AUDIT_TAGS)) {
            if let Some(followed) = self.tags.get(&key).filter(|followed| followed.is_live()) {
                asked.push((key, followed.reached()));
                metas.push(followed.keys.meta.clone());
            }
        }
        if !asked.is_empty() {
            self.auditing = true;
            self.jobs.spawn(async move { Job::Audit(epoch, asked, bulk.versions(&metas).await) });
        }
    }

    fn done(&mut self, job: Job) {
        let lag = self.options.lag;
        match job {
            Job::Linked(Ok((link, inbox))) => self.relink(*link, inbox),
            Job::Linked(Err(error)) => {
                tracing::debug!("{error}");
                self.connect();
            }
            Job::Again(key) => self.wanted.push_back(key),
            Job::Room(key, id) => self.with(&key, |followed| followed.resume(id, lag)),
            Job::Snapshot(epoch, key, read) => {
                self.snapshots -= 1;
                self.with(&key, |followed| followed.start(read.as_ref(), lag));
                match read {
                    Ok(_) => self.list(&key),
                    Err(error) if error.is_broken() && epoch == self.epoch => self.unlink(&error),
                    Err(_) => {}
                }
            }
            Job::Audit(epoch, asked, versions) => {
                self.auditing = false;
                match versions {
                    _ if epoch != self.epoch => {}
                    Ok(versions) => self.compare(asked, versions),
                    Err(error) if error.is_broken() => self.unlink(&error),
                    Err(_) => {}
                }
            }
        }
    }

    fn compare(&mut self, asked: Vec<(Key, StreamId)>, versions: Vec<Result<StreamId, ReaderError>>) {
        let lag = self.options.lag;
        for ((key, was), version) in asked.into_iter().zip(versions) {
            match version {
                Ok(version) => {
                    let mut behind = false;
                    self.with(&key, |followed| behind = followed.audit(was, version, lag));
                    if behind {
                        self.list(&key);
                    }
                }
                Err(error) if error.is_broken() => return self.unlink(&error),
                // Its turn comes again, and what is in the stream is read all the same.
                Err(error) if error.is_transient() => {}
                Err(error) => self.with(&key, |followed| followed.fail(&error, lag)),
            }
        }
    }

    /// Gives the connection up, and makes another.
    fn unlink(&mut self, error: &ReaderError) {
        if self.link.take().is_none() {
            return;
        }
        tracing::warn!("{error}; connecting again");
        self.published.send_replace(None);
        self.epoch += 1;
        if self.linked.elapsed() > BACKOFF_MAX {
            self.backoff = BACKOFF_MIN;
        }
        self.connect();
    }

    fn connect(&mut self) {
        let (seeds, map, options, pause) =
            (self.seeds.clone(), Arc::clone(&self.map), self.options.clone(), self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.jobs.spawn(async move {
            sleep(pause).await;
            let inbox = Arc::<Inbox>::default();
            let linked = Link::connect(&seeds, &map, &options, &inbox).await;
            Job::Linked(linked.map(|link| (Box::new(link), inbox)))
        });
    }

    fn relink(&mut self, link: Link, inbox: Arc<Inbox>) {
        tracing::info!("Redis answers again");
        self.published.send_replace(Some(link.bulk()));
        self.map = Arc::clone(link.map());
        self.link = Some(link);
        self.linked = Instant::now();
        self.inbox = inbox;
        self.doubt_all();
    }
}
