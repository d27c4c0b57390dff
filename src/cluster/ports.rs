//! Free ports for brokers and a Redis that are about to be started.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use super::broker::NODES;

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
    pub(super) nodes: [Ports; NODES],
    pub(super) redis: u16,
    /// Three more of each node, for brokers that listen for more than clients and each other.
    pub(super) more: [[u16; 3]; NODES],
    _sockets: Vec<TcpListener>,
}

impl Held {
    pub(super) fn choose() -> io::Result<Self> {
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = (0..5 * NODES + 1).map(bind).collect::<io::Result<Vec<_>>>()?;
        let ports = sockets.iter().map(|s| Ok(s.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        let nodes = std::array::from_fn(|i| Ports { client: ports[5 * i], controller: ports[5 * i + 1] });
        let more = std::array::from_fn(|i| [ports[5 * i + 2], ports[5 * i + 3], ports[5 * i + 4]]);
        Ok(Self { nodes, redis: ports[5 * NODES], more, _sockets: sockets })
    }
}
