//! Where something listens: a host and a port, read and written here alone, since an IPv6 address holds colons of its own.

mod connect_error;

use std::{
    fmt, io,
    net::{Ipv6Addr, TcpStream, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

pub use self::connect_error::Unreached;

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// It is a URL, or a Kafka listener.
    #[error("`{0}` begins with a protocol; write host:port alone")]
    Protocol(String),
    /// There is nothing before the port.
    #[error("`{0}` names no host; write host:port")]
    NoHost(String),
    /// No host is called so.
    #[error("`{0}` is no host name; write host:port")]
    NoName(String),
    /// Nothing says which port.
    #[error("`{0}` has no port; write {0}:PORT")]
    NoPort(String),
    /// No port has this number.
    #[error("`{port}` in `{text}` is no port; a port is a number from 1 to 65535")]
    BadPort {
        /// The whole text.
        text: String,
        /// What stands where the port should.
        port: String,
    },
    /// An IPv6 address whose end cannot be told from a port.
    #[error("`{text}`: an IPv6 address stands in brackets; write {right}")]
    Brackets {
        /// The whole text.
        text: String,
        /// What was probably meant.
        right: String,
    },
}

impl Address {
    /// Reads `host:port`, `host` alone where there is a port by default, and the same with `[IPv6 address]`.
    ///
    /// # Errors
    /// It is none; the error says why, and what is one.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, NoAddress> {
        let text = text.trim();
        let (host, port) = parts(text)?;
        if host.is_empty() {
            return Err(NoAddress::NoHost(text.to_owned()));
        }
        // The resolver knows names that no standard permits, such as those with an underscore.
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#[]\\".contains(c)) {
            return Err(NoAddress::NoName(host.to_owned()));
        }
        let bad_port = |port: &str| NoAddress::BadPort { text: text.to_owned(), port: port.to_owned() };
        let port = match port {
            Some(port) => port.parse().ok().filter(|number| *number > 0).ok_or_else(|| bad_port(port))?,
            None => default_port.ok_or_else(|| NoAddress::NoPort(text.to_owned()))?,
        };
        // Names differ in nothing when they differ in case.
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Reads `host:port` as a node of Redis names another in MOVED or ASK, an IPv6 address without brackets; an empty or
    /// unknown host is `asked`, the node that said so.
    pub fn of_redirect(text: &str, asked: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::named(host, port.parse().ok()?, asked))
    }

    /// The address of a node that another one names; an empty or unknown host is `asked`, the node that said so.
    pub fn named(host: &str, port: u16, asked: &str) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = if host.is_empty() || host == "?" { asked } else { host };
        Self { host: host.to_owned(), port }
    }

    /// Opens a connection to the first of its IP addresses that takes one, each tried for `timeout`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn connect(&self, timeout: Duration) -> Result<TcpStream, Unreached> {
        let found = (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| Unreached::of(&error))?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in found {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(Unreached::of(&last))
    }
}

/// Host and port as they are written.
fn parts(text: &str) -> Result<(&str, Option<&str>), NoAddress> {
    if text.contains("://") {
        return Err(NoAddress::Protocol(text.to_owned()));
    }
    let brackets = |right: String| NoAddress::Brackets { text: text.to_owned(), right };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| brackets("[::1]:PORT".to_owned()))?;
        if !is_ipv6(host) {
            return Err(brackets(format!("{host}:PORT without them, or [::1]:PORT")));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(brackets(format!("[{host}]:PORT"))),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        Some(_) => Err(brackets(match text.rsplit_once(':') {
            Some((host, port)) if is_ipv6(host) && port.parse::<u16>().is_ok() => format!("[{host}]:{port}"),
            _ => "[::1]:PORT".to_owned(),
        })),
    }
}

/// Whether a text is an IPv6 address, with its zone (`fe80::1%eth0`) or without.
fn is_ipv6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        Self::parse(text, None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::io::Write;

    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for (text, host, port) in [
            ("[::1]:7600", "::1", 7600),
            ("[fe80::1%eth0]:9092", "fe80::1%eth0", 9092),
            ("b-1.msk.example.com:9098", "b-1.msk.example.com", 9098),
            ("trailing.example.:1", "trailing.example.", 1),
            ("my_host:65535", "my_host", 65_535),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port, address.to_string().as_str()), (host, port, text));
        }
        assert_eq!(" Broker.EXAMPLE:1 ".parse::<Address>().unwrap().to_string(), "broker.example:1");
        assert_eq!(Address::parse("[::1]", Some(6379)).unwrap().to_string(), "[::1]:6379");
        assert_eq!(Address::parse("h", Some(6379)).unwrap().to_string(), "h:6379");
    }

    #[test]
    fn what_is_none_says_why_and_what_is_one() {
        for (text, said) in [
            ("x", "`x` has no port; write x:PORT"),
            ("[::1]", "`[::1]` has no port; write [::1]:PORT"),
            ("x:0", "`0` in `x:0` is no port"),
            ("x:65536", "`65536` in `x:65536` is no port"),
            ("x:", "`` in `x:` is no port"),
            (":9092", "`:9092` names no host"),
            ("::1:7600", "write [::1]:7600"),
            ("fe80::1", "write [::1]:PORT"),
            ("[::1:7600", "stands in brackets"),
            ("[broker]:9092", "write broker:PORT without them"),
            ("[fe80::1%]:1", "without them"),
            ("[::1]7600", "write [::1]:PORT"),
            ("PLAINTEXT://x:9092", "begins with a protocol"),
            ("a b:1", "`a b` is no host name"),
        ] {
            let told = text.parse::<Address>().unwrap_err().to_string();
            assert!(told.contains(said), "{text}: {told}");
        }
    }

    #[test]
    fn nodes_of_redis_name_each_other_without_brackets() {
        for (text, expected) in
            [("::1:6381", "[::1]:6381"), ("h:1", "h:1"), (":7", "[::2]:7"), ("?:7", "[::2]:7"), ("[::1]:5", "[::1]:5")]
        {
            assert_eq!(Address::of_redirect(text, "::2").unwrap().to_string(), expected);
        }
        assert!(Address::of_redirect("h", "").is_none() && Address::of_redirect("h:x", "").is_none());
    }

    #[test]
    fn a_listener_on_ipv6_is_reached_and_a_closed_port_is_told() {
        let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
            // Past what a test's output is kept in.
            let _ = writeln!(std::io::stderr(), "SKIPPED: this machine has no ::1");
            return;
        };
        let at = Address { host: "::1".into(), port: listener.local_addr().unwrap().port() };
        assert!(at.connect(Duration::from_secs(1)).is_ok());
        let closed = Address { host: "127.0.0.1".into(), port: 1 };
        assert_eq!(closed.connect(Duration::from_secs(1)).unwrap_err(), Unreached::Refused);
        let nowhere = Address { host: "no-such-host.invalid".into(), port: 1 };
        let told = nowhere.connect(Duration::from_secs(1)).unwrap_err();
        assert!(matches!(told, Unreached::UnknownName | Unreached::NoNameServer), "{told:?}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_so_that_it_is_read(text in ".{0,40}") {
            if let Ok(address) = Address::parse(&text, Some(1)) {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }
    }
}
