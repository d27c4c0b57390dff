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
