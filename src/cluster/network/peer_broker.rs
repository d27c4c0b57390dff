//! Which broker a connection comes from: the one that has the socket at its other end open, as the system tells.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use procfs::{
    net::{TcpNetEntry, tcp, tcp6},
    process::{FDTarget, Process},
};

/// Number and process id of each broker that may call. Copies share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers(Arc<Mutex<Vec<(u32, u32)>>>);

impl Callers {
    /// Adds a broker's process in the place of its last one.
    pub fn add(&self, number: u32, pid: u32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(other, _)| *other != number);
        known.push((number, pid));
    }

    /// The number of the broker whose socket this is: its own address `peer`, connected to `here`. It takes some
    /// milliseconds where there are thousands of sockets.
    pub fn who(&self, peer: SocketAddr, here: SocketAddr) -> Option<u32> {
        let inode = inode(peer, here)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.into_iter().find(|(_, pid)| has_socket(*pid, inode)).map(|(number, _)| number)
    }
}

/// A JVM's sockets are of version 6, with addresses of version 4 mapped into it.
fn inode(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let is_it = |entry: &TcpNetEntry| plain(entry.local_address) == local && plain(entry.remote_address) == remote;
    let find = |entries: Vec<TcpNetEntry>| entries.into_iter().find(is_it).map(|entry| entry.inode);
    tcp6().ok().and_then(find).or_else(|| tcp().ok().and_then(find))
}

fn has_socket(pid: u32, inode: u64) -> bool {
    let files = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.fd().ok());
    files.is_some_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| matches!(file.target, FDTarget::Socket(own) if own == inode)))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, TcpListener, TcpStream},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_caller_is_known_by_its_process() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let here = listener.local_addr().unwrap();
        let own = TcpStream::connect(here).unwrap();
        let (callers, copy) = (Callers::default(), Callers::default());
        assert_eq!(callers.who(own.local_addr().unwrap(), here), None);
        let clone = callers.clone();
        clone.add(1, 4_194_999);
        clone.add(2, std::process::id());
        assert_eq!(callers.who(own.local_addr().unwrap(), here), Some(2));
        assert_eq!(copy.who(own.local_addr().unwrap(), here), None);
        drop(listener.accept().unwrap());

        // A connection of another process, which says by what it writes that it is open.
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo >&3; sleep 60", here.port());
        let mut other = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
        let (socket, peer) = listener.accept().unwrap();
        assert_eq!(callers.who(peer, here), None);
        callers.add(2, 4_194_998);
        callers.add(3, other.id());
        let who = callers.who(peer, here);
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(who, Some(3));
        assert_eq!(callers.who(own.local_addr().unwrap(), here), None, "broker 2 is another process now");
        drop(socket);
    }
}
