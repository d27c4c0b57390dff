//! Free ports for brokers and a Redis that are about to be started.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// The ports of one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) controller: u16,
    /// The others are listened on only where a network stands before the broker.
    pub(super) producers: u16,
    pub(super) workers: u16,
    pub(super) internal: u16,
}

/// Ports of one node.
const PORTS: usize = 5;

impl Ports {
    /// From the first five.
    pub(super) fn new(ports: &[u16]) -> Self {
        Self { client: ports[0], controller: ports[1], producers: ports[2], workers: ports[3], internal: ports[4] }
    }
}

/// The ports of one Redis; the second is for the other nodes of a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct RedisPorts {
    pub(super) client: u16,
    pub(super) bus: u16,
}

/// Ports that are bound together, so that all differ, and released together when dropped. Until the children bind
/// them, others may: a start then begins again on new ones.
pub(super) struct Held {
    /// Those of all nodes, in order of their ids.
    pub(super) nodes: Vec<Ports>,
    pub(super) redis: Vec<RedisPorts>,
    _sockets: Vec<TcpListener>,
}

impl Held {
    /// Ports for so many brokers and so many Redis.
    pub(super) fn choose(nodes: usize, redis: usize) -> io::Result<Self> {
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = (0..PORTS * nodes + 2 * redis).map(bind).collect::<io::Result<Vec<_>>>()?;
        let ports = sockets.iter().map(|s| Ok(s.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        let (nodes, redis) = ports.split_at(PORTS * nodes);
        let nodes = nodes.chunks_exact(PORTS).map(Ports::new).collect();
        let redis = redis.chunks_exact(2).map(|pair| RedisPorts { client: pair[0], bus: pair[1] }).collect();
        Ok(Self { nodes, redis, _sockets: sockets })
    }
}
