//! Free ports for the children of a local cluster.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// The ports of one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) controller: u16,
}

/// Ports that are bound together, so that all differ, and released together when dropped. Until the children bind
/// them, others may: a start then begins again on new ones.
pub(super) struct Held {
    /// Those of all nodes, in order of their ids.
    pub(super) nodes: Vec<Ports>,
    pub(super) redis: u16,
    _sockets: Vec<TcpListener>,
}

impl Held {
    pub(super) fn choose(nodes: usize) -> io::Result<Self> {
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = (0..2 * nodes + 1).map(bind).collect::<io::Result<Vec<_>>>()?;
        let ports = sockets.iter().map(|s| Ok(s.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        let redis = ports[2 * nodes];
        let nodes = (0..nodes).map(|i| Ports { client: ports[2 * i], controller: ports[2 * i + 1] }).collect();
        Ok(Self { nodes, redis, _sockets: sockets })
    }
}
