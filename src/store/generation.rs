//! The generation of a topic: the first half of every stream ID. It grows whenever the topic's offsets begin anew, so
//! that an event of the new topic is never taken for an old one of the same offset.
//!
//! Tags do not know topics: two topics write to the same keys. So a run needs a generation above that of every other
//! topic in its Redis, or the store would take its events for older ones and skip them all.

use redis::{Commands, RedisResult, ScanOptions, Script};

use crate::cluster::topic::Topic;
use shasta_reader::topology::Primaries;

const COUNTERS: &str = "shasta:generation:";
/// How many keys of Redis one step of a scan looks at.
const SCANNED: usize = 10_000;

/// One above the highest, if there is a reason or another topic is not below. In Redis, so that two runs that start at
/// once do not both increment from the same value.
const CLAIM: &str = "local own, others = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
if ARGV[2] == '1' or own <= others then
  own = math.max(own, others) + 1
  redis.call('SET', KEYS[1], string.format('%.0f', own))
end
return own";

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
        Self { counter: format!("{COUNTERS}{cluster_id}:{name}"), known: format!("shasta:topic:{cluster_id}:{name}") }
    }

    /// The topic's generation: above those of all other topics, and higher than before if the topic is new or not the
    /// one that was known.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn claim(&self, redis: &mut Primaries, created: bool, end_offsets: &[i64]) -> RedisResult<u64> {
        let known: Vec<i64> = redis.of(&self.known)?.lrange(&self.known, 0, -1)?;
        let at_odds = known.len() != end_offsets.len() || known.iter().zip(end_offsets).any(|(known, end)| end < known);
        let others = self.highest_of_others(redis)?;
        let anew = u8::from(created || at_odds);
        let counter = redis.of(&self.counter)?;
        let generation = Script::new(CLAIM).key(&self.counter).arg(others).arg(anew).invoke(counter)?;
        self.remember(redis, end_offsets)?;
        Ok(generation)
    }

    /// The highest generation of any other topic, 0 without one. Walks all keys of Redis, step by step.
    fn highest_of_others(&self, redis: &mut Primaries) -> RedisResult<u64> {
        let mut highest = 0;
        for index in 0..redis.len() {
            let node = redis.node(index)?;
            let options = ScanOptions::default().with_pattern(format!("{COUNTERS}*")).with_count(SCANNED);
            let counters: Vec<String> = node.scan_options::<String>(options)?.collect::<RedisResult<_>>()?;
            for counter in counters.iter().filter(|counter| **counter != self.counter) {
                highest = highest.max(node.get::<_, Option<u64>>(counter)?.unwrap_or(0));
            }
        }
        Ok(highest)
    }

    /// Keeps the topic's partition count and end offsets, for the next claim.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn remember(&self, redis: &mut Primaries, end_offsets: &[i64]) -> RedisResult<()> {
        let node = redis.of(&self.known)?;
        redis::pipe().atomic().del(&self.known).ignore().rpush(&self.known, end_offsets).ignore().exec(node)
    }
}

/// Some key of a tag that is in this Redis already, if any is.
///
/// # Errors
/// Those of Redis.
pub fn some_key(redis: &mut Primaries) -> RedisResult<Option<String>> {
    for index in 0..redis.len() {
        let options = ScanOptions::default().with_pattern("shasta:{*").with_count(SCANNED);
        if let Some(key) = redis.node(index)?.scan_options::<String>(options)?.next() {
            return key.map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod server_tests {
    use super::*;
    use crate::{
        cluster::TemporaryNodes,
        store::{Effect, Settings, Store, Write},
        variant::RedisMode,
    };
    use shasta_model::tag_data::{Identifier, TagData};

    fn topic(name: &str) -> Topic {
        Topic {
            name: name.to_owned(),
            created: false,
            partitions: Vec::new(),
            cluster_id: "c".to_owned(),
            log_append_time: true,
            settings: Default::default(),
            remarks: Vec::new(),
            unprovable: Vec::new(),
        }
    }

    #[test]
    fn a_generation_is_above_those_of_all_other_topics_and_stays_while_nothing_changes() {
        let nodes = TemporaryNodes::new(RedisMode::Single, &[]);
        let client = redis::Client::open(nodes.url()).unwrap();
        let mut plain = client.get_connection().unwrap();
        let mut redis = Primaries::connect((&client).into(), std::time::Duration::from_secs(5)).unwrap();
        let (first, second) = (Generation::of(&topic("first")), Generation::of(&topic("second")));
        assert_eq!(first.claim(&mut redis, true, &[0, 0]).unwrap(), 1);
        assert_eq!(first.claim(&mut redis, false, &[500, 7]).unwrap(), 1, "the same topic, grown");
        assert_eq!(first.claim(&mut redis, false, &[3, 0]).unwrap(), 2, "its offsets began anew");
        assert_eq!(first.claim(&mut redis, false, &[3, 0, 0]).unwrap(), 3, "another number of partitions");

        let write = |generation, offset| {
            let timeout = std::time::Duration::from_secs(5);
            let settings = Settings { generation, run: "r".into(), stream_maxlen: 10, timeout };
            let identifier = Identifier { app_id: "a".into(), tag: "t".into(), scope: "s".into(), name: "n".into() };
            let event = TagData { identifier: Some(identifier), data: vec![1] };
            Store::connect(&client, settings)
                .unwrap()
                .apply(&[Write { event, partition: 0, offset, author: None }])
                .unwrap()
        };
        assert_eq!(write(3, 1_000), [Effect::Applied]);
        // Another topic starts with small offsets, then the first one is used again.
        let newer = second.claim(&mut redis, true, &[0]).unwrap();
        assert_eq!((newer, write(newer, 0)), (4, vec![Effect::Applied]));
        let again = first.claim(&mut redis, false, &[9, 9, 9]).unwrap();
        assert_eq!((again, write(again, 1)), (5, vec![Effect::Applied]));
        // As a Redis of before this rule may hold them: which one wrote last is not known.
        let _: () = plain.set("shasta:generation:c:second", 5).unwrap();
        assert_eq!(first.claim(&mut redis, false, &[9, 9, 9]).unwrap(), 6);
    }
}
