//! No cluster at all, for runs that measure what the harness alone costs.

use serde_json::Value;

use super::{Cluster, ClusterError, Endpoints, KafkaAccess};

/// What a run has instead of brokers and Redis.
pub(super) struct Nothing {
    endpoints: Endpoints,
}

impl Nothing {
    pub fn new() -> Self {
        // A name that nobody looks up.
        Self {
            endpoints: Endpoints { kafka: KafkaAccess::plaintext(vec!["null".to_owned()]), redis_url: String::new() },
        }
    }
}

impl Cluster for Nothing {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn substrate(&self) -> &'static str {
        "null"
    }

    fn processes(&self) -> Vec<(String, u32)> {
        Vec::new()
    }

    fn ended(&mut self) -> Result<Vec<String>, ClusterError> {
        Ok(Vec::new())
    }

    fn settings(&self) -> Value {
        Value::Null
    }

    fn failover_redis(&mut self) -> Result<String, ClusterError> {
        Err(ClusterError::Gone { name: "redis".to_owned() })
    }

    fn keep(&mut self) -> Result<String, ClusterError> {
        Ok("true".to_owned())
    }
}
