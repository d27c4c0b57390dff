//! Why a server is not accepted, or does not accept us, found by greeting it once more: clients tell less. OpenSSL has one
//! number for all that may be wrong with a certificate, and a server that is spoken to in the wrong way just hangs up.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use rustls::{AlertDescription, CertificateError, ClientConnection, Error, RootCertStore, pki_types::ServerName};

use super::{authorities, client_config};
use crate::refusal::Refusal;

/// How long a server may take for each step.
const STEP_MAX: Duration = Duration::from_secs(2);
/// First byte of a handshake's record and of an alert's; the second is 3 in all versions.
const TLS_RECORDS: [u8; 2] = [0x16, 0x15];

/// How the client that failed spoke.
#[derive(Debug, Clone, Copy)]
pub enum Spoken<'a> {
    /// Without TLS.
    Plain,
    /// With TLS, trusting the authorities in a file, or the system's.
    Tls(Option<&'a Path>),
}

/// Connects once more, and looks. `hello` is what any client may say first in the server's own protocol, and what it
/// answers. `None` where nothing stands in the way of TLS, or the server is not there. Takes seconds at most.
pub fn refusal(host: &str, port: u16, spoken: Spoken<'_>, hello: &[u8]) -> Option<Refusal> {
    match spoken {
        Spoken::Plain => speaks_tls(host, port).then_some(Refusal::WantsTls),
        Spoken::Tls(trusted) => match shake(host, port, trusted, hello)? {
            (Ok(()), _) => None,
            (Err(error), certified) => of_error(&error, certified, host, trusted)
                // It did not answer as TLS does: what does it answer in plain text?
                .or_else(|| answers_plainly(host, port, hello).then_some(Refusal::NoTls)),
        },
    }
}

fn connect(host: &str, port: u16) -> Option<TcpStream> {
    let mut sockets = (host, port).to_socket_addrs().ok()?;
    let stream = sockets.find_map(|socket| TcpStream::connect_timeout(&socket, STEP_MAX).ok())?;
    stream.set_read_timeout(Some(STEP_MAX)).ok()?;
    stream.set_write_timeout(Some(STEP_MAX)).ok()?;
    Some(stream)
}

/// Whether it answers the first message of a handshake as TLS does; with an alert as well.
fn speaks_tls(host: &str, port: u16) -> bool {
    let look = || {
        let mut stream = connect(host, port)?;
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let mut client = ClientConnection::new(client_config(RootCertStore::empty()).into(), name).ok()?;
        client.write_tls(&mut stream).ok()?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).ok()?;
        Some(TLS_RECORDS.contains(&answer[0]) && answer[1] == 3)
    };
    look().unwrap_or_default()
}

fn answers_plainly(host: &str, port: u16, hello: &[u8]) -> bool {
    let look = || {
        let mut stream = connect(host, port)?;
        stream.write_all(hello).ok()?;
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).ok()?;
        // A server of TLS may answer with an alert.
        Some(!TLS_RECORDS.contains(&answer[0]))
    };
    look().unwrap_or_default()
}

/// A whole handshake and a first answer over it, and whether the server showed a certificate that is accepted. `None`
/// where the server is not there.
fn shake(host: &str, port: u16, trusted: Option<&Path>, hello: &[u8]) -> Option<(io::Result<()>, bool)> {
    let mut stream = connect(host, port)?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let config = client_config(authorities(trusted).ok()?);
    let mut client = ClientConnection::new(config.into(), name).ok()?;
    let mut talk = || {
        while client.is_handshaking() {
            if client.complete_io(&mut stream)? == (0, 0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // In TLS 1.3 a server that misses the client's certificate says so only now.
        let mut tls = rustls::Stream::new(&mut client, &mut stream);
        tls.write_all(hello)?;
        tls.read(&mut [0; 1]).map(drop)
    };
    let talked = talk();
    Some((talked, client.peer_certificates().is_some()))
}

fn of_error(error: &io::Error, certified: bool, host: &str, trusted: Option<&Path>) -> Option<Refusal> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    match error {
        Error::InvalidCertificate(wrong) => Some(of_certificate(wrong, host, trusted)),
        Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate | AlertDescription::NoCertificate,
        ) => Some(Refusal::ClientCertificate),
        // Before its own certificate, a server says so of versions and ciphers; after it, of ours.
        Error::AlertReceived(AlertDescription::HandshakeFailure) if certified => Some(Refusal::ClientCertificate),
        _ => None,
    }
}

fn of_certificate(wrong: &CertificateError, host: &str, trusted: Option<&Path>) -> Refusal {
    use CertificateError as E;
    match wrong {
        E::UnknownIssuer => Refusal::UnknownAuthority { trusted: trusted.map(Path::to_owned) },
        E::Expired | E::ExpiredContext { .. } => Refusal::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => Refusal::NotYetValid,
        E::NotValidForName => Refusal::WrongName { called: host.to_owned(), names: Vec::new() },
        E::NotValidForNameContext { presented, .. } => {
            Refusal::WrongName { called: host.to_owned(), names: presented.iter().map(|name| plain(name)).collect() }
        }
        other => Refusal::Certificate(other.to_string()),
    }
}

/// `DnsName("broker.invalid")` as `broker.invalid`.
fn plain(presented: &str) -> String {
    let inner = presented.split_once('(').map_or(presented, |(_kind, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"').to_owned()
}
