//! Free ports for brokers and a Redis that are about to be started.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::TcpSocket;

use super::{ClusterError, error::file_error};

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

/// Ports that are bound, and listened on by nobody here. While this lives, Linux gives none of them to whoever asks for a free one or
/// opens a connection, but lets a child listen on the one that it asks for, since both say that addresses may be used again
/// (`SO_REUSEADDR`, as servers do): a port belongs to its child before the child is there, and while it is started again.
#[derive(Debug)]
pub(super) struct Held {
    /// Those of all nodes, in order of their ids.
    pub(super) nodes: Vec<Ports>,
    pub(super) redis: Vec<RedisPorts>,
    _sockets: Vec<TcpSocket>,
}

impl Held {
    /// Ports for so many brokers and so many Redis.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(super) fn choose(nodes: usize, redis: usize) -> Result<Self, ClusterError> {
        Self::bind(nodes, redis).map_err(file_error("127.0.0.1".as_ref(), "bound to free ports"))
    }

    fn bind(nodes: usize, redis: usize) -> io::Result<Self> {
        let bind = |_| {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map(|()| socket)
        };
        let sockets = (0..PORTS * nodes + 2 * redis).map(bind).collect::<io::Result<Vec<_>>>()?;
        let ports = sockets.iter().map(|s| Ok(s.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        let (nodes, redis) = ports.split_at(PORTS * nodes);
        let nodes = nodes.chunks_exact(PORTS).map(Ports::new).collect();
        let redis = redis.chunks_exact(2).map(|pair| RedisPorts { client: pair[0], bus: pair[1] }).collect();
        Ok(Self { nodes, redis, _sockets: sockets })
    }

    /// Where clients of the brokers begin.
    pub(super) fn bootstrap(&self) -> Vec<String> {
        self.nodes.iter().map(|ports| format!("127.0.0.1:{}", ports.client)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn a_held_port_is_given_to_nobody_but_who_asks_for_it() {
        let held = Held::choose(3, 6).unwrap();
        let of_nodes = held.nodes.iter().flat_map(|p| [p.client, p.controller, p.producers, p.workers, p.internal]);
        let ports: HashSet<u16> = of_nodes.chain(held.redis.iter().flat_map(|p| [p.client, p.bus])).collect();
        assert_eq!(ports.len(), 3 * PORTS + 2 * 6);
        let child = TcpListener::bind((Ipv4Addr::LOCALHOST, held.nodes[0].client)).unwrap();
        let port = |address: io::Result<SocketAddr>| address.unwrap().port();
        // Of some 14,000 that the system gives to listeners, and as many to connections.
        let listeners: Vec<_> = (0..2000).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        assert!(listeners.iter().all(|listener| !ports.contains(&port(listener.local_addr()))));
        for _ in 0..2000 {
            let (near, far) = (TcpStream::connect(child.local_addr().unwrap()).unwrap(), child.accept().unwrap());
            assert!(!ports.contains(&port(near.local_addr())), "{far:?}");
        }
        // Nobody listens on the others, and nobody is told so late.
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, held.nodes[1].client)).is_err());
    }
}
