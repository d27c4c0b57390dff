//! Why a connection could not be made, or broke: told apart once, so that no advice contradicts what happened.

use std::{fmt, io};

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreached {
    /// No host is known by this name.
    UnknownName,
    /// Nobody could be asked what the name means.
    NoNameServer,
    /// The host is there, and nothing listens on the port.
    Refused,
    /// There is no way to the host.
    NoRoute,
    /// Nothing answered the attempt to connect.
    TimedOut,
    /// It was connected to, and said nothing in time.
    Silent,
    /// The other side ended the connection.
    Closed,
    /// The operating system's own words.
    Other(String),
}

impl Unreached {
    /// What an error of the operating system means.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::ConnectionRefused => Self::Refused,
            E::HostUnreachable | E::NetworkUnreachable | E::NetworkDown | E::AddrNotAvailable => Self::NoRoute,
            E::TimedOut => Self::TimedOut,
            // What a socket's own time limit ends with.
            E::WouldBlock => Self::Silent,
            E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof | E::NotConnected => {
                Self::Closed
            }
            _ => Self::of_text(&error.to_string()),
        }
    }

    /// The standard library has no kind for a name that is not resolved, and clients keep the text alone.
    fn of_text(text: &str) -> Self {
        let says = |part: &str| text.contains(part);
        if says("Temporary failure in name resolution") {
            Self::NoNameServer
        } else if says("failed to lookup address") || says("Name or service not known") {
            Self::UnknownName
        } else {
            Self::Other(text.to_owned())
        }
    }

    /// What to look at, where there is anything to be said.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::UnknownName => "is the name spelled right, and known to the name server of this machine?",
            Self::NoNameServer => "see /etc/resolv.conf, or give the IP address",
            Self::Refused => "is it the right port, and is it up?",
            Self::NoRoute => "is this machine in the right network (VPN, VPC, IPv6)?",
            Self::TimedOut => "does a firewall or security group let this machine through, and is the address right?",
            Self::Silent => "is it overloaded or paused, and is it the right port?",
            Self::Closed => "look at its log",
            Self::Other(_) => "",
        }
    }

    /// What happened and what to look at, as one clause.
    pub fn told(&self) -> String {
        match self.advice() {
            "" => self.to_string(),
            advice => format!("{self}; {advice}"),
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownName => "unknown name: no address belongs to this host name",
            Self::NoNameServer => "the name could not be looked up: no name server answers",
            Self::Refused => "connection refused: nothing listens there",
            Self::NoRoute => "unreachable: there is no route to it",
            Self::TimedOut => "timed out: nothing answered the attempt to connect",
            Self::Silent => "it accepts connections, but did not answer in time",
            Self::Closed => "it closed the connection",
            Self::Other(text) => text,
        })
    }
}

impl std::error::Error for Unreached {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_system_is_told_apart() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionRefused, Unreached::Refused),
            (io::ErrorKind::HostUnreachable, Unreached::NoRoute),
            (io::ErrorKind::TimedOut, Unreached::TimedOut),
            (io::ErrorKind::WouldBlock, Unreached::Silent),
            (io::ErrorKind::UnexpectedEof, Unreached::Closed),
        ] {
            assert_eq!(Unreached::of(&io::Error::from(kind)), expected);
        }
        let text = |text: &str| Unreached::of(&io::Error::other(text));
        let lookup = "failed to lookup address information: ";
        assert_eq!(text(&format!("{lookup}Name or service not known")), Unreached::UnknownName);
        assert_eq!(text(&format!("{lookup}Temporary failure in name resolution")), Unreached::NoNameServer);
        assert_eq!(text("bad luck"), Unreached::Other("bad luck".into()));
    }
}
