//! The generation of a topic: the first half of every stream ID. It grows whenever the topic's offsets begin anew, so
//! that an event of the new topic is never taken for an old one of the same offset.

use redis::{Commands, Connection, RedisResult};

use crate::cluster::topic::Topic;

/// Keys of a topic's generation, and of what was known of the topic when it was last used.
#[derive(Debug)]
pub struct Generation {
    counter: String,
    known: String,
}

impl Generation {
    /// For `topic` of its cluster.
    pub fn of(topic: &Topic) -> Self {
        let Topic { cluster_id, name, .. } = topic;
        Self {
            counter: format!("shasta:generation:{cluster_id}:{name}"),
            known: format!("shasta:topic:{cluster_id}:{name}"),
        }
    }

    /// The topic's generation, one higher than before if the topic is new or not the one that was known.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn claim(&self, redis: &mut Connection, created: bool, end_offsets: &[i64]) -> RedisResult<u64> {
        let known: Vec<i64> = redis.lrange(&self.known, 0, -1)?;
        let at_odds = known.len() != end_offsets.len() || known.iter().zip(end_offsets).any(|(known, end)| end < known);
        let exists: bool = redis.exists(&self.counter)?;
        if created || at_odds || !exists {
            redis.incr::<_, _, ()>(&self.counter, 1)?;
        }
        self.remember(redis, end_offsets)?;
        redis.get(&self.counter)
    }

    /// Keeps the topic's partition count and end offsets, for the next claim.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn remember(&self, redis: &mut Connection, end_offsets: &[i64]) -> RedisResult<()> {
        redis::pipe().atomic().del(&self.known).ignore().rpush(&self.known, end_offsets).ignore().exec(redis)
    }
}

/// Some key of a tag that is in this Redis already, if any is.
///
/// # Errors
/// Those of Redis.
pub fn some_key(redis: &mut Connection) -> RedisResult<Option<String>> {
    let mut keys =
        redis.scan_options::<String>(redis::ScanOptions::default().with_pattern("shasta:{*").with_count(10_000))?;
    keys.next().transpose()
}
