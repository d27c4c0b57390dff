//! The Redis processes of a local cluster: one, a primary with a replica, or a Redis Cluster of three primaries with a
//! replica each, which is put together here, as `redis-cli --cluster create` would.

#[cfg(test)]
mod temporary;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use redis::{Connection, RedisResult};
use serde_json::{Value, json};

#[cfg(test)]
pub(crate) use self::temporary::Temporary;
use super::{
    ClusterError,
    local::Starting,
    ports::RedisPorts,
    redis_server::{self, Part, ping},
};
use crate::{machine::process::Child, variant::RedisMode};
use shasta_reader::topology::SLOTS;

const HOST: &str = "127.0.0.1";
const PRIMARIES: usize = 3;
/// How long a node may take to say or do something while one fails over.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How far a Redis Cluster has come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Apart,
    Met,
    Whole,
}

/// The nodes, in the order in which they were started.
#[derive(Debug)]
pub(super) struct RedisNodes {
    mode: RedisMode,
    ports: Vec<RedisPorts>,
    step: Step,
}

impl RedisNodes {
    /// How many processes a mode takes.
    pub fn count(mode: RedisMode) -> usize {
        match mode {
            RedisMode::Single => 1,
            RedisMode::Replica => 2,
            RedisMode::Cluster => 2 * PRIMARIES,
        }
    }

    pub fn new(mode: RedisMode, ports: Vec<RedisPorts>) -> Self {
        Self { mode, ports, step: Step::Apart }
    }

    /// Names every node, so that whoever is the primary is found.
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.ports.iter().map(|ports| format!("{HOST}:{}", ports.client)).collect();
        format!("redis://{}", nodes.join(","))
    }

    /// Name of a node's process.
    pub fn name(&self, index: usize) -> String {
        if self.mode == RedisMode::Single { "redis".to_owned() } else { format!("redis {}", index + 1) }
    }

    /// Where a node has its files, below the directory of all.
    pub fn dir(&self, index: usize, all: &Path) -> PathBuf {
        all.join(self.name(index).replace(' ', "-"))
    }

    /// Starts all, each in a directory of its own below `dir`.
    pub fn start(&self, starting: &Starting<'_>, dir: &Path) -> Result<Vec<Child>, ClusterError> {
        (0..self.ports.len()).map(|index| self.start_one(index, starting, dir)).collect()
    }

    /// Starts one, with the data that it has there.
    pub fn start_one(&self, index: usize, starting: &Starting<'_>, dir: &Path) -> Result<Child, ClusterError> {
        let (name, ports) = (self.name(index), self.ports[index]);
        let part = match (self.mode, index) {
            (RedisMode::Single, _) | (RedisMode::Replica, 0) => Part::Alone,
            (RedisMode::Replica, _) => Part::ReplicaOf(self.ports[0].client),
            (RedisMode::Cluster, _) => Part::Member { bus_port: ports.bus },
        };
        let dir = self.dir(index, dir);
        let place = redis_server::Place { name: &name, dir: &dir, port: ports.client, part };
        redis_server::start(starting.site, place, &starting.variant.redis, starting.lifetime)
    }

    /// Whether a node takes requests.
    pub fn answers(&self, index: usize, limit: Duration) -> bool {
        self.open(index, limit).is_ok()
    }

    /// What is not ready yet, after having done what could be done about it; nothing when all is.
    pub fn not_ready(&mut self, limit: Duration) -> Option<String> {
        let mut connections = Vec::new();
        for index in 0..self.ports.len() {
            match self.open(index, limit) {
                Ok(connection) => connections.push(connection),
                Err(error) => return Some(format!("{} does not answer: {error}", self.name(index))),
            }
        }
        let ready = match self.mode {
            RedisMode::Single => Ok(true),
            RedisMode::Replica => is_linked(&mut connections[1]),
            RedisMode::Cluster => self.join(&mut connections),
        };
        match ready {
            Ok(true) => None,
            Ok(false) => Some("the nodes of Redis do not all know each other".to_owned()),
            Err(error) => Some(format!("a node of Redis refuses: {error}")),
        }
    }

    fn open(&self, index: usize, limit: Duration) -> RedisResult<Connection> {
        ping(&format!("redis://{HOST}:{}", self.ports[index].client), limit)
    }

    /// One step further towards a cluster; returns whether it is one.
    fn join(&mut self, nodes: &mut [Connection]) -> RedisResult<bool> {
        match self.step {
            Step::Apart => self.meet(nodes)?,
            Step::Met => {
                for node in nodes.iter_mut() {
                    if !cluster_info(node)?.contains(&format!("cluster_known_nodes:{}", self.ports.len())) {
                        return Ok(false);
                    }
                }
                let (primaries, replicas) = nodes.split_at_mut(PRIMARIES);
                for (primary, replica) in primaries.iter_mut().zip(replicas) {
                    let id: String = redis::cmd("CLUSTER").arg("MYID").query(primary)?;
                    redis::cmd("CLUSTER").arg("REPLICATE").arg(id).exec(replica)?;
                }
                self.step = Step::Whole;
            }
            Step::Whole => {
                for (index, node) in nodes.iter_mut().enumerate() {
                    let linked = index < PRIMARIES || is_linked(node)?;
                    if !linked || !cluster_info(node)?.contains("cluster_state:ok") || !knows_all(node)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn meet(&mut self, nodes: &mut [Connection]) -> RedisResult<()> {
        for (index, node) in nodes.iter_mut().enumerate() {
            // Epochs that differ from the beginning settle who has what without a vote.
            redis::cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(index + 1).exec(node)?;
            if index < PRIMARIES {
                let bound = |primary: usize| usize::from(SLOTS) * primary / PRIMARIES;
                let (first, next) = (bound(index), bound(index + 1));
                redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(next - 1).exec(node)?;
            }
        }
        for ports in &self.ports[1..] {
            redis::cmd("CLUSTER").arg("MEET").arg(HOST).arg(ports.client).arg(ports.bus).exec(&mut nodes[0])?;
        }
        self.step = Step::Met;
        Ok(())
    }

    /// Kills a primary and has its replica take its place, without waiting for the others to find out. `kill` ends the
    /// process of that name. Returns the name.
    pub fn fail_over(&self, kill: impl FnOnce(&str) -> Result<(), ClusterError>) -> Result<String, ClusterError> {
        let refused = |problem: String| ClusterError::Redis { address: super::redacted(&self.url()), problem };
        if self.mode == RedisMode::Single {
            let advice = "there is nothing to fail over to; give --redis-mode replica or --redis-mode cluster";
            return Err(refused(advice.to_owned()));
        }
        let pair = self.pair().map_err(|error| refused(error.to_string()))?;
        let (primary, replica) = pair.ok_or_else(|| refused("no primary has a replica any more".to_owned()))?;
        let name = self.name(primary);
        kill(&name)?;
        self.promote(replica).map_err(|error| refused(format!("{} was not promoted: {error}", self.name(replica))))?;
        Ok(name)
    }

    /// A primary, and a replica of it that is up to date as far as it knows. Nodes that are gone are passed over.
    fn pair(&self) -> RedisResult<Option<(usize, usize)>> {
        for index in 0..self.ports.len() {
            let Ok(mut node) = self.open(index, ANSWER_MAX) else { continue };
            let info = replication(&mut node)?;
            let field =
                |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
            if field("role") == Some("slave") && field("master_link_status") == Some("up") {
                let port = field("master_port").and_then(|port| port.parse::<u16>().ok());
                let primary = self.ports.iter().position(|ports| Some(ports.client) == port);
                if let Some(primary) = primary {
                    return Ok(Some((primary, index)));
                }
            }
        }
        Ok(None)
    }

    fn promote(&self, replica: usize) -> RedisResult<()> {
        let mut node = self.open(replica, ANSWER_MAX)?;
        match self.mode {
            RedisMode::Cluster => redis::cmd("CLUSTER").arg("FAILOVER").arg("TAKEOVER").exec(&mut node)?,
            _ => redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut node)?,
        }
        let started = std::time::Instant::now();
        while !replication(&mut node)?.contains("role:master") {
            if started.elapsed() > ANSWER_MAX {
                return Err(redis::RedisError::from((redis::ErrorKind::Client, "it is still a replica")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Each node as it is, for the manifest.
    pub fn described(&self) -> Value {
        let node = |index: usize| {
            let address = format!("{HOST}:{}", self.ports[index].client);
            let role = self.open(index, ANSWER_MAX).and_then(|mut node| replication(&mut node));
            let role = match role {
                Ok(info) if info.contains("role:master") => "primary".to_owned(),
                Ok(_) => "replica".to_owned(),
                Err(error) => error.to_string(),
            };
            json!({ "name": self.name(index), "address": address, "role": role })
        };
        (0..self.ports.len()).map(node).collect()
    }
}

fn replication(node: &mut Connection) -> RedisResult<String> {
    redis::cmd("INFO").arg("replication").query(node)
}

fn is_linked(node: &mut Connection) -> RedisResult<bool> {
    Ok(replication(node)?.contains("master_link_status:up"))
}

fn cluster_info(node: &mut Connection) -> RedisResult<String> {
    redis::cmd("CLUSTER").arg("INFO").query(node)
}

/// Whether a node knows a primary and a replica of each shard.
fn knows_all(node: &mut Connection) -> RedisResult<bool> {
    let ranges: Vec<Vec<redis::Value>> = redis::cmd("CLUSTER").arg("SLOTS").query(node)?;
    Ok(ranges.len() == PRIMARIES && ranges.iter().all(|range| range.len() == 4))
}
