//! What each node listens on, and where others find it: at its own ports, or at those of the network before them.

use std::net::{Ipv4Addr, SocketAddr};

use super::ports::{Held, Ports};
use crate::{
    cluster::network::{Broker, Network, Servers},
    variant::fault::Scope,
};

/// One listener of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener {
    name: &'static str,
    port: u16,
    /// The port that others are told.
    found_at: u16,
}

/// The listeners of one node.
#[derive(Debug, Clone)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// The one that brokers use among themselves.
    between: &'static str,
    advertises_controller: bool,
}

/// The controllers' listener.
const CONTROLLER: &str = "CONTROLLER";

/// The listeners of all nodes, in order.
pub(super) fn of_nodes(nodes: &[Ports], network: Option<&Network>) -> Vec<Listeners> {
    let through = network.map(Network::brokers).unwrap_or_default();
    nodes.iter().enumerate().map(|(i, ports)| of_node(*ports, through.get(i))).collect()
}

fn of_node(ports: Ports, through: Option<&Broker<SocketAddr>>) -> Listeners {
    let Ports { client, controller, producers, workers, internal } = ports;
    let straight = |name, port| Listener { name, port, found_at: port };
    let Some(through) = through else {
        let all = vec![straight("CLIENT", client), straight(CONTROLLER, controller)];
        return Listeners { all, between: "CLIENT", advertises_controller: false };
    };
    let proxied = |name, port, address: SocketAddr| Listener { name, port, found_at: address.port() };
    let all = vec![
        straight("CLIENT", client),
        proxied("PRODUCERS", producers, through.producers),
        proxied("WORKERS", workers, through.workers),
        proxied("INTERNAL", internal, through.internal),
        proxied(CONTROLLER, controller, through.controller),
    ];
    // A leader of the quorum tells the others where it is: without this it would be the way around the network.
    Listeners { all, between: "INTERNAL", advertises_controller: true }
}

impl Listeners {
    /// Their properties of a broker, but for the quorum's voters.
    pub(super) fn properties(&self) -> [(&'static str, String); 5] {
        let list = |port: fn(&Listener) -> u16, with_controller: bool| {
            let listed = self.all.iter().filter(|listener| with_controller || listener.name != CONTROLLER);
            listed.map(|l| format!("{}://127.0.0.1:{}", l.name, port(l))).collect::<Vec<_>>().join(",")
        };
        let protocols = self.all.iter().map(|l| format!("{}:PLAINTEXT", l.name)).collect::<Vec<_>>().join(",");
        [
            ("controller.listener.names", CONTROLLER.to_owned()),
            ("inter.broker.listener.name", self.between.to_owned()),
            ("listener.security.protocol.map", protocols),
            ("listeners", list(|l| l.port, true)),
            ("advertised.listeners", list(|l| l.found_at, self.advertises_controller)),
        ]
    }

    /// Where the others find its controller.
    pub(super) fn controller(&self) -> u16 {
        self.all.iter().find(|listener| listener.name == CONTROLLER).map_or(0, |listener| listener.found_at)
    }
}

/// Where the children of a cluster will listen, as far as a network of this scope wants to know.
pub(super) fn servers(held: &Held, scope: Scope) -> Servers {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let broker = |ports: &Ports| Broker {
        producers: at(ports.producers),
        workers: at(ports.workers),
        internal: at(ports.internal),
        controller: at(ports.controller),
    };
    let brokers = if scope == Scope::Whole { held.nodes.iter().map(broker).collect() } else { vec![] };
    // A network stands before a Redis alone: the nodes of several tell clients of each other.
    Servers { redis: at(held.redis[0].client), brokers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> [Ports; 3] {
        [10, 20, 30].map(|i| Ports::new(&[i, i + 1, i + 2, i + 3, i + 4]))
    }

    #[test]
    fn without_a_network_a_node_has_two_listeners_and_is_found_there() {
        let first = &of_nodes(&nodes(), None)[0];
        let listeners = "CLIENT://127.0.0.1:10,CONTROLLER://127.0.0.1:11";
        let expected =
            ["CONTROLLER", "CLIENT", "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT", listeners, "CLIENT://127.0.0.1:10"];
        assert_eq!(first.properties().map(|(_, value)| value), expected);
        assert_eq!(first.controller(), 11);
    }

    #[test]
    fn behind_a_network_all_but_the_straight_listener_are_found_at_its_ports() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let through = Broker { producers: at(91), workers: at(92), internal: at(93), controller: at(94) };
        let node = of_node(nodes()[1], Some(&through));
        let of = |name| node.properties().into_iter().find(|(own, _)| *own == name).unwrap().1;
        assert_eq!(of("inter.broker.listener.name"), "INTERNAL");
        let ports =
            |text: String| text.split(',').map(|l| l.rsplit(':').next().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(ports(of("listeners")), ["20", "22", "23", "24", "21"]);
        assert_eq!(ports(of("advertised.listeners")), ["20", "91", "92", "93", "94"]);
        assert_eq!(node.controller(), 94);
    }
}
