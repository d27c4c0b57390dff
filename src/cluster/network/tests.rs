use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use super::*;

const CUT: Condition = Condition { delay: Duration::ZERO, cut: true };

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut &socket, &mut &socket));
        }
    });
    address
}

fn network(scope: Scope, redis_rtt_ms: u64) -> Network {
    let broker = |_| Broker { producers: echo(), workers: echo(), internal: echo(), controller: echo() };
    let brokers = if scope == Scope::Whole { (0..3).map(broker).collect() } else { vec![] };
    Network::start(&Servers { redis: echo(), brokers }, Duration::from_millis(redis_rtt_ms)).unwrap()
}

fn passes(address: SocketAddr, within_ms: u64) -> bool {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(within_ms))).unwrap();
    socket.write_all(b"x").unwrap();
    match socket.read_exact(&mut [0]) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// All ways there are, each by what it joins. The test's process is broker 2.
fn ways(network: &Network) -> Vec<(String, SocketAddr)> {
    let mut ways = vec![];
    for (number, broker) in (1..).zip(network.brokers()) {
        ways.push((format!("producers - broker {number}"), broker.producers));
        ways.push((format!("workers - broker {number}"), broker.workers));
        ways.push((format!("broker 2 - broker {number}"), broker.internal));
        ways.push((format!("broker 2 - broker {number}, controllers"), broker.controller));
    }
    let redis = |party: Party| network.redis_for(party).map(|address| (format!("{party} - redis"), address));
    ways.into_iter().chain([Party::Workers, Party::Readers].into_iter().filter_map(redis)).collect()
}

/// Tries all ways there are. One that is cut is silent for a while; any other answers, however late.
#[track_caller]
fn are_cut(network: &Network, cut: &[&str]) {
    let ways = ways(network);
    assert!(cut.iter().all(|name| ways.iter().any(|(way, _)| way == name)), "{cut:?}");
    for (name, address) in ways {
        let is_cut = cut.contains(&name.as_str());
        assert_eq!(passes(address, if is_cut { 100 } else { 60_000 }), !is_cut, "{name}, while cut are {cut:?}");
    }
}

#[test]
fn each_link_can_be_cut_alone_and_heals() {
    use Party::{Broker, Brokers, Producers, Readers, Redis, Workers};
    let network = network(Scope::Whole, 0);
    network.broker_started(2, std::process::id());
    are_cut(&network, &[]);
    let cases: [(Party, Party, &[&str]); 8] = [
        (Producers, Broker(3), &["producers - broker 3"]),
        (Broker(3), Producers, &["producers - broker 3"]),
        (Workers, Brokers, &["workers - broker 1", "workers - broker 2", "workers - broker 3"]),
        (Broker(1), Broker(2), &["broker 2 - broker 1", "broker 2 - broker 1, controllers"]),
        (Broker(1), Broker(3), &[]),
        (
            Brokers,
            Brokers,
            &[
                "broker 2 - broker 1",
                "broker 2 - broker 1, controllers",
                "broker 2 - broker 3",
                "broker 2 - broker 3, controllers",
            ],
        ),
        (Redis, Workers, &["workers - redis"]),
        (Readers, Redis, &["readers - redis"]),
    ];
    for (a, b, expected) in cases {
        network.set(&Link { a, b }, CUT).unwrap();
        are_cut(&network, expected);
        network.set(&Link { a, b }, Condition::default()).unwrap();
    }
    are_cut(&network, &[]);
}

#[test]
fn what_no_link_joins_is_an_error_that_names_those_there_are() {
    let refused = |network: &Network, a, b| network.set(&Link { a, b }, CUT).unwrap_err().to_string();
    let whole = network(Scope::Whole, 0);
    let pairs = [
        (Party::Producers, Party::Redis),
        (Party::Broker(1), Party::Broker(1)),
        (Party::Broker(4), Party::Workers),
        (Party::Readers, Party::Brokers),
        (Party::Redis, Party::Redis),
    ];
    for (a, b) in pairs {
        let text = refused(&whole, a, b);
        assert!(text.contains(&format!("between {a} and {b}; there are producers - broker N, ")), "{text}");
    }
    let redis = network(Scope::Redis, 0);
    let text = refused(&redis, Party::Workers, Party::Broker(1));
    assert_eq!(
        text,
        "nothing that can be changed is between workers and broker 1; there are workers - redis, readers - redis"
    );
    assert_eq!((redis.scope(), redis.brokers_for(Party::Workers)), (Scope::Redis, vec![]));
    are_cut(&whole, &[]);
}

#[test]
fn the_round_trip_of_the_variant_stays_under_every_condition() {
    let network = network(Scope::Redis, 40);
    let took = |party| {
        let start = std::time::Instant::now();
        assert!(passes(network.redis_for(party).unwrap(), 60_000));
        start.elapsed().as_millis()
    };
    // A round trip for the connection, and one for the question.
    assert!(took(Party::Workers) >= 80);
    let link = Link { a: Party::Workers, b: Party::Redis };
    network.set(&link, Condition { delay: Duration::from_millis(30), cut: false }).unwrap();
    assert!(took(Party::Workers) >= 200);
    network.set(&link, CUT).unwrap();
    network.set(&link, Condition::default()).unwrap();
    assert!(took(Party::Workers) >= 80);
}
