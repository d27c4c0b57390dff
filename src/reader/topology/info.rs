//! What Redis says of itself by INFO, which is there where CONFIG is blocked.

use std::collections::BTreeMap;

use redis::{Connection, RedisResult};

use super::Primaries;

/// The fields of INFO.
pub fn info(node: &mut Connection) -> RedisResult<BTreeMap<String, String>> {
    let text: String = redis::cmd("INFO").query(node)?;
    let field = |line: &str| line.trim_end().split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(text.lines().filter_map(field).collect())
}

/// What Redis has removed to make room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Keys, since its start, all primaries together.
    pub keys: u64,
    /// `maxmemory-policy`.
    pub policy: String,
}

impl Evicted {
    /// Asks all primaries; `None` where one may not be asked.
    pub fn ask(redis: &mut Primaries) -> Option<Self> {
        let mut all = Self::default();
        for index in 0..redis.len() {
            let info = info(redis.node(index).ok()?).ok()?;
            all.keys += info.get("evicted_keys")?.parse::<u64>().ok()?;
            all.policy = info.get("maxmemory_policy").cloned().unwrap_or_default();
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{cluster::TemporaryNodes, reader::topology::Seeds, variant::RedisMode};

    #[test]
    fn evicted_keys_are_counted() {
        let settings = [("maxmemory", "2mb"), ("maxmemory-policy", "allkeys-lru")];
        let nodes = TemporaryNodes::new(RedisMode::Single, &settings);
        let mut redis = Primaries::connect(Seeds::parse(&nodes.url()).unwrap(), Duration::from_secs(5)).unwrap();
        let before = Evicted::ask(&mut redis).unwrap();
        assert_eq!(before, Evicted { keys: 0, policy: "allkeys-lru".to_owned() });
        for key in 0..2_000 {
            redis::cmd("SET").arg(key).arg("v".repeat(1_000)).exec(&mut nodes.node(0)).unwrap();
        }
        assert!(Evicted::ask(&mut redis).unwrap().keys > 0);
    }
}
