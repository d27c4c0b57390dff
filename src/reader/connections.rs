//! One reader's connections to Redis. To a single one: one that is told of changes and reads them, one for large answers,
//! so that a snapshot of megabytes is never in front of a change. To a cluster: one to each primary, for both, and then
//! large answers come in small pieces. So three shards take three connections, however many tags are followed.
//!
//! All connections are made and given up together: a shard that fails over holds up the followers of the others until it
//! has a primary again. That costs them time, never a change.
//!
//! Redis tells by itself which of the streams that this connection has read have changed (CLIENT TRACKING over RESP3,
//! Redis 6 or later). So waiting costs nothing per tag, and reading costs per change: XREAD BLOCK would look at all
//! 1,000 streams at every change, and on a cluster it takes only streams of one slot.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use redis::{PushInfo, PushKind, RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    Options, ReaderError, StreamId,
    bulk::Bulk,
    connect::{Dial, track},
    content::{self, Entry},
};
use crate::topology::{Address, Map, Seeds, slot};

/// What Redis has told since it was last asked for.
#[derive(Debug, Default)]
pub(super) struct Notice {
    /// Keys that have changed.
    pub keys: HashSet<String>,
    /// Every key may have changed.
    pub all: bool,
    /// The connection is gone.
    pub gone: bool,
}

/// Where Redis' word arrives. A key is in it once, however often it changes.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    notice: Mutex<Notice>,
    arrived: Notify,
}

impl Inbox {
    /// Adds to it, and wakes who waits.
    pub fn add(&self, change: impl FnOnce(&mut Notice)) {
        change(&mut self.notice.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    /// Everything in it.
    pub fn take(&self) -> Notice {
        mem::take(&mut self.notice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is something.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes what Redis tells.
    pub fn push(&self, push: PushInfo) {
        match (push.kind, push.data.into_iter().next()) {
            (PushKind::Disconnection, _) => self.add(|notice| notice.gone = true),
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                self.add(|notice| notice.keys.extend(keys.into_iter().filter_map(content::text)));
            }
            (PushKind::Invalidate, _) => self.add(|notice| notice.all = true),
            _ => {}
        }
    }
}

/// The connections.
pub(super) struct Link {
    dial: Dial,
    map: Arc<Map>,
    /// One to each node of the map.
    changes: Vec<MultiplexedConnection>,
    /// To nodes to which slots are just moving, and which have none yet.
    beside: HashMap<Address, MultiplexedConnection>,
    bulk: Bulk,
    /// Whether Redis tells of changes; if not, they have to be asked for.
    pub told: bool,
}

/// A stream, the entry after which to read, and how many entries to read at most.
pub(super) type From = (Arc<str>, StreamId, usize);

impl Link {
    /// Connects, and proves that this user may read our keys. `known` is where everything was before.
    ///
    /// # Errors
    /// [`ReaderError::Denied`] or [`ReaderError::Unavailable`].
    pub async fn connect(
        seeds: &Seeds,
        known: &Map,
        options: &Options,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, ReaderError> {
        let dial = Dial::new(seeds, options, inbox);
        let (map, asked, connection) = dial.find(known).await?;
        let mut asked = Some((asked, connection));
        let mut changes = Vec::with_capacity(map.nodes().len());
        for address in map.nodes() {
            changes.push(match asked.take_if(|(at, _)| at == address) {
                Some((_, connection)) => connection,
                None => dial.told(address).await?,
            });
        }
        let map = Arc::new(map);
        let nodes = if map.is_cluster() { changes.clone() } else { vec![dial.plain(&map.nodes()[0]).await?] };
        let bulk = Bulk::new(nodes, Arc::clone(&map), Arc::clone(inbox), options.snapshot_bytes_max);
        bulk.probe().await?;
        let mut told = true;
        for connection in &mut changes {
            told &= track(connection).await;
        }
        Ok(Self { dial, map, changes, beside: HashMap::new(), bulk, told })
    }

    /// The connection for large answers.
    pub fn bulk(&self) -> Bulk {
        self.bulk.clone()
    }

    /// Where everything is.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Of each stream the entries after an ID, at most so many, in one round trip, to all shards at once. Redis tells of
    /// the next change of each.
    ///
    /// # Errors
    /// The outer one when Redis does not answer; the inner ones are a stream's own.
    pub async fn read(&mut self, from: &[From]) -> Result<Vec<Result<Vec<Entry>, ReaderError>>, ReaderError> {
        let mut by_node: Vec<Vec<usize>> = vec![Vec::new(); self.changes.len()];
        for (nth, (key, ..)) in from.iter().enumerate() {
            let node = self.map.node(slot(key.as_bytes())).map_err(|error| ReaderError::of(&error, key))?;
            by_node[node].push(nth);
        }
        let mut answers: Vec<Option<RedisResult<Value>>> = (0..from.len()).map(|_| None).collect();
        let mut asked = JoinSet::new();
        for (node, streams) in by_node.into_iter().enumerate().filter(|(_, streams)| !streams.is_empty()) {
            let pipeline = pipeline(streams.iter().map(|nth| &from[*nth]), false);
            let mut connection = self.changes[node].clone();
            asked.spawn(async move { (streams, query(pipeline, &mut connection).await) });
        }
        while let Some(Ok((streams, values))) = asked.join_next().await {
            for (nth, value) in streams.into_iter().zip(values?) {
                answers[nth] = Some(value);
            }
        }
        self.ask(from, &mut answers).await?;
        let answers = answers.into_iter().zip(from).map(|(answer, (key, ..))| match answer {
            Some(Ok(value)) => content::entries(key, value),
            Some(Err(error)) => Err(ReaderError::of(&error, key)),
            None => Err(ReaderError::Unavailable("an answer is missing".into())),
        });
        Ok(answers.collect())
    }

    /// Asks again for the streams that are just moving, where they are moving to.
    async fn ask(&mut self, from: &[From], answers: &mut [Option<RedisResult<Value>>]) -> Result<(), ReaderError> {
        let mut moving: HashMap<Address, Vec<usize>> = HashMap::new();
        for (nth, answer) in answers.iter().enumerate() {
            if let Some(Err(error)) = answer
                && error.code() == Some("ASK")
                && let Some(to) = error.redirect_node().and_then(|(to, _)| Address::of_redirect(to, ""))
            {
                moving.entry(to).or_default().push(nth);
            }
        }
        for (address, streams) in moving {
            let mut connection = self.node(&address).await?;
            let pipeline = pipeline(streams.iter().map(|nth| &from[*nth]), true);
            let values = query(pipeline, &mut connection).await?;
            // Every second one is the answer to ASKING.
            for (nth, value) in streams.into_iter().zip(values.into_iter().skip(1).step_by(2)) {
                answers[nth] = Some(value);
            }
        }
        Ok(())
    }

    async fn node(&mut self, address: &Address) -> Result<MultiplexedConnection, ReaderError> {
        if let Some(node) = self.map.nodes().iter().position(|known| known == address) {
            return Ok(self.changes[node].clone());
        }
        if let Some(connection) = self.beside.get(address) {
            return Ok(connection.clone());
        }
        let mut connection = self.dial.told(address).await?;
        self.told &= track(&mut connection).await;
        self.beside.insert(address.clone(), connection.clone());
        Ok(connection)
    }
}

fn pipeline<'a>(from: impl Iterator<Item = &'a From>, asking: bool) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    for (key, id, count) in from {
        if asking {
            pipeline.cmd("ASKING");
        }
        pipeline.cmd("XRANGE").arg(&**key).arg(format!("({id}")).arg("+").arg("COUNT").arg(count);
    }
    pipeline
}

async fn query(
    mut pipeline: redis::Pipeline,
    connection: &mut MultiplexedConnection,
) -> Result<Vec<RedisResult<Value>>, ReaderError> {
    let answers = pipeline.ignore_errors().query_async(connection).await;
    answers.map_err(|error: RedisError| ReaderError::of(&error, "shasta:*"))
}
