use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::Instant,
};

use proptest::prelude::*;

use super::*;

const CUT: Condition = Condition { delay: Duration::ZERO, cut: true };

fn delayed(ms: u64) -> Condition {
    Condition { delay: Duration::from_millis(ms), cut: false }
}

/// A server that sends back what it gets, and closes when its client does. It ends with the test's process.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                socket.set_nodelay(true).unwrap();
                let _ = std::io::copy(&mut &socket, &mut &socket);
            });
        }
    });
    address
}

/// The bound keeps a failing test from hanging; nothing that passes comes near it.
fn connect(proxy: &Proxy) -> TcpStream {
    let socket = TcpStream::connect(proxy.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

fn round_trip(mut socket: &TcpStream) -> Duration {
    let start = Instant::now();
    socket.write_all(b"there").unwrap();
    let mut back = [0; 5];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"there");
    start.elapsed()
}

fn is_silent(mut socket: &TcpStream, for_ms: u64) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(for_ms))).unwrap();
    let nothing = matches!(socket.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    nothing
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn what_goes_in_comes_out_in_order(
        chunks in proptest::collection::vec(1usize..200_000, 1..24),
        conditions in proptest::collection::vec((0u64..3, any::<bool>()), 0..12),
    ) {
        let proxy = Proxy::listen(echo()).unwrap();
        let mut socket = connect(&proxy);
        let sent: Vec<u8> = (0..chunks.iter().sum::<usize>()).map(|i| ((i * 31) >> 3) as u8).collect();
        let mut writer = socket.try_clone().unwrap();
        let to_send = sent.clone();
        let sending = std::thread::spawn(move || {
            let mut rest = &to_send[..];
            for chunk in chunks {
                writer.write_all(&rest[..chunk]).unwrap();
                rest = &rest[chunk..];
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let changing = std::thread::spawn(move || {
            for (delay_ms, cut) in conditions {
                proxy.set(Condition { cut, ..delayed(delay_ms) });
                std::thread::sleep(Duration::from_millis(2));
            }
            proxy.set(delayed(1));
            proxy
        });
        let mut received = Vec::new();
        socket.read_to_end(&mut received).unwrap();
        sending.join().unwrap();
        drop(changing.join().unwrap());
        prop_assert!(sent == received);
    }
}

#[test]
fn a_delay_is_never_shorter_than_asked() {
    let proxy = Proxy::listen(echo()).unwrap();
    let socket = connect(&proxy);
    for ms in [1, 4, 2, 0, 20] {
        proxy.set(delayed(ms));
        // What the proxy has taken note of by then is certain only for what it reads later.
        std::thread::sleep(Duration::from_millis(50));
        for _ in 0..10 {
            let took = round_trip(&socket);
            assert!(took >= Duration::from_millis(2 * ms), "{took:?} for 2 × {ms} ms");
        }
    }
}

#[test]
fn opening_a_connection_takes_a_round_trip_too() {
    let proxy = Proxy::listen(echo()).unwrap();
    proxy.set(delayed(20));
    let start = Instant::now();
    round_trip(&connect(&proxy));
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn many_pieces_are_under_way_at_once() {
    let proxy = Proxy::listen(echo()).unwrap();
    proxy.set(delayed(200));
    let socket = connect(&proxy);
    let start = Instant::now();
    for _ in 0..100 {
        (&socket).write_all(b"piece").unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    (&socket).read_exact(&mut [0; 500]).unwrap();
    // One after the other they would take 40 s.
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_cut_holds_everything_and_healing_lets_it_on() {
    let proxy = Proxy::listen(echo()).unwrap();
    let old = connect(&proxy);
    round_trip(&old);
    proxy.set(CUT);
    std::thread::sleep(Duration::from_millis(50));
    (&old).write_all(b"held").unwrap();
    let new = connect(&proxy);
    (&new).write_all(b"new").unwrap();
    let closing = connect(&proxy);
    closing.shutdown(Shutdown::Write).unwrap();
    assert!(is_silent(&old, 200) && is_silent(&new, 50) && is_silent(&closing, 50));
    proxy.set(Condition::default());
    let mut got = [0; 4];
    (&old).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"held");
    (&new).read_exact(&mut got[..3]).unwrap();
    assert_eq!(&got[..3], b"new");
    assert_eq!((&closing).read(&mut got).unwrap(), 0);
    round_trip(&old);
}

#[test]
fn only_the_cut_line_is_cut() {
    let (send, sorted) = std::sync::mpsc::channel();
    let mut count = 0;
    let sort = move |peer: SocketAddr, _: SocketAddr| {
        count += 1;
        send.send(peer).unwrap();
        count
    };
    // The third goes past the last line, to the first one.
    let proxy = Proxy::listen_sorted(echo(), 3, sort).unwrap();
    let sockets = [1, 2, 3].map(|_| {
        let socket = connect(&proxy);
        round_trip(&socket);
        assert_eq!(sorted.recv().unwrap(), socket.local_addr().unwrap());
        socket
    });
    let is_cut = |socket: &TcpStream| {
        let mut socket = socket;
        socket.write_all(b"there").unwrap();
        is_silent(socket, 100)
    };
    proxy.set_line(1, CUT);
    std::thread::sleep(Duration::from_millis(50));
    assert!(is_cut(&sockets[0]));
    round_trip(&sockets[1]);
    round_trip(&sockets[2]);
    proxy.set_line(0, CUT);
    std::thread::sleep(Duration::from_millis(50));
    assert!(is_cut(&sockets[2]));
    round_trip(&sockets[1]);
}

/// Both ends of a connection through a new proxy.
fn pair() -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::listen(listener.local_addr().unwrap()).unwrap();
    let near = connect(&proxy);
    let (far, _) = listener.accept().unwrap();
    far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    (proxy, near, far)
}

#[test]
fn one_direction_may_end_before_the_other() {
    let (_proxy, near, far) = pair();
    (&near).write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    (&far).read_to_end(&mut got).unwrap();
    assert_eq!(got, b"question");
    (&far).write_all(b"answer").unwrap();
    drop(far);
    got.clear();
    (&near).read_to_end(&mut got).unwrap();
    assert_eq!(got, b"answer");
}

#[test]
fn a_reset_of_one_end_is_one_of_the_other() {
    let (_proxy, near, far) = pair();
    (&near).write_all(b"unread").unwrap();
    (&far).write_all(b"x").unwrap();
    (&near).read_exact(&mut [0]).unwrap();
    far.peek(&mut [0]).unwrap();
    // Closing a socket with bytes that nobody read resets the connection.
    drop(far);
    let error = (&near).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_refuses_a_connection_refuses_it_through_the_proxy() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let proxy = Proxy::listen(closed).unwrap();
    assert!(matches!((&connect(&proxy)).read(&mut [0]), Err(error) if error.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn a_receiver_that_does_not_read_stops_its_sender() {
    let (proxy, near, far) = pair();
    near.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let block = vec![7; 1 << 20];
    let mut sent = 0;
    let stuck = loop {
        match (&near).write(&block) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 256 << 20, "nothing bounds what is held");
    };
    assert_eq!(stuck.kind(), ErrorKind::WouldBlock);
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(std::io::copy(&mut &far, &mut std::io::sink()).unwrap(), sent as u64);
    drop(proxy);
}

#[test]
fn many_connections_at_once() {
    let proxy = Proxy::listen(echo()).unwrap();
    proxy.set(delayed(1));
    let sockets: Vec<_> = (0..200).map(|_| connect(&proxy)).collect();
    for round in 0..3u8 {
        for (i, mut socket) in sockets.iter().enumerate() {
            socket.write_all(&[round, i as u8]).unwrap();
        }
        for (i, mut socket) in sockets.iter().enumerate() {
            let mut back = [0; 2];
            socket.read_exact(&mut back).unwrap();
            assert_eq!(back, [round, i as u8]);
        }
    }
}

#[test]
fn a_drop_ends_connections_port_and_thread() {
    for condition in [Condition::default(), delayed(1000), CUT] {
        let (proxy, near, far) = pair();
        proxy.set(condition);
        (&near).write_all(b"under way").unwrap();
        let address = proxy.address();
        drop(proxy);
        for mut end in [near, far] {
            while matches!(end.read(&mut [0; 64]), Ok(1..)) {}
        }
        assert!(TcpStream::connect(address).is_err());
    }
}
