//! What an error of Redis means, and what to do about it: told in one place, so that no advice contradicts the error at
//! hand.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError};

use crate::address::Unreached;

/// What Redis, or TLS, says for itself, by words of its own; the first that matches.
const SAID: [(&[&str], &str); 22] = [
    (
        &["WRONGPASS", "invalid password", "invalid username-password", "AuthenticationFailed"],
        "it refuses user or password, or wants none; correct its URL (redis://user:password@host:port, percent-encoded)",
    ),
    (
        &["NOAUTH", "Authentication required"],
        "it wants a password; put it into its URL as redis://:password@host:port (by SHASTA_REDIS, since others can read \
         flags)",
    ),
    (&["NOPERM"], "its user lacks a right; ACL SETUSER grants it: keys ~shasta:*, and the command that is named here"),
    (&["protected mode"], "it lets in its own machine alone (protected-mode); set a password for it, or run there"),
    (&["max number of clients"], "it has no connection left; raise its maxclients, or end other clients"),
    (&["READONLY"], "it takes no writes; name its primary, alone or beside it (host:port,host:port)"),
    (
        &["NOREPLICAS"],
        "it takes no writes while too few replicas follow it (min-replicas-to-write); bring them back, or lower that setting",
    ),
    (
        &["OOM", "OOM command"],
        "it is full, and takes no more writes; raise its maxmemory, or ask for less (--bytes, --names-per-tag, --stream-maxlen)",
    ),
    (&["MISCONF"], "it takes no writes since it cannot save to its disk; its log says why"),
    (&["LOADING"], "it is still loading its data from disk; wait until it has"),
    (&["MASTERDOWN"], "it has lost its primary; bring that back, or promote a replica"),
    (&["CLUSTERDOWN"], "the cluster is down or lacks slots; see CLUSTER INFO and CLUSTER SLOTS"),
    (
        &["SELECT is not allowed", "DB index is out of range"],
        "it has no database of this number; leave the number out of its URL",
    ),
    (
        &["unknown command"],
        "a command is missing there: it is renamed or disabled, or this Redis is too old (7 is what is tested)",
    ),
    (
        &["UnknownIssuer"],
        "its certificate is signed by no authority that this machine trusts; add that one to the system's (SSL_CERT_FILE names others)",
    ),
    (&["certificate expired", "Expired"], "its certificate has expired; renew it, or set this machine's clock right"),
    (&["not valid yet", "NotValidYet"], "its certificate is not valid yet; set this machine's clock right"),
    (
        &["NotValidForName", "not valid for name", "not valid for any names"],
        "its certificate is for another host name; use a name that it has",
    ),
    (
        &["CertificateRequired", "certificate required", "CertificateUnknown"],
        "it demands a certificate of its clients, and there is no way to give one; see its tls-auth-clients",
    ),
    (
        &["InvalidContentType", "corrupt message", "InvalidMessage"],
        "it does not answer in TLS; if it speaks plain text, write redis://",
    ),
    (
        &["HandshakeFailure", "handshake failure", "ProtocolVersion", "PeerIncompatible"],
        "it has no version or cipher of TLS in common with this program (TLS 1.2 and 1.3)",
    ),
    (&["could not resolve to any addresses"], "unknown name: no address belongs to this host name"),
];

/// Shorter words are codes, which may be a part of any word.
const CODE_MIN: usize = 3;

/// What happened, what to do, and the error's own text where that says more. `tls` is whether TLS was tried.
pub fn told(error: &RedisError, tls: bool) -> String {
    let text = error.to_string();
    let says = |word: &&str| error.code() == Some(*word) || (word.len() > CODE_MIN && text.contains(*word));
    let said = SAID.iter().find(|(words, _)| words.iter().any(says));
    if let Some((_, meaning)) = said {
        return format!("{meaning} ({text})");
    }
    match (unreached(error), tls) {
        (Some(Unreached::Closed), false) => {
            format!("it hung up without an answer in plain text; if it demands TLS, write rediss:// ({text})")
        }
        (Some(Unreached::Closed), true) => {
            format!("it hung up during TLS; if it speaks plain text, write redis:// ({text})")
        }
        (Some(Unreached::Silent | Unreached::TimedOut), true) if !is_connect(&text) => {
            format!("it did not answer over TLS in time; if it speaks plain text, write redis:// ({text})")
        }
        (Some(Unreached::Other(_)), _) => text,
        (Some(unreached), _) => format!("{} ({text})", unreached.told()),
        (None, false) if error.kind() == ErrorKind::Parse => {
            format!("its answer is not Redis'; is it the right port? If it demands TLS, write rediss:// ({text})")
        }
        (None, _) if error.kind() == ErrorKind::RESP3NotSupported => format!("Redis 6 or later is needed ({text})"),
        (None, _) => text,
    }
}

/// Whether a text is of a connection that was never made, as the standard library words it.
fn is_connect(text: &str) -> bool {
    text.contains("os error 110") || text == "connection timed out"
}

/// Why there is no connection any more, where that is what happened.
fn unreached(error: &RedisError) -> Option<Unreached> {
    if !error.is_io_error() {
        return None;
    }
    let source = error.source();
    let shared = source.and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let of_system = source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .or_else(|| shared.and_then(|shared| shared.downcast_ref::<io::Error>()));
    Some(of_system.map_or(Unreached::Closed, Unreached::of))
}
