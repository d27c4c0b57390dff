//! A Redis that speaks TLS or not, with users.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use shasta::machine::process::{Child, Spawn, Streams, find_program};

use super::{
    authority::{Authority, Flaw},
    password,
    ports::Ports,
};

/// Whom it lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    Plain,
    /// TLS, with a certificate that has this flaw.
    Tls(Flaw),
    /// TLS, and clients must show a certificate.
    Mutual,
}

/// The server, ready; it ends with the value.
pub struct Redis {
    child: Child,
    ports: Ports,
    tls: bool,
    authority: PathBuf,
    _dir: tempfile::TempDir,
}

impl Redis {
    /// Starts it with users and their rules; the default user may do nothing, unless there are no others.
    pub fn start(admits: Admits, authority: &Authority, users: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports::choose(1);
        let port = ports.numbers[0];
        let (tls, flaw) = match admits {
            Admits::Plain => (false, Flaw::None),
            Admits::Tls(flaw) => (true, flaw),
            Admits::Mutual => (true, Flaw::None),
        };
        let mut config = format!("bind 127.0.0.1\nsave \"\"\ndir {}\n", dir.path().display());
        if tls {
            let issued = authority.issue(dir.path(), "redis", flaw);
            config.push_str(&format!(
                "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients {}\n",
                issued.certificate.display(),
                issued.key.display(),
                authority.file.display(),
                if admits == Admits::Mutual { "yes" } else { "no" },
            ));
        } else {
            config.push_str(&format!("port {port}\n"));
        }
        for (user, rules) in users {
            config.push_str(&format!("user {user} on >{} {rules}\n", password(user)));
        }
        if !users.is_empty() {
            config.push_str("user default off\n");
        }
        let file = dir.path().join("redis.conf");
        fs::write(&file, config).unwrap();
        let program = find_program("redis-server", None).expect("redis-server is on PATH");
        let log = dir.path().join("redis.log");
        let mut child = Spawn::new("redis", program, Streams::Log(log.clone())).args([file]).start().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().unwrap();
            let told = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", told());
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, ports, tls, authority: authority.file.clone(), _dir: dir }
    }

    /// Its URL, for a user or for nobody, in its own way or in the other.
    pub fn url(&self, user: Option<&str>, tls: bool) -> String {
        let user = user.map_or(String::new(), |user| format!("{user}:{}@", password(user)));
        format!("redis{}://{user}127.0.0.1:{}", if tls { "s" } else { "" }, self.ports.numbers[0])
    }

    /// The same in its own way, trusting its authority.
    pub fn trusted_url(&self, user: Option<&str>) -> String {
        let url = self.url(user, self.tls);
        if self.tls { format!("{url}/?ssl_ca_certs={}", self.authority.display()) } else { url }
    }

    /// Waits for nothing: it is gone when the value is.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}
