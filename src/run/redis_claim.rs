//! Redis before a run: whether it can serve it, whether it holds keys of ours, and the topic's generation.

use super::{RunError, context::REDIS_TIMEOUT};
use crate::{
    cluster::{
        Endpoints,
        redis_preconditions::{self, Fit},
        topic::Topic,
    },
    store,
    store::generation::{self, Generation},
    variant::Variant,
};
use shasta_reader::topology::{self, Address, Evicted, Primaries};

/// What Redis has, and has agreed to, before a run.
pub(super) struct RedisClaim {
    /// The topic's generation.
    pub generation: u64,
    /// Whether it holds keys of ours.
    pub reused: bool,
    /// Keys that it had evicted, where it says so.
    pub evicted: Option<Evicted>,
    /// All nodes that it names.
    pub nodes: Vec<Address>,
    /// What was found in its settings.
    pub remarks: Vec<String>,
}

impl RedisClaim {
    /// Proves that Redis can serve the run, and takes the topic's generation. Keys of ours are refused unless `reuse` says so.
    pub fn take(
        endpoints: &Endpoints,
        (topic, variant): (&Topic, &Variant),
        ends: &[i64],
        (verify, reuse): (bool, bool),
    ) -> Result<Self, RunError> {
        let url = || endpoints.redis_shown();
        let tls = endpoints.redis().is_ok_and(|seeds| seeds.is_tls());
        let refused = |source| RunError::Redis { url: url(), problem: topology::told(&source, tls) };
        let seeds = endpoints.redis().map_err(refused)?;
        let mut redis = Primaries::connect(seeds.clone(), REDIS_TIMEOUT).map_err(refused)?;
        for node in redis.map().nodes() {
            let missing = store::missing(&seeds, node, verify, REDIS_TIMEOUT).map_err(refused)?;
            if let Some(missing) = missing.told(seeds.user()) {
                return Err(RunError::RedisRights { url: url(), missing });
            }
        }
        let found = generation::some_key(&mut redis).map_err(refused)?;
        let reused = found.is_some();
        if let Some(key) = found.filter(|_| !reuse) {
            return Err(RunError::NotEmpty { url: url(), key });
        }
        let Fit { problems, remarks } = redis_preconditions::judge(&mut redis, variant, reused).map_err(refused)?;
        if !problems.is_empty() {
            let problems = problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n");
            return Err(RunError::Unfit { url: url(), problems });
        }
        let generation = Generation::of(topic).claim(&mut redis, topic.created, ends).map_err(refused)?;
        let (evicted, nodes) = (Evicted::ask(&mut redis), redis.known());
        Ok(Self { generation, reused, evicted, nodes, remarks })
    }
}
