//! The Shasta Library: what client applications live on. Snapshots, changes, and both as one stream without gap or
//! repeat.
//!
//! ```no_run
//! use shasta_reader::{Event, Options, Reader, Tag};
//!
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! let reader = Reader::connect("redis://127.0.0.1:6379", Options::default()).await?;
//! let mut events = reader.follow(&Tag::new("shasta", "0", "load")?).await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Snapshot(snapshot) => println!("{}: {} values", snapshot.version, snapshot.values.len()),
//!         Event::Delta(delta) => println!("{}: {} = {} bytes", delta.id, delta.name, delta.data.len()),
//!         Event::Gap(gap) => println!("{gap}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Guaranteed: a snapshot is what the tag was at its version. After it a follower gets every later change, once and in
//! order, for each change names the one before it; where that chain does not hold (a trimmed stream, writes that Redis
//! has lost, a new generation of the topic, a follower that did not keep up), it is told so by an [`Event::Gap`] and
//! gets a new snapshot. Redis going away and coming back alone is no gap. A quiet tag's loss of writes is noticed
//! within [`Options::audit`] or at once, where Redis tells of it.
//!
//! Not guaranteed: that a shard without a primary holds up its own followers only: those of the others wait with them.
//! Nor that Redis holds what it once acknowledged, see the store in the package `shasta`. One case cannot be seen: Redis
//! loses the last changes while the reader is away too, and exactly the same ones are written again.
//!
//! Any number of tags share two connections, or one to each primary of a Redis Cluster (MemoryDB), which is recognized by
//! itself at any node that the URL names. They speak RESP3 (Redis 6 or later). Slots that move, and primaries that are
//! replaced, are found by themselves; what a failover has lost is a gap.

mod actor;
pub mod address;
mod bulk;
mod connect;
mod connections;
mod content;
mod continuity;
mod error;
mod event;
mod follow;
pub mod refusal;
mod tag;
mod tag_follower;
#[cfg(feature = "tls")]
pub mod tls;
pub mod topology;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};

use self::{
    actor::{Command, ReaderActor},
    bulk::Bulk,
    connections::{Inbox, Link},
};
pub use self::{
    error::ReaderError,
    event::{Delta, Event, Gap, Reason, Snapshot},
    follow::Follow,
    tag::{NoStreamId, StreamId, Tag},
};

/// What happens to a follower that does not take its events in time. It never holds up others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// It loses changes, is told so ([`Reason::Lagged`]), and gets a new snapshot once half of its buffer is free.
    #[default]
    Resnapshot,
    /// It gets what is in its buffer, is told so, and ends.
    End,
}

/// How a reader works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Events that wait for each follower at most; 2 or more. Memory: this times the size of a change.
    pub buffer: usize,
    /// What happens when it is full.
    pub lag: Lag,
    /// How long Redis may take to connect, and to answer.
    pub timeout: Duration,
    /// Largest snapshot, in bytes of names and values; four are read at a time.
    pub snapshot_bytes_max: usize,
    /// Most changes that [`Reader::deltas`] returns at once. Memory: this times the size of a change.
    pub deltas_max: usize,
    /// How often each tag's version is compared with what was read of it. Changes do not wait for this.
    pub audit: Duration,
    /// How often to ask for changes where Redis does not tell of them: a proxy, or a user without `CLIENT TRACKING`.
    pub poll: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buffer: 256,
            lag: Lag::default(),
            timeout: Duration::from_secs(5),
            snapshot_bytes_max: 64 << 20,
            deltas_max: 1_000,
            audit: Duration::from_secs(2),
            poll: Duration::from_millis(50),
        }
    }
}

/// Reads tags from Redis. Cheap to share by reference; all of its followers live on the same few connections.
pub struct Reader {
    actor: mpsc::Sender<Command>,
    bulk: watch::Receiver<Option<Bulk>>,
    options: Options,
}

impl Reader {
    /// Connects to `redis://` or `rediss://` `[user:password@]host:port[,host:port…]`, within a tokio runtime, whose tasks
    /// then do the work. One node of a cluster is enough; of a primary and its replicas name all, so that the one that is
    /// the primary can be found when that changes. A single replica is read as it is.
    ///
    /// # Errors
    /// At once: the URL is none, Redis is not there, wants TLS, refuses the user, or forbids what a reader needs.
    pub async fn connect(url: &str, options: Options) -> Result<Self, ReaderError> {
        let options = Options {
            buffer: options.buffer.max(2),
            audit: options.audit.max(Duration::from_millis(100)),
            poll: options.poll.max(Duration::from_millis(1)),
            ..options
        };
        let seeds = connect::seeds(url)?;
        let inbox = Arc::<Inbox>::default();
        let link = Link::connect(&seeds, &crate::topology::Map::default(), &options, &inbox).await?;
        let (actor, commands) = mpsc::channel(64);
        let (work, bulk) = ReaderActor::new(seeds, options.clone(), commands, (link, inbox));
        tokio::spawn(work.run());
        Ok(Self { actor, bulk, options })
    }

    /// All values of a tag, as they were together at one version. A tag that was never written is empty.
    ///
    /// # Errors
    /// See [`ReaderError`]; [`ReaderError::Unavailable`] at once while Redis is away.
    pub async fn snapshot(&self, tag: &Tag) -> Result<Snapshot, ReaderError> {
        self.bulk()?.snapshot(&tag.redis_keys()).await
    }

    /// The changes of a tag that come after `from`, the earliest first, at most [`Options::deltas_max`]. Nothing is
    /// missing between `from` and them where the first one's `previous` is `from`.
    ///
    /// # Errors
    /// See [`ReaderError`].
    pub async fn deltas(&self, tag: &Tag, from: StreamId) -> Result<Vec<Delta>, ReaderError> {
        self.bulk()?.deltas(&tag.redis_keys().delta, from, self.options.deltas_max).await
    }

    /// Follows a tag: a snapshot first, then each change. Returns when the snapshot is there; while Redis is away, that
    /// is when it has come back.
    ///
    /// # Errors
    /// What is under the tag's keys cannot be read, or was not written by the store.
    pub async fn follow(&self, tag: &Tag) -> Result<Follow, ReaderError> {
        let (sender, events) = mpsc::channel(self.options.buffer);
        let end = Arc::<OnceLock<Gap>>::default();
        let (ready, answer) = oneshot::channel();
        let command = Command { tag: tag.clone(), sender, end: Arc::clone(&end), ready };
        self.actor.send(command).await.map_err(|_| ReaderError::Ended)?;
        answer.await.map_err(|_| ReaderError::Ended)??;
        Ok(Follow { events, end, ended: false, _actor: self.actor.clone() })
    }

    fn bulk(&self) -> Result<Bulk, ReaderError> {
        let bulk = self.bulk.borrow().clone();
        bulk.ok_or_else(|| ReaderError::Unavailable("it is away, and connecting again goes on".into()))
    }
}
