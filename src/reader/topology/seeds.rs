//! What a URL names: one node or several, all reached by the same user and in the same way.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::percent_decode_str;
use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
};

use super::Map;
#[cfg(feature = "tls")]
use crate::tls::{self, Spoken};
use crate::{
    address::{Address, NoAddress},
    refusal::Refusal,
};

const PORT: u16 = 6379;

/// What a URL says after `?` to name the file (PEM) of the authorities to trust instead of the system's, as redis-py's do.
pub const AUTHORITIES: &str = "ssl_ca_certs";

/// The nodes that a URL names: `redis://[user:password@]host:port[,host:port…]`, or `rediss://` for TLS, with
/// `?ssl_ca_certs=FILE` for authorities of one's own.
#[derive(Clone)]
pub struct Seeds {
    /// How to log in; its address is the first node's.
    info: ConnectionInfo,
    addresses: Vec<Address>,
    authorities: Option<PathBuf>,
}

/// What a node says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It takes writes, for all keys.
    Primary,
    /// It copies from another.
    Replica,
    /// It is a node of a cluster.
    Cluster,
}

/// What a node's answer to HELLO means. One that may not answer is taken for a primary: its writes will show.
pub fn kind(hello: RedisResult<HashMap<String, Value>>) -> Kind {
    let Ok(hello) = hello else { return Kind::Primary };
    let says = |field: &str, word: &[u8]| match hello.get(field) {
        Some(Value::BulkString(text)) => text == word,
        Some(Value::SimpleString(text)) => text.as_bytes() == word,
        _ => false,
    };
    match (says("mode", b"cluster"), says("role", b"replica") || says("role", b"slave")) {
        (true, _) => Kind::Cluster,
        (false, true) => Kind::Replica,
        (false, false) => Kind::Primary,
    }
}

/// The error for a node that takes no writes, where no other is known that does.
pub(super) fn is_replica(address: &Address) -> RedisError {
    let text = format!("{address} is a replica, and no primary was named that answers");
    RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "no primary", text))
}

impl Seeds {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(url: &str) -> RedisResult<Self> {
        if !cfg!(feature = "tls") && url.starts_with("rediss://") {
            return Err(wrong("TLS needs the feature `tls` of shasta-reader"));
        }
        let Parts { before, hosts, path } = Parts::of(url)?;
        let addresses =
            hosts.split(',').map(|host| Address::parse(host, Some(PORT)).map_err(|error| wrong(unquoted(&error))));
        let addresses = addresses.collect::<RedisResult<Vec<_>>>()?;
        // The hosts are not the client's to read: it knows no list of them, and no IPv6 zones.
        let info = format!("{before}localhost{path}").into_connection_info()?;
        if address(info.addr()).is_none() {
            return Err(wrong("it is no URL of a host and a port"));
        }
        let authorities = authorities(path);
        let info = match &authorities {
            Some(file) => trusting(info, file)?,
            None => info,
        };
        let seeds = Self { info: at_once(info), addresses, authorities };
        Ok(Self { info: seeds.info.clone().set_addr(seeds.addr(&seeds.addresses[0])), ..seeds })
    }

    /// A URL that names these nodes after its own.
    ///
    /// # Errors
    /// It is none.
    pub fn url_with(url: &str, more: &[Address]) -> RedisResult<String> {
        let named = Self::parse(url)?.addresses;
        let Parts { before, hosts, path } = Parts::of(url)?;
        let more = more.iter().filter(|address| !named.contains(address)).map(|address| format!(",{address}"));
        Ok(format!("{before}{hosts}{}{path}", more.collect::<String>()))
    }

    /// Why this user, or a node, is not accepted, where an error of a connection to some node of the URL is one of that kind:
    /// from the error, and where that says nothing, by greeting the nodes once more, which takes seconds at most.
    pub fn refusal_of(&self, error: &RedisError) -> Option<Refusal> {
        let says = |word: &str| error.code() == Some(word) || error.detail().is_some_and(|text| text.contains(word));
        if error.kind() == ErrorKind::AuthenticationFailed || says("WRONGPASS") || says("invalid password") {
            return Some(Refusal::Credentials);
        }
        if says("NOAUTH") || says("Authentication required") {
            return Some(Refusal::WantsLogin);
        }
        if error.code().is_some() || error.is_connection_refusal() {
            return None;
        }
        self.refusal_of_handshake()
    }

    #[cfg(feature = "tls")]
    fn refusal_of_handshake(&self) -> Option<Refusal> {
        let spoken = if self.is_tls() { Spoken::Tls(self.authorities.as_deref()) } else { Spoken::Plain };
        self.addresses.iter().find_map(|node| tls::refusal(&node.host, node.port, spoken, b"PING\r\n"))
    }

    #[cfg(not(feature = "tls"))]
    fn refusal_of_handshake(&self) -> Option<Refusal> {
        None
    }

    /// The nodes that the URL names.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The user that the URL names.
    pub fn user(&self) -> Option<&str> {
        self.info.redis_settings().username()
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// The same, with other settings of the protocol.
    pub fn with_settings(self, change: impl FnOnce(redis::RedisConnectionInfo) -> redis::RedisConnectionInfo) -> Self {
        let settings = change(self.info.redis_settings().clone());
        Self { info: self.info.set_redis_settings(settings), ..self }
    }

    /// The client for a node, reached as the URL says.
    ///
    /// # Errors
    /// The address makes no client.
    pub fn client(&self, node: &Address) -> RedisResult<Client> {
        #[cfg(feature = "tls")]
        if self.is_tls() {
            tls::install_provider();
        }
        Client::open(self.info.clone().set_addr(self.addr(node)))
    }

    fn addr(&self, node: &Address) -> ConnectionAddr {
        let mut addr = self.info.addr().clone();
        if let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } = &mut addr {
            (*host, *port) = (node.host.clone(), node.port);
        }
        addr
    }

    /// Whether the URL names a user other than the default one.
    pub fn names_user(&self) -> bool {
        self.info.redis_settings().username().is_some_and(|user| user != "default")
    }

    /// Connects to a node; `timeout` is also how long it may take to answer.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn open(&self, node: &Address, timeout: Duration) -> RedisResult<Connection> {
        let connection = self.client(node)?.get_connection_with_timeout(timeout)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }

    /// Whom to ask for the map, each once: the one that knows best, those that had something, those that were named.
    pub fn to_ask(&self, hint: Option<&Address>, map: &Map) -> Vec<Address> {
        let mut all: Vec<Address> = Vec::new();
        for address in hint.into_iter().chain(map.nodes()).chain(&self.addresses) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }
}

/// A URL as it is written: what stands before the hosts, and what after.
struct Parts<'a> {
    before: &'a str,
    hosts: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> RedisResult<Self> {
        let scheme = url.find("://").ok_or_else(|| wrong("it has no protocol"))? + 3;
        // The last `@`, as in `redacted`; passwords are percent-encoded, so they hold neither `/` nor `?`.
        let start = url.rfind('@').map_or(scheme, |at| at + 1).max(scheme);
        let (before, rest) = url.split_at(start);
        let (hosts, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Ok(Self { before, hosts, path })
    }
}

fn wrong(why: &str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "Redis URL did not parse", why.to_owned()))
}

/// Without the text itself, which may be a password where the `@` was forgotten.
fn unquoted(error: &NoAddress) -> &'static str {
    match error {
        NoAddress::BadPort { .. } => "its port is not a number from 1 to 65535",
        NoAddress::Brackets { .. } => "an IPv6 address stands in brackets, as in redis://[::1]:6379",
        NoAddress::NoHost(_) => "it names no host",
        _ => "its host is no host name",
    }
}

impl From<&Client> for Seeds {
    /// The one node of a client.
    ///
    /// # Panics
    /// For a Unix socket.
    fn from(client: &Client) -> Self {
        let info = at_once(client.get_connection_info().clone());
        let address = address(info.addr()).expect("a client of a host and a port");
        Self { info, addresses: vec![address], authorities: None }
    }
}

fn address(addr: &ConnectionAddr) -> Option<Address> {
    match addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some(Address { host: host.clone(), port: *port })
        }
        _ => None,
    }
}

fn authorities(path: &str) -> Option<PathBuf> {
    let (_, query) = path.split_once('?')?;
    let file = query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == AUTHORITIES))?.1;
    Some(percent_decode_str(file).decode_utf8_lossy().into_owned().into())
}

#[cfg(not(feature = "tls"))]
fn trusting(info: ConnectionInfo, _file: &Path) -> RedisResult<ConnectionInfo> {
    Ok(info)
}

#[cfg(feature = "tls")]
fn trusting(info: ConnectionInfo, file: &Path) -> RedisResult<ConnectionInfo> {
    let wrong = |text| RedisError::from((ErrorKind::InvalidClientConfig, "authorities", text));
    tls::authorities(Some(file)).map_err(wrong)?;
    let root_cert = std::fs::read(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    let client = Client::build_with_tls(info, redis::TlsCertificates { client_tls: None, root_cert: Some(root_cert) })?;
    Ok(client.get_connection_info().clone())
}

/// Without Nagle's algorithm, which would hold the end of a pipeline back until the beginning is acknowledged.
fn at_once(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    info.set_tcp_settings(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_node_or_several() {
        let seeds = |url: &str| {
            let seeds = Seeds::parse(url).unwrap();
            let user = seeds.info.redis_settings().username().map(str::to_owned);
            let names: Vec<_> = seeds.addresses.iter().map(Address::to_string).collect();
            (names.join(" "), user, seeds.info.redis_settings().db())
        };
        assert_eq!(seeds("redis://h"), ("h:6379".into(), None, 0));
        assert_eq!(seeds("redis://me:p%2Cw@h:1,i:2/3"), ("h:1 i:2".into(), Some("me".into()), 3));
        assert_eq!(seeds("redis://[::1]:7,[::2]"), ("[::1]:7 [::2]:6379".into(), None, 0));
        assert_eq!(seeds("redis://[fe80::1%eth0]:7").0, "[fe80::1%eth0]:7");
        let tls = Seeds::parse("rediss://u:p@[::1]:7/1").unwrap();
        assert!(tls.is_tls() && tls.names_user());
        assert_eq!(tls.client(&tls.addresses[0]).unwrap().get_connection_info().addr().to_string(), "::1:7");
        for wrong in ["h:1", "http://h", "redis://h:1,", "redis://,", "redis://a:x,b:1", "unix:///x"] {
            assert!(Seeds::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        for (url, said) in [
            ("redis://h:0", "its port is not a number"),
            ("redis://user:s3cret", "its port is not a number"),
            ("redis://:s3cret@::1:7", "stands in brackets"),
            ("redis://:s3cret@", "names no host"),
        ] {
            let told = Seeds::parse(url).err().unwrap().to_string();
            assert!(told.contains(said) && !told.contains("s3cret"), "{url}: {told}");
        }
    }

    #[test]
    fn a_url_takes_more_nodes() {
        let more = ["a:1", "[::1]:2"].map(|text| text.parse().unwrap());
        let url = Seeds::url_with("redis://u:p%40w@a:1,b/3?protocol=resp3", &more).unwrap();
        assert_eq!(url, "redis://u:p%40w@a:1,b,[::1]:2/3?protocol=resp3");
        assert_eq!(Seeds::url_with("redis://a:1", &more[..1]).unwrap(), "redis://a:1");
    }

    #[test]
    fn a_node_is_what_it_says() {
        let hello = |mode: &str, role: &str| {
            let text = |text: &str| Value::BulkString(text.into());
            Ok(HashMap::from([("mode".to_owned(), text(mode)), ("role".to_owned(), text(role))]))
        };
        assert_eq!(kind(hello("standalone", "master")), Kind::Primary);
        assert_eq!(kind(hello("standalone", "replica")), Kind::Replica);
        assert_eq!(kind(hello("cluster", "replica")), Kind::Cluster);
        assert_eq!(kind(Err(RedisError::from((ErrorKind::Client, "x")))), Kind::Primary);
    }
}
