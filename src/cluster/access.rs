//! How to reach Kafka and Redis: addresses and secrets, which are never printed and never on a command line.

use std::{fmt, path::PathBuf};

use rdkafka::ClientConfig;
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};

use super::ClusterError;
use shasta_reader::{tls, topology::Seeds};

pub(super) const BOOTSTRAP: &str = "SHASTA_BOOTSTRAP";
pub(super) const REDIS: &str = "SHASTA_REDIS";
pub(super) const PROTOCOL: &str = "SHASTA_SECURITY_PROTOCOL";
pub(super) const MECHANISM: &str = "SHASTA_SASL_MECHANISM";
pub(super) const USERNAME: &str = "SHASTA_SASL_USERNAME";
pub(super) const PASSWORD: &str = "SHASTA_SASL_PASSWORD";
pub(super) const CA_FILE: &str = "SHASTA_CA_FILE";
pub(super) const REDIS_CA_FILE: &str = "SHASTA_REDIS_CA_FILE";

/// A password: shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SCRAM with which hash; Amazon MSK has SHA-512 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scram {
    /// `SCRAM-SHA-256`
    Sha256,
    /// `SCRAM-SHA-512`
    Sha512,
}

impl Scram {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }
}

/// How connections to the brokers are secured. Certificates are always verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// Encrypted; verified against `ca_file` (PEM), or against the system's authorities.
    Tls {
        /// Authorities to trust instead of the system's.
        ca_file: Option<PathBuf>,
    },
    /// Authenticated by user name and password.
    SaslScram {
        /// With which hash.
        mechanism: Scram,
        /// User name.
        username: String,
        /// Password.
        password: Secret,
        /// Whether the connection is encrypted as well.
        tls: bool,
        /// Authorities to trust instead of the system's.
        ca_file: Option<PathBuf>,
    },
}

/// Everything that a Kafka client needs to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaAccess {
    /// `host:port` of some brokers.
    pub bootstrap: Vec<String>,
    /// How connections are secured.
    pub security: Security,
}

/// Both ends of the pipeline that a run measures.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The brokers.
    pub kafka: KafkaAccess,
    /// Redis as a URL, which may name several nodes, see [`Seeds`]. It may hold a password: print
    /// [`Endpoints::redis_shown`] instead.
    pub redis_url: String,
}

impl KafkaAccess {
    /// Brokers that are reached without encryption or a password.
    pub fn plaintext(bootstrap: Vec<String>) -> Self {
        Self { bootstrap, security: Security::Plaintext }
    }

    /// The environment that hands the access to a child process.
    pub fn env(&self) -> Vec<(String, String)> {
        let path = |file: &Option<PathBuf>| file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        let mut pairs = vec![(BOOTSTRAP, self.bootstrap.join(","))];
        match &self.security {
            Security::Plaintext => pairs.push((PROTOCOL, "PLAINTEXT".to_owned())),
            Security::Tls { ca_file } => pairs.extend([(PROTOCOL, "SSL".to_owned()), (CA_FILE, path(ca_file))]),
            Security::SaslScram { mechanism, username, password, tls, ca_file } => pairs.extend([
                (PROTOCOL, if *tls { "SASL_SSL" } else { "SASL_PLAINTEXT" }.to_owned()),
                (MECHANISM, mechanism.name().to_owned()),
                (USERNAME, username.clone()),
                (PASSWORD, password.0.clone()),
                (CA_FILE, path(ca_file)),
            ]),
        }
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The connection settings of a librdkafka client, and nothing else.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap.join(","));
        let mut ca = |file: &Option<PathBuf>| {
            if let Some(file) = file {
                config.set("ssl.ca.location", file.display().to_string());
            }
        };
        match &self.security {
            Security::Plaintext => {}
            Security::Tls { ca_file } => {
                ca(ca_file);
                config.set("security.protocol", "SSL");
            }
            Security::SaslScram { mechanism, username, password, tls, ca_file } => {
                ca(ca_file);
                config.set("security.protocol", if *tls { "SASL_SSL" } else { "SASL_PLAINTEXT" });
                config.set("sasl.mechanisms", mechanism.name());
                config.set("sasl.username", username).set("sasl.password", &password.0);
            }
        }
        config
    }

    /// A builder of an rskafka client with the connection settings.
    ///
    /// # Errors
    /// When the certificate authorities cannot be read.
    pub fn rskafka_builder(&self) -> Result<ClientBuilder, ClusterError> {
        let builder = ClientBuilder::new(self.bootstrap.clone());
        match &self.security {
            Security::Plaintext => Ok(builder),
            Security::Tls { ca_file } => with_tls(builder, ca_file),
            Security::SaslScram { mechanism, username, password, tls, ca_file } => {
                let credentials = Credentials::new(username.clone(), password.0.clone());
                let builder = builder.sasl_config(match mechanism {
                    Scram::Sha256 => SaslConfig::ScramSha256(credentials),
                    Scram::Sha512 => SaslConfig::ScramSha512(credentials),
                });
                if *tls { with_tls(builder, ca_file) } else { Ok(builder) }
            }
        }
    }
}

fn with_tls(builder: ClientBuilder, ca_file: &Option<PathBuf>) -> Result<ClientBuilder, ClusterError> {
    let authorities = tls::authorities(ca_file.as_deref()).map_err(|problem| bad("--ca-file", &problem))?;
    Ok(builder.tls_config(tls::client_config(authorities).into()))
}

impl Endpoints {
    /// The environment that hands both addresses to a child process.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut pairs = self.kafka.env();
        pairs.push((REDIS.to_owned(), self.redis_url.clone()));
        pairs
    }

    /// The nodes of Redis.
    ///
    /// # Errors
    /// The URL is none.
    pub fn redis(&self) -> redis::RedisResult<Seeds> {
        Seeds::parse(&self.redis_url)
    }

    /// The Redis URL with its password as `***`.
    pub fn redis_shown(&self) -> String {
        redacted(&self.redis_url)
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("kafka", &self.kafka).field("redis", &self.redis_shown()).finish()
    }
}

/// A URL, or any text that holds one, with the password as `***`: for command lines in manifests.
pub fn redacted(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    // The last `@`, since a password that should have been percent-encoded may hold one.
    let Some((user, host)) = rest.rsplit_once('@') else { return text.to_owned() };
    let user = user.split_once(':').map_or("", |(user, _)| user);
    format!("{before}://{user}:***@{host}")
}

pub(super) fn bad(what: &str, problem: &str) -> ClusterError {
    ClusterError::BadAddress { what: what.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for url in [
            "redis://user:s3cret@host:1/0",
            "redis://:s3cret@host",
            "redis://:p@s3cret@host",
            "--redis=redis://a:s3cret@h",
        ] {
            assert!(!redacted(url).contains("s3cret"), "{}", redacted(url));
        }
        assert_eq!(redacted("redis://host:1"), "redis://host:1");
        assert_eq!(redacted("redis://user:x@host:1"), "redis://user:***@host:1");
        let access = scram();
        let endpoints = Endpoints { kafka: access, redis_url: "redis://:s3cret@h".to_owned() };
        assert!(!format!("{endpoints:?}").contains("s3cret"));
    }

    pub(in crate::cluster) fn scram() -> KafkaAccess {
        let password = Secret("s3cret".to_owned());
        let (mechanism, username) = (Scram::Sha512, "me".to_owned());
        let security =
            Security::SaslScram { mechanism, username, password, tls: true, ca_file: Some("/ca.pem".into()) };
        KafkaAccess { bootstrap: vec!["a:1".to_owned(), "b:2".to_owned()], security }
    }

    #[test]
    fn clients_get_the_connection_settings() {
        let config = scram().client_config();
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.get("sasl.mechanisms"), Some("SCRAM-SHA-512"));
        assert_eq!(config.get("ssl.ca.location"), Some("/ca.pem"));
        let plain = KafkaAccess::plaintext(vec!["a:1".to_owned()]);
        assert_eq!(plain.client_config().config_map().len(), 1);
        assert!(plain.rskafka_builder().is_ok());
    }
}
