//! What a Kafka client's failure means: who is not let in, and why; or which right is missing.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{KafkaAccess, Security};
use shasta_reader::{
    address::Address,
    refusal::{Asker, Refusal},
    tls::{self, Spoken},
};

/// ApiVersions, version 0: the one request that every listener answers before anything else.
const HELLO: &[u8] = b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff";

/// What a user may not do, in the words of Kafka's access control lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right<'a> {
    /// `Read`, `Write`, `Describe`, `DescribeConfigs` or `Create`.
    pub operation: &'a str,
    /// `topic`, `group` or `cluster`.
    pub resource: &'a str,
    /// Which one.
    pub name: &'a str,
}

impl KafkaAccess {
    /// Whose words a remedy is told in.
    pub(crate) fn asker(&self) -> Asker {
        match &self.security {
            Security::Plaintext => Asker::Kafka { sasl: false, tls: false },
            Security::Tls { .. } => Asker::Kafka { sasl: false, tls: true },
            Security::SaslScram { tls, .. } => Asker::Kafka { sasl: true, tls: *tls },
        }
    }

    /// What a client's reason for a failed connection says by itself: that a login came to nothing.
    fn login_refused(&self, reason: &str) -> Option<Refusal> {
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        let Security::SaslScram { mechanism, .. } = &self.security else { return None };
        if says(&["current SASL state", "IllegalSaslState"]) {
            return Some(Refusal::NoLogin);
        }
        if says(&["nsupported SASL mechanism", "unsupported sasl mechanism", "UnsupportedSaslMechanism"]) {
            let offered = reason.split_once("supported mechanisms: ").map_or("", |(_, list)| list);
            let offered = offered.split_once(" (").map_or(offered, |(list, _)| list).replace(',', ", ");
            return Some(Refusal::Mechanism { asked: mechanism.name(), offered });
        }
        says(&["SASL authentication error", "SaslAuthenticationFailed", "invalid credentials"])
            .then_some(Refusal::Credentials)
    }

    /// Why the broker at `address` and a client of ours do not come together, from the client's reason, and by greeting the
    /// broker once more, which takes seconds at most. `None` where nothing is found that would stay so.
    pub(crate) fn refusal(&self, address: &str, reason: &str) -> Option<Refusal> {
        self.login_refused(reason).or_else(|| {
            let Address { host, port } = Address::parse(address, None).ok()?;
            let spoken = match &self.security {
                Security::Tls { ca_file } | Security::SaslScram { tls: true, ca_file, .. } => {
                    Spoken::Tls(ca_file.as_deref())
                }
                Security::Plaintext | Security::SaslScram { tls: false, .. } => Spoken::Plain,
            };
            tls::refusal(&host, port, spoken, HELLO)
        })
    }

    /// The same, told: what is wrong at `address`, and what to do.
    pub(crate) fn refusal_told(&self, address: &str, reason: &str) -> Option<String> {
        Some(self.refusal(address, reason)?.told(self.asker()))
    }

    /// Who asks, as access control lists name him.
    fn principal(&self) -> String {
        match &self.security {
            Security::SaslScram { username, .. } => format!("User:{username}"),
            Security::Plaintext | Security::Tls { .. } => "User:ANONYMOUS".to_owned(),
        }
    }

    /// That a right is missing, and how it is granted.
    pub(crate) fn lacks(&self, Right { operation, resource, name }: Right<'_>) -> String {
        let principal = self.principal();
        let (of, option) = match resource {
            "cluster" => ("the cluster".to_owned(), "--cluster".to_owned()),
            _ => (format!("{resource} `{name}`"), format!("--{resource} {name}")),
        };
        format!(
            "{principal} lacks the right {operation} on {of}; grant it: kafka-acls --bootstrap-server HOST:PORT --add \
             --allow-principal {principal} --operation {operation} {option}"
        )
    }

    /// What an error means that answers a request which takes `rights`: of topic, group and cluster.
    pub(crate) fn denied(&self, code: RDKafkaErrorCode, rights: &[Right<'_>]) -> Option<String> {
        use RDKafkaErrorCode as E;
        let resource = match code {
            E::TopicAuthorizationFailed => "topic",
            E::GroupAuthorizationFailed => "group",
            E::ClusterAuthorizationFailed => "cluster",
            E::Authentication | E::SaslAuthenticationFailed => {
                return Some(Refusal::Credentials.told(self.asker()));
            }
            _ => return None,
        };
        rights.iter().find(|right| right.resource == resource).map(|right| self.lacks(*right))
    }

    /// An error of a request that takes `rights`, told: what is refused and how that is mended, or the error itself. `reason`
    /// is the client's for its last failed connection, and counts where the error is of connections.
    pub(crate) fn told(&self, error: &KafkaError, reason: Option<&str>, rights: &[Right<'_>]) -> String {
        let code = match error {
            // rdkafka leaves this one out.
            KafkaError::AdminOp(code) => Some(*code),
            _ => error.rdkafka_error_code(),
        };
        if let Some(reason) = reason.filter(|_| code.is_some_and(is_of_connections)) {
            let refused = broker(reason).and_then(|address| Some((address, self.refusal_told(address, reason)?)));
            return match refused {
                Some((address, refused)) => format!("broker {address}: {refused}"),
                None => format!("{error} ({})", readable(reason)),
            };
        }
        code.and_then(|code| self.denied(code, rights)).unwrap_or_else(|| error.to_string())
    }
}

/// Whether an error says that a broker could not be spoken to, whatever was asked.
fn is_of_connections(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::BrokerTransportFailure
            | E::AllBrokersDown
            | E::Resolve
            | E::OperationTimedOut
            | E::RequestTimedOut
            | E::MessageTimedOut
            | E::WaitingForCoordinator
            | E::SSL
            | E::Authentication
            | E::SaslAuthenticationFailed
    )
}

/// The broker that a client's reason begins with: `sasl_ssl://host:port/bootstrap: …`, `host:port/1: …`.
fn broker(reason: &str) -> Option<&str> {
    let (broker, _) = reason.split_once('/').filter(|(scheme, _)| !scheme.ends_with(':')).or_else(|| {
        let (_, rest) = reason.split_once("://")?;
        rest.split_once('/')
    })?;
    Address::parse(broker, None).ok().map(|_| broker)
}

/// A client's reason without what only its authors can read: OpenSSL's numbers, the state of a connection.
pub(crate) fn readable(reason: &str) -> String {
    const NUMBER: &str = "error:";
    let mut text = reason.split_once(" (after ").map_or(reason, |(text, _)| text).to_owned();
    let is_number =
        |rest: &str| rest.split(':').next().is_some_and(|n| n.len() == 8 && u32::from_str_radix(n, 16).is_ok());
    // `error:0A000086:SSL routines::certificate verify failed`
    while let Some(at) = text.match_indices(NUMBER).map(|(at, _)| at).find(|at| is_number(&text[at + NUMBER.len()..])) {
        let end = text[at..].find("::").map_or(at + NUMBER.len() + 9, |end| at + end + 2);
        text.replace_range(at..end.min(text.len()), "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::access::tests::scram;

    #[test]
    fn the_broker_is_read_from_a_clients_reason() {
        for (reason, expected) in [
            ("sasl_ssl://b-1.msk:9096/bootstrap: SSL handshake failed", Some("b-1.msk:9096")),
            ("127.0.0.1:9092/1: Disconnected", Some("127.0.0.1:9092")),
            ("ssl://[::1]:9093/2: Disconnected", Some("[::1]:9093")),
            ("GroupCoordinator: gone", None),
            ("", None),
        ] {
            assert_eq!(broker(reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_login_that_came_to_nothing_is_read_from_the_words_of_both_clients() {
        let access = scram();
        let offered = |offered: &str| Refusal::Mechanism { asked: "SCRAM-SHA-512", offered: offered.into() };
        for (reason, expected) in [
            (
                "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 311ms in state AUTH_REQ)",
                Refusal::Credentials,
            ),
            ("Sasl handshake failed: API error: SaslAuthenticationFailed", Refusal::Credentials),
            (
                "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN,SCRAM-SHA-256 (after 3ms in state AUTH_HANDSHAKE)",
                offered("PLAIN, SCRAM-SHA-256"),
            ),
            ("unsupported sasl mechanism", offered("")),
            (
                "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms:  (after 0ms",
                Refusal::NoLogin,
            ),
        ] {
            assert_eq!(access.login_refused(reason), Some(expected), "{reason}");
        }
        assert_eq!(access.login_refused("Connect to ipv4#127.0.0.1:1 failed: Connection refused"), None);
    }

    #[test]
    fn no_number_of_openssl_is_shown() {
        let reason = "ssl://h:1/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42 (after 0ms in state APIVERSION_QUERY)";
        assert_eq!(
            readable(reason),
            "ssl://h:1/bootstrap: Receive failed: ssl/tls alert bad certificate: SSL alert number 42"
        );
        for kept in ["error:", "SASL authentication error: no", "error:0A000086", ""] {
            assert!(kept.contains(&readable(kept)), "{kept}");
        }
    }

    #[test]
    fn a_missing_right_is_named_with_how_it_is_granted() {
        let read = Right { operation: "Read", resource: "topic", name: "t" };
        let told = scram().denied(RDKafkaErrorCode::TopicAuthorizationFailed, &[read]).unwrap();
        assert!(told.starts_with("User:me lacks the right Read on topic `t`") && told.contains("--topic t"), "{told}");
        let plain = KafkaAccess::plaintext(vec![]);
        assert!(plain.lacks(read).starts_with("User:ANONYMOUS"));
        assert_eq!(plain.denied(RDKafkaErrorCode::GroupAuthorizationFailed, &[read]), None);
        let answered = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(plain.told(&answered, Some("h:1/1: Disconnected"), &[read]), plain.lacks(read));
    }
}
