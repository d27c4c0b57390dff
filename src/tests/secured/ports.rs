//! Free ports of 127.0.0.1 that stay ours until a child listens on them, as the library's own clusters hold theirs.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

pub struct Ports {
    pub numbers: Vec<u16>,
    _held: Vec<TcpSocket>,
}

impl Ports {
    pub fn choose(count: usize) -> Self {
        let bind = |_| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
            socket
        };
        let held: Vec<_> = (0..count).map(bind).collect();
        let numbers = held.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        Self { numbers, _held: held }
    }
}
