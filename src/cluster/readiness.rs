//! Whether brokers and Redis that were just started answer yet.

use std::{
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::{ClusterError, KafkaAccess, admin::Admin, ports::Ports, redis_nodes::RedisNodes};

/// How long so many brokers may take until they answer: they start at the same time, on cores that others may keep busy.
pub(super) fn ready_max(brokers: usize) -> Duration {
    Duration::from_secs(40 * brokers.max(3) as u64)
}

/// What does not answer yet; nothing when all do. `admin` is there from the first answer on, unless there are no brokers.
/// Returns within 100 ms, so that the caller can be stopped.
pub(super) fn not_ready(
    nodes: &[Ports],
    kafka: &KafkaAccess,
    redis: &mut RedisNodes,
    admin: &mut Option<Admin>,
) -> Result<Option<String>, ClusterError> {
    const LOOK: Duration = Duration::from_millis(50);
    if admin.is_none() {
        // A plain connection first: a Kafka client that starts too early backs off.
        let closed =
            |node: &Ports| TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, node.client).into(), LOOK).is_err();
        if let Some(i) = nodes.iter().position(closed) {
            return Ok(Some(format!("broker {} does not listen", i + 1)));
        }
        if let Some(missing) = redis.not_ready(LOOK) {
            return Ok(Some(missing));
        }
        if nodes.is_empty() {
            return Ok(None);
        }
        *admin = Some(Admin::connect(kafka)?);
    }
    let wanted = nodes.len();
    let seen = admin.as_ref().and_then(|admin| admin.metadata(LOOK).ok()).map_or(0, |found| found.brokers().len());
    Ok((seen < wanted).then(|| format!("{seen} of {wanted} brokers in the metadata")))
}
