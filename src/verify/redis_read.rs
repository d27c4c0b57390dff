//! Redis read back, one node or a cluster: a tag's version, its stream page by page, its snapshot piece by piece. What
//! comes is taken as bytes, since anyone may have written it.

use std::time::{Duration, Instant};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};

use super::VerifyError;
use shasta_model::tag_data::RedisKeys;
use shasta_reader::{
    StreamId,
    topology::{Primaries, Seeds, told},
};

/// Stream entries, or names of a snapshot, asked for at once. Memory: this times the size of an event.
const PAGE: usize = 128;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a Redis that is away, loading or failing over is tried again.
const AWAY_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// A page of a stream: IDs, each with its fields.
pub(super) type Entries = Vec<(String, Vec<Field>)>;
/// Name and value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// What is under one of our keys.
pub(super) enum Found<T> {
    Ours(T),
    /// It is of another type than the store's.
    WrongType,
}

pub(super) struct Stored {
    seeds: Seeds,
    primaries: Option<Primaries>,
    shown: String,
}

impl Stored {
    /// `shown` is the URL without a password.
    pub fn new(url: &str, shown: String) -> Result<Self, VerifyError> {
        match Seeds::parse(url) {
            Ok(seeds) => Ok(Self { seeds, primaries: None, shown }),
            Err(error) => Err(VerifyError::Redis { url: shown, problem: error.to_string() }),
        }
    }

    /// The tag's version, as it is written; `None` where there is none.
    pub fn version(&mut self, keys: &RedisKeys) -> Result<Found<Option<Vec<u8>>>, VerifyError> {
        self.ask(&keys.meta, redis::cmd("HGET").arg(&keys.meta).arg("version"))
    }

    /// How many entries the stream has.
    pub fn length(&mut self, keys: &RedisKeys) -> Result<Found<u64>, VerifyError> {
        self.ask(&keys.delta, redis::cmd("XLEN").arg(&keys.delta))
    }

    /// The entries after `after`, the earliest first; none where the stream ends there.
    pub fn entries(&mut self, keys: &RedisKeys, after: StreamId) -> Result<Found<Entries>, VerifyError> {
        if after == StreamId::MAX {
            return Ok(Found::Ours(Vec::new()));
        }
        let from = format!("({after}");
        self.ask(&keys.delta, redis::cmd("XRANGE").arg(&keys.delta).arg(from).arg("+").arg("COUNT").arg(PAGE))
    }

    /// A piece of the snapshot, and the cursor of the next one, `0` after the last. A name may come twice.
    pub fn values(&mut self, keys: &RedisKeys, cursor: &str) -> Result<Found<(String, Vec<Field>)>, VerifyError> {
        self.ask(&keys.snapshot, redis::cmd("HSCAN").arg(&keys.snapshot).arg(cursor).arg("COUNT").arg(PAGE))
    }

    fn ask<T: FromRedisValue>(&mut self, key: &str, command: &Cmd) -> Result<Found<T>, VerifyError> {
        let deadline = Instant::now() + AWAY_MAX;
        loop {
            match self.try_once(key, command) {
                Ok(answer) => return Ok(Found::Ours(answer)),
                Err(error) if error.code() == Some("WRONGTYPE") => return Ok(Found::WrongType),
                Err(error) if passes(&error) && Instant::now() < deadline => {
                    // Replies that are still to come belong to nobody, and another node may be the primary now.
                    self.primaries = None;
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    let problem = told(&error, self.seeds.is_tls());
                    return Err(VerifyError::Redis { url: self.shown.clone(), problem });
                }
            }
        }
    }

    fn try_once<T: FromRedisValue>(&mut self, key: &str, command: &Cmd) -> RedisResult<T> {
        let primaries = match &mut self.primaries {
            Some(primaries) => primaries,
            empty => empty.insert(Primaries::connect(self.seeds.clone(), TIMEOUT)?),
        };
        command.query(primaries.of(key)?)
    }
}

/// Whether the same may succeed a little later, there or at another node.
fn passes(error: &RedisError) -> bool {
    use ServerErrorKind as S;
    let server = [S::BusyLoading, S::TryAgain, S::ClusterDown, S::MasterDown, S::ReadOnly, S::Moved, S::Ask];
    server.map(ErrorKind::Server).contains(&error.kind()) || error.is_io_error() || error.is_timeout()
}

#[cfg(test)]
mod server_tests {
    use super::*;
    use crate::{
        cluster::TemporaryNodes,
        store::{Settings, Store, Write},
        variant::RedisMode,
    };
    use shasta_model::tag_data::{Identifier, TagData};

    #[test]
    fn every_shard_is_read_back_also_after_a_failover() {
        let mut redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
        let of =
            |tag: i64| Identifier { app_id: "a".into(), tag: tag.to_string(), scope: "s".into(), name: "n".into() };
        let write = |tag: i64| {
            let event = TagData { identifier: Some(of(tag)), data: b"x".to_vec() };
            Write { event, partition: 0, offset: tag, author: None }
        };
        let settings = Settings { generation: 1, run: "r".into(), stream_maxlen: 9, timeout: Duration::from_secs(20) };
        let mut store = Store::connect(Seeds::parse(&redis.url()).unwrap(), settings).unwrap();
        store.apply(&(0..30).map(write).collect::<Vec<_>>()).unwrap();
        redis.settle();
        // Of the URL's one node it is known by then that it is not alone.
        let first = format!("redis://{}", redis.address(0));
        let known = Primaries::connect(Seeds::parse(&first).unwrap(), TIMEOUT).unwrap().known();
        let url = Seeds::url_with(&first, &known).unwrap();
        let mut stored = Stored::new(&url, url.clone()).unwrap();
        let whole = |stored: &mut Stored| {
            for tag in 0..30 {
                let keys = of(tag).redis_keys();
                let Ok(Found::Ours(Some(version))) = stored.version(&keys) else { panic!("tag {tag} has no version") };
                assert_eq!(version, format!("1-{}", tag + 1).into_bytes());
                assert!(matches!(stored.length(&keys), Ok(Found::Ours(1))));
                assert!(
                    matches!(stored.entries(&keys, StreamId::ZERO), Ok(Found::Ours(entries)) if entries.len() == 1)
                );
                assert!(matches!(stored.values(&keys, "0"), Ok(Found::Ours((_, values))) if values.len() == 1));
            }
        };
        whole(&mut stored);
        redis.fail_over();
        whole(&mut stored);
        // The first node is gone for good, and whoever comes now finds the others.
        whole(&mut Stored::new(&url, url.clone()).unwrap());
    }

    #[test]
    fn the_replica_of_a_primary_that_is_gone_is_known() {
        let mut redis = TemporaryNodes::new(RedisMode::Replica, &[]);
        redis.settle();
        let first = format!("redis://{}", redis.address(0));
        let known = Primaries::connect(Seeds::parse(&first).unwrap(), TIMEOUT).unwrap().known();
        assert_eq!(known, [redis.address(0), redis.address(1)]);
        redis.fail_over();
        let alone = Primaries::connect(Seeds::parse(&first).unwrap(), TIMEOUT);
        assert!(alone.is_err(), "the URL's own node is gone");
        let url = Seeds::url_with(&first, &known).unwrap();
        assert_eq!(Primaries::connect(Seeds::parse(&url).unwrap(), TIMEOUT).unwrap().map().nodes(), [redis.address(1)]);
    }
}
