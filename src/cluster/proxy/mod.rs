//! A TCP proxy that is a network: it delays what passes, or lets nothing pass, without ending a connection.
//!
//! Everything runs in one thread that mostly sleeps. Bytes carry the time at which they are due, so that a delay costs no
//! bandwidth; what a direction may hold is bounded, and past that it is no longer read, which the sender feels as it would
//! feel a full window. Unlike a network, the proxy lets the kernel accept a connection and acknowledge what it sends even
//! while it is cut, and what was held then moves on the moment that the cut heals, not at the sender's next retransmission.

mod flow;
#[cfg(test)]
mod tests;
mod timer;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    rc::Rc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
    sync::watch,
    task::{LocalSet, spawn_local},
};

use self::{
    flow::{Wire, carry},
    timer::Timer,
};

/// How long accepting pauses when the process has no file left for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How a network is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// Added in each direction: a round trip takes twice as much longer, as does opening a connection.
    pub delay: Duration,
    /// Nothing moves: connections stay open, and new ones hear nothing.
    pub cut: bool,
}

/// A port of 127.0.0.1 that leads to another address. Dropping it ends all its connections and its thread.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// One for each line; all gone is the thread's order to end.
    lines: Vec<watch::Sender<Condition>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port, and connects each connection there to `upstream`.
    ///
    /// # Errors
    /// When the system has no port, file or thread left.
    pub fn listen(upstream: SocketAddr) -> io::Result<Self> {
        Self::listen_sorted(upstream, 1, |_, _| 0)
    }

    /// The same with several lines, each with its own condition: `sort` says which one (from 0) a connection belongs to,
    /// by the address that it comes from and the one here. It is asked in the proxy's thread, so it must not take long; line 0 takes what it
    /// sorts beyond the last.
    ///
    /// # Errors
    /// When the system has no port, file or thread left.
    pub fn listen_sorted(
        upstream: SocketAddr,
        lines: usize,
        sort: impl FnMut(SocketAddr, SocketAddr) -> usize + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (listener, timer) = {
            let _within = runtime.enter();
            (tokio::net::TcpListener::from_std(listener)?, Timer::new()?)
        };
        let (lines, watched): (Vec<_>, Vec<_>) =
            (0..lines.max(1)).map(|_| watch::channel(Condition::default())).unzip();
        let acceptor = Acceptor { listener, address, upstream, lines: watched, sort };
        let name = format!("proxy {}", address.port());
        let thread = std::thread::Builder::new().name(name).spawn(move || run(&runtime, acceptor, timer))?;
        Ok(Self { address, lines, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the condition of all connections from now on. What is on its way already keeps its time, and nothing overtakes
    /// it.
    pub fn set(&self, condition: Condition) {
        (0..self.lines.len()).for_each(|line| self.set_line(line, condition));
    }

    /// Sets the condition of one line's connections.
    ///
    /// # Panics
    /// Where there is no such line.
    pub fn set_line(&self, line: usize, condition: Condition) {
        self.lines[line].send_replace(condition);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.lines.clear();
        if let Some(thread) = self.thread.take() {
            // Its panic has been told on standard error already.
            let _ = thread.join();
        }
    }
}

/// Where connections come in.
struct Acceptor<S> {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
    upstream: SocketAddr,
    lines: Vec<watch::Receiver<Condition>>,
    sort: S,
}

fn run(runtime: &Runtime, acceptor: Acceptor<impl FnMut(SocketAddr, SocketAddr) -> usize>, timer: Timer) {
    let timer = Rc::new(timer);
    let mut first = acceptor.lines[0].clone();
    runtime.block_on(LocalSet::new().run_until(async move {
        spawn_local({
            let timer = Rc::clone(&timer);
            async move { timer.ring().await }
        });
        let closed = async { while first.changed().await.is_ok() {} };
        tokio::select! {
            () = closed => {}
            () = accept(acceptor, &timer) => {}
        }
        // Leaving ends all connections: their tasks go with the set.
    }));
}

async fn accept(mut acceptor: Acceptor<impl FnMut(SocketAddr, SocketAddr) -> usize>, timer: &Rc<Timer>) {
    let scratch = flow::scratch();
    loop {
        let Ok((near, peer)) = acceptor.listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let line = acceptor.lines.get((acceptor.sort)(peer, acceptor.address)).unwrap_or(&acceptor.lines[0]).clone();
        let wire = Wire { line, timer: Rc::clone(timer), scratch: Rc::clone(&scratch) };
        spawn_local(connect(near, acceptor.upstream, wire));
    }
}

/// Opens the other half of a connection as late as a network would, and carries bytes between both until they end.
async fn connect(near: TcpStream, upstream: SocketAddr, wire: Wire) {
    if wire.round_trip().await.is_err() {
        return;
    }
    match TcpStream::connect(upstream).await {
        Ok(far) => carry(near, far, &wire).await,
        // Refused there is refused here, as nearly as it can be said once the kernel has accepted.
        Err(_) => flow::reset(&near),
    }
}
