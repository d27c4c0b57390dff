//! A cluster that is there already: every broker and Redis are proven reachable before anything starts.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::metadata::MetadataBroker;
use serde_json::{Value, json};

use super::{Cluster, ClusterError, Endpoints, KafkaAccess, admin::Admin, redis_server};
use shasta_reader::{
    address::{Address, NoAddress},
    refusal::Asker,
    topology::{self, Primaries},
};

const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Brokers and a Redis that others run.
pub struct ExternalCluster {
    endpoints: Endpoints,
    brokers: Vec<String>,
}

/// Checks that every broker, named or found, and Redis answer.
///
/// # Errors
/// Which one does not, and why, as far as the clients know; never with a password.
pub fn connect(
    endpoints: Endpoints,
    stop: &dyn Fn() -> bool,
    progress: &dyn Fn(&str),
) -> Result<ExternalCluster, ClusterError> {
    check_redis(&endpoints)?;
    progress(&format!("Redis answers at {}", endpoints.redis_shown()));
    let mut found = BTreeSet::new();
    for address in &endpoints.kafka.bootstrap {
        found.extend(check_broker(&endpoints.kafka, address, "", stop)?);
    }
    for address in found.iter().filter(|address| !endpoints.kafka.bootstrap.contains(address)) {
        let advice =
            "; the other brokers name it as one of theirs, so its advertised listener must be reachable from here";
        check_broker(&endpoints.kafka, address, advice, stop)?;
    }
    progress(&format!("{} brokers answer: {}", found.len(), Vec::from_iter(found.iter().cloned()).join(", ")));
    Ok(ExternalCluster { endpoints, brokers: found.into_iter().collect() })
}

/// Asks one broker for the addresses of all.
fn check_broker(
    access: &KafkaAccess,
    address: &str,
    advice: &str,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<String>, ClusterError> {
    let unreachable = |problem: String| ClusterError::Unreachable {
        address: address.to_owned(),
        problem: format!("{problem}{advice}"),
    };
    let at: Address = address.parse().map_err(|error: NoAddress| unreachable(error.to_string()))?;
    at.connect(CONNECT_MAX).map_err(|error| unreachable(error.told()))?;
    let admin =
        Admin::connect(&KafkaAccess { bootstrap: vec![address.to_owned()], security: access.security.clone() })?;
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        if stop() {
            return Err(ClusterError::Interrupted);
        }
        match admin.metadata(Duration::from_millis(100)) {
            Ok(found) => return Ok(found.brokers().iter().map(announced).collect()),
            Err(error) => {
                if let Some(problem) = admin.refusal(address) {
                    return Err(ClusterError::Unreachable { address: address.to_owned(), problem });
                }
                if Instant::now() > deadline {
                    let reason = admin.readable_reason().unwrap_or_else(|| error.to_string());
                    return Err(unreachable(format!(
                        "it accepts connections but does not answer as a Kafka broker ({reason})"
                    )));
                }
            }
        }
    }
}

fn check_redis(endpoints: &Endpoints) -> Result<(), ClusterError> {
    let problem = |problem: String| ClusterError::Redis { address: endpoints.redis_shown(), problem };
    let seeds = endpoints.redis().map_err(|error| problem(error.to_string()))?;
    let ping = || {
        let mut primaries = Primaries::connect(seeds.clone(), CONNECT_MAX)?;
        (0..primaries.len()).try_for_each(|index| redis::cmd("PING").exec(primaries.node(index)?))
    };
    let Err(error) = ping() else { return Ok(()) };
    let refusal = seeds.refusal_of(&error).map(|refusal| refusal.told(Asker::Redis));
    Err(problem(refusal.unwrap_or_else(|| topology::told(&error, seeds.is_tls()))))
}

/// Where a broker says that it is found.
fn announced(broker: &MetadataBroker) -> String {
    Address { host: broker.host().to_owned(), port: u16::try_from(broker.port()).unwrap_or(0) }.to_string()
}

impl Cluster for ExternalCluster {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn substrate(&self) -> &'static str {
        "external"
    }

    fn processes(&self) -> Vec<(String, u32)> {
        vec![]
    }

    fn ended(&mut self) -> Result<Vec<String>, ClusterError> {
        Ok(Vec::new())
    }

    fn settings(&self) -> Value {
        let brokers = Admin::connect(&self.endpoints.kafka).and_then(|admin| {
            let id =
                admin.metadata(ANSWER_MAX).ok().and_then(|found| found.brokers().first().map(|broker| broker.id()));
            admin.broker_settings(id.unwrap_or(1))
        });
        let brokers = match brokers {
            Ok(described) => {
                let shown = described.into_values().filter(|entry| !entry.is_sensitive);
                Value::Object(shown.map(|entry| (entry.name, json!(entry.value))).collect())
            }
            // Describing a broker needs a right of its own, which a measuring user may lack.
            Err(error) => json!({ "error": error.to_string() }),
        };
        json!({ "addresses": self.brokers, "first_broker": brokers, "redis": redis_server::described(&self.endpoints.redis_url) })
    }

    fn failover_redis(&mut self) -> Result<String, ClusterError> {
        let problem = "this run did not start it, so it does not kill any of it".to_owned();
        Err(ClusterError::Redis { address: self.endpoints.redis_shown(), problem })
    }

    fn keep(&mut self) -> Result<String, ClusterError> {
        Ok("nothing to end: this run did not start the cluster".to_owned())
    }
}

#[cfg(test)]
mod server_tests {
    use std::net::TcpListener;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::{cluster::TemporaryNodes, variant::RedisMode};

    /// A port below those that anything here is given: nothing listens there.
    const CLOSED: &str = "127.0.0.1:1";

    fn problem(bootstrap: &str, redis_url: String) -> String {
        let kafka = KafkaAccess::plaintext(bootstrap.split(',').map(str::to_owned).collect());
        connect(Endpoints { kafka, redis_url }, &|| false, &|_| ()).err().unwrap().to_string()
    }

    #[test]
    fn a_redis_that_does_not_let_us_in_says_why_without_the_password() {
        let redis = TemporaryNodes::new(RedisMode::Single, &[]);
        redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("right").exec(&mut redis.node(0)).unwrap();
        let text = problem(CLOSED, redis.url());
        assert!(text.contains("only clients that log in") && text.contains("SHASTA_REDIS"), "{text}");
        let text = problem(CLOSED, format!("redis://:wr0ng@{}", redis.address(0)));
        assert!(text.contains("wrong user name or password") && !text.contains("wr0ng"), "{text}");
        let text = problem(CLOSED, format!("redis://{CLOSED}"));
        assert!(text.contains("nothing listens there"), "{text}");
    }

    #[test]
    fn a_redis_that_demands_tls_is_told_apart() {
        // Redis behind TLS hangs up on plain text.
        let tls = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tls.local_addr().unwrap().port();
        std::thread::spawn(move || tls.incoming().for_each(drop));
        let text = problem(CLOSED, format!("redis://127.0.0.1:{port}"));
        assert!(text.contains("rediss://"), "{text}");
    }

    #[test]
    fn a_broker_that_cannot_be_reached_is_named() {
        let redis = TemporaryNodes::new(RedisMode::Single, &[]);
        let redis_url = redis.url();
        let text = problem(CLOSED, redis_url.clone());
        assert!(text.contains(CLOSED) && text.contains("refused"), "{text}");

        let brokers = MockCluster::new(2).unwrap();
        let all = brokers.bootstrap_servers();
        let kafka = KafkaAccess::plaintext(all.split(',').map(str::to_owned).collect());
        let endpoints = Endpoints { kafka, redis_url };
        assert_eq!(connect(endpoints.clone(), &|| false, &|_| ()).unwrap().brokers.len(), 2);
        // One of the named ones up, the other not.
        let text = problem(&format!("{all},{CLOSED}"), endpoints.redis_url);
        assert!(text.contains(CLOSED), "{text}");
    }

    #[test]
    fn a_port_that_is_no_broker_is_named_and_the_wait_can_be_stopped() {
        let redis = TemporaryNodes::new(RedisMode::Single, &[]);
        let address = redis.address(0).to_string();
        let access = KafkaAccess::plaintext(vec![address.clone()]);
        let started = Instant::now();
        let stop = || started.elapsed() > Duration::from_millis(300);
        assert!(matches!(check_broker(&access, &address, "", &stop), Err(ClusterError::Interrupted)));
    }
}
