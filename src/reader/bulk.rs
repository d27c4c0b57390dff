//! Reading at one's own pace: snapshots, versions and past changes.

use std::{collections::BTreeMap, sync::Arc};

use redis::{Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection};

use super::{
    Delta, ReaderError, Snapshot, StreamId,
    connections::Inbox,
    content::{self, Entry},
    continuity::{Chain, Step},
};
use crate::topology::{Map, slot};
use shasta_model::tag_data::RedisKeys;

/// Up to this size, as Redis estimates it, a snapshot is read in one piece: it keeps Redis busy for some ms.
const WHOLE_BYTES_MAX: u64 = 4 << 20;
const WHOLE_FIELDS_MAX: u64 = 10_000;
/// The same over a connection that changes come over as well.
const SHARED_BYTES_MAX: u64 = 256 << 10;
const SHARED_FIELDS_MAX: u64 = 1_000;
/// A larger one is read in pieces of a fourth of that.
const PIECES: u64 = 4;
/// How often a snapshot that does not keep still is begun anew.
const TRIES: usize = 5;
/// Changes asked for at once while a large snapshot is brought up to date.
const CHANGES: usize = 100;

/// Connections for answers that may be large.
#[derive(Clone)]
pub(super) struct Bulk {
    nodes: Arc<[MultiplexedConnection]>,
    map: Arc<Map>,
    /// Who is to know that the map is out of date.
    inbox: Arc<Inbox>,
    bytes_max: usize,
}

impl Bulk {
    pub fn new(nodes: Vec<MultiplexedConnection>, map: Arc<Map>, inbox: Arc<Inbox>, bytes_max: usize) -> Self {
        Self { nodes: nodes.into(), map, inbox, bytes_max }
    }

    /// The node that has a key.
    fn node(&self, key: &str) -> Result<usize, ReaderError> {
        self.map.node(slot(key.as_bytes())).map_err(|error| self.failed(&error, key))
    }

    /// What an error means; where the slot is another node's, the actor has to know.
    fn failed(&self, error: &RedisError, key: &str) -> ReaderError {
        if error.code() == Some("MOVED") || error.to_string().contains("MOVED") {
            self.inbox.add(|notice| notice.gone = true);
        }
        ReaderError::of(error, key)
    }

    async fn ask(&self, pipeline: &mut Pipeline, key: &str) -> Result<Vec<RedisResult<Value>>, ReaderError> {
        let mut connection = self.nodes[self.node(key)?].clone();
        pipeline.ignore_errors().query_async(&mut connection).await.map_err(|error| self.failed(&error, key))
    }

    async fn ask_one(&self, command: &redis::Cmd, key: &str) -> Result<Value, ReaderError> {
        let mut connection = self.nodes[self.node(key)?].clone();
        command.query_async(&mut connection).await.map_err(|error| self.failed(&error, key))
    }

    /// Proves that this user may read our keys, with those of a tag that is never written.
    pub async fn probe(&self) -> Result<(), ReaderError> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HGET").arg("shasta:{//}:meta").arg("version");
        pipeline.cmd("HLEN").arg("shasta:{//}:snapshot");
        pipeline.cmd("XRANGE").arg("shasta:{//}:delta").arg("-").arg("+").arg("COUNT").arg(1);
        for answer in self.ask(&mut pipeline, "shasta:{//}").await? {
            // Another node may have it: that it is ours to read is all that is asked.
            if let Err(error) = answer
                && !matches!(error.code(), Some("MOVED" | "ASK"))
            {
                return Err(ReaderError::of(&error, "shasta:{//}"));
            }
        }
        Ok(())
    }

    /// The versions of tags, by their meta hashes, in one round trip to each node.
    pub async fn versions(&self, metas: &[String]) -> Result<Vec<Result<StreamId, ReaderError>>, ReaderError> {
        let mut by_node: Vec<(Pipeline, Vec<usize>)> = vec![Default::default(); self.nodes.len()];
        for (nth, meta) in metas.iter().enumerate() {
            let (pipeline, asked) = &mut by_node[self.node(meta)?];
            pipeline.cmd("HGET").arg(meta).arg("version");
            asked.push(nth);
        }
        let mut versions: Vec<_> = metas.iter().map(|_| Ok(StreamId::ZERO)).collect();
        for (pipeline, asked) in by_node.iter_mut().filter(|(_, asked)| !asked.is_empty()) {
            let answers = self.ask(pipeline, &metas[asked[0]]).await?;
            for (nth, answer) in asked.iter().zip(answers) {
                versions[*nth] = match answer {
                    Ok(value) => content::version(&metas[*nth], value),
                    Err(error) => Err(self.failed(&error, &metas[*nth])),
                };
            }
        }
        Ok(versions)
    }

    /// All values of a tag, as they were together at one version.
    ///
    /// # Errors
    /// See [`ReaderError`].
    pub async fn snapshot(&self, keys: &RedisKeys) -> Result<Snapshot, ReaderError> {
        let key = &keys.snapshot;
        for _ in 0..TRIES {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("HLEN").arg(key);
            pipeline.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(64);
            let mut sizes = self.ask(&mut pipeline, key).await?.into_iter();
            let count = |answer: Option<RedisResult<Value>>| match answer {
                Some(Ok(Value::Int(count))) => Ok(count.max(0) as u64),
                Some(Err(error)) => Err(self.failed(&error, key)),
                _ => Ok(0),
            };
            let fields = count(sizes.next())?;
            // Where MEMORY is not allowed, the number of fields has to do.
            let bytes = count(sizes.next()).unwrap_or(0);
            let shared = self.map.is_cluster();
            let bytes_max = if shared { SHARED_BYTES_MAX } else { WHOLE_BYTES_MAX };
            if fields <= if shared { SHARED_FIELDS_MAX } else { WHOLE_FIELDS_MAX } && bytes <= bytes_max {
                return self.whole(keys).await;
            }
            let piece = (bytes_max / PIECES * fields / bytes.max(1)).clamp(1, 1_000);
            if let Some(snapshot) = self.in_pieces(keys, piece).await? {
                return Ok(snapshot);
            }
        }
        Err(ReaderError::Unsettled(super::error::shorten(key)))
    }

    async fn whole(&self, keys: &RedisKeys) -> Result<Snapshot, ReaderError> {
        let mut pipeline = Pipeline::new();
        pipeline.atomic().cmd("HGET").arg(&keys.meta).arg("version").cmd("HGETALL").arg(&keys.snapshot);
        let mut connection = self.nodes[self.node(&keys.meta)?].clone();
        let answer: RedisResult<(Value, Value)> = pipeline.query_async(&mut connection).await;
        let (version, fields) = answer.map_err(|error| self.failed(&error, &keys.snapshot))?;
        let mut snapshot = Snapshot { version: content::version(&keys.meta, version)?, values: BTreeMap::new() };
        let bytes = content::fields(&keys.snapshot, fields, &mut snapshot.values)?;
        self.check_size(&keys.snapshot, bytes)?;
        versioned(snapshot, keys)
    }

    fn check_size(&self, key: &str, bytes: usize) -> Result<(), ReaderError> {
        if bytes > self.bytes_max {
            return Err(ReaderError::TooLarge { key: super::error::shorten(key), bytes_max: self.bytes_max });
        }
        Ok(())
    }

    /// Reads a large snapshot piece by piece while it changes, then applies all changes since the beginning: a value
    /// that was read too early is overwritten, one that was read late is written again. `None` when the stream no
    /// longer holds all of them.
    async fn in_pieces(&self, keys: &RedisKeys, piece: u64) -> Result<Option<Snapshot>, ReaderError> {
        let key = &keys.snapshot;
        let version = self.version(keys).await?;
        let mut snapshot = Snapshot { version, values: BTreeMap::new() };
        let (mut cursor, mut bytes) = ("0".to_owned(), 0);
        loop {
            let mut command = redis::cmd("HSCAN");
            let answer = self.ask_one(command.arg(key).arg(&cursor).arg("COUNT").arg(piece), key).await?;
            let wrong = || ReaderError::foreign(key, "HSCAN does not answer with a cursor and fields");
            let Value::Array(parts) = answer else { return Err(wrong()) };
            let [next, fields]: [Value; 2] = parts.try_into().map_err(|_| wrong())?;
            bytes += content::fields(key, fields, &mut snapshot.values)?;
            self.check_size(key, bytes)?;
            cursor = content::text(next).ok_or_else(wrong)?;
            if cursor == "0" {
                break;
            }
        }
        let goal = self.version(keys).await?;
        let mut chain = Chain::new(version);
        while chain.at() < goal {
            let changes = self.entries(&keys.delta, chain.at(), CHANGES).await?;
            if changes.is_empty() {
                return Ok(None);
            }
            for change in &changes {
                match chain.step(change) {
                    Step::Next(delta) => snapshot.apply(delta),
                    Step::Known => {}
                    Step::Broken(_) => return Ok(None),
                }
            }
        }
        if goal < version {
            return Ok(None);
        }
        versioned(snapshot, keys).map(Some)
    }

    async fn version(&self, keys: &RedisKeys) -> Result<StreamId, ReaderError> {
        let value = self.ask_one(redis::cmd("HGET").arg(&keys.meta).arg("version"), &keys.meta).await?;
        content::version(&keys.meta, value)
    }

    async fn entries(&self, key: &str, from: StreamId, count: usize) -> Result<Vec<Entry>, ReaderError> {
        if from == StreamId::MAX {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("XRANGE");
        command.arg(key).arg(format!("({from}")).arg("+").arg("COUNT").arg(count);
        content::entries(key, self.ask_one(&command, key).await?)
    }

    /// At most `count` changes of a tag that come after `from`, the earliest first.
    ///
    /// # Errors
    /// See [`ReaderError`].
    pub async fn deltas(&self, key: &str, from: StreamId, count: usize) -> Result<Vec<Delta>, ReaderError> {
        let entries = self.entries(key, from, count).await?;
        entries.into_iter().map(|entry| entry.map_err(|(_, problem)| ReaderError::foreign(key, problem))).collect()
    }
}

/// Values without a version were not written by the store.
fn versioned(snapshot: Snapshot, keys: &RedisKeys) -> Result<Snapshot, ReaderError> {
    if snapshot.version == StreamId::ZERO && !snapshot.values.is_empty() {
        return Err(ReaderError::foreign(
            &keys.snapshot,
            format!("it has values, but `{}` has no version", super::error::shorten(&keys.meta)),
        ));
    }
    Ok(snapshot)
}
