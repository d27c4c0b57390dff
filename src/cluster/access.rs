//! How to reach Kafka and Redis: addresses and secrets, which are never printed and never on a command line.

use std::{fmt, path::PathBuf};

use rdkafka::ClientConfig;
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};

use super::ClusterError;

const BOOTSTRAP: &str = "SHASTA_BOOTSTRAP";
const REDIS: &str = "SHASTA_REDIS";
const PROTOCOL: &str = "SHASTA_SECURITY_PROTOCOL";
const MECHANISM: &str = "SHASTA_SASL_MECHANISM";
const USERNAME: &str = "SHASTA_SASL_USERNAME";
const PASSWORD: &str = "SHASTA_SASL_PASSWORD";
const CA_FILE: &str = "SHASTA_CA_FILE";

/// A password: shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

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
    fn name(self) -> &'static str {
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
    /// Redis as a URL. It may hold a password: print [`Endpoints::redis_shown`] instead.
    pub redis_url: String,
}

/// Addresses of an external cluster from the command line; what is not given is taken from the environment.
#[derive(Clone, Default, clap::Args)]
pub struct Addresses {
    /// Brokers of an external cluster, comma-separated [env: SHASTA_BOOTSTRAP]
    #[arg(long, value_name = "HOST:PORT,...")]
    pub bootstrap: Option<String>,
    /// Redis of an external cluster; a password belongs in the environment [env: SHASTA_REDIS]
    #[arg(long = "redis", value_name = "URL")]
    pub redis_url: Option<String>,
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL [env: SHASTA_SECURITY_PROTOCOL; the password: SHASTA_SASL_PASSWORD]
    #[arg(long, value_name = "PROTOCOL")]
    pub security_protocol: Option<String>,
    /// SCRAM-SHA-256 or SCRAM-SHA-512 (the default) [env: SHASTA_SASL_MECHANISM]
    #[arg(long, value_name = "NAME")]
    pub sasl_mechanism: Option<String>,
    /// User name for SASL [env: SHASTA_SASL_USERNAME]
    #[arg(long, value_name = "NAME")]
    pub sasl_username: Option<String>,
    /// Certificate authorities (PEM) to trust instead of the system's [env: SHASTA_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Addresses {
    /// The flag that was given first, if any was.
    pub fn first_flag(&self) -> Option<&'static str> {
        let flags = [
            (&self.bootstrap, "--bootstrap"),
            (&self.redis_url, "--redis"),
            (&self.security_protocol, "--security-protocol"),
            (&self.sasl_mechanism, "--sasl-mechanism"),
            (&self.sasl_username, "--sasl-username"),
            (&self.ca_file, "--ca-file"),
        ];
        flags.into_iter().find_map(|(value, flag)| value.is_some().then_some(flag))
    }

    /// The endpoints that flags and environment name together.
    ///
    /// # Errors
    /// When an address is missing or malformed, or asks for TLS in a build without it.
    pub fn resolve(self) -> Result<Endpoints, ClusterError> {
        self.resolve_in(&process_environment)
    }

    fn resolve_in(mut self, env: Environment) -> Result<Endpoints, ClusterError> {
        let redis_url = self.redis_url.take().or_else(|| env(REDIS));
        let kafka = self.kafka(env)?;
        let missing = ClusterError::NoAddress { what: "a Redis URL", flag: "--redis URL", variable: REDIS };
        let endpoints = Endpoints { kafka, redis_url: redis_url.ok_or(missing)? };
        match endpoints.redis_url.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis") => Ok(endpoints),
            Some("rediss") if cfg!(feature = "tls") => Ok(endpoints),
            Some("rediss") => Err(ClusterError::NeedsTls { what: "a rediss:// URL" }),
            _ => Err(bad(REDIS, "write it as redis://[user:password@]host:port, or rediss:// for TLS")),
        }
    }

    fn kafka(self, env: Environment) -> Result<KafkaAccess, ClusterError> {
        let missing = ClusterError::NoAddress {
            what: "bootstrap servers",
            flag: "--bootstrap HOST:PORT,...",
            variable: BOOTSTRAP,
        };
        let bootstrap = self.bootstrap.clone().or_else(|| env(BOOTSTRAP)).ok_or(missing)?;
        let bootstrap: Vec<String> =
            bootstrap.split(',').map(|a| a.trim().to_owned()).filter(|a| !a.is_empty()).collect();
        if bootstrap.is_empty() {
            return Err(bad(BOOTSTRAP, "it names no broker; write host:port, comma-separated"));
        }
        for address in &bootstrap {
            split_address(address)?;
        }
        Ok(KafkaAccess { bootstrap, security: self.security(env)? })
    }

    fn security(self, env: Environment) -> Result<Security, ClusterError> {
        let protocol = self.security_protocol.or_else(|| env(PROTOCOL)).unwrap_or_else(|| "PLAINTEXT".to_owned());
        let ca_file = self.ca_file.or_else(|| env(CA_FILE)).map(PathBuf::from);
        let security = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => return Ok(Security::Plaintext),
            "SSL" | "TLS" => Security::Tls { ca_file },
            sasl @ ("SASL_PLAINTEXT" | "SASL_SSL") => {
                let mechanism =
                    self.sasl_mechanism.or_else(|| env(MECHANISM)).unwrap_or_else(|| "SCRAM-SHA-512".to_owned());
                let mechanism = match mechanism.to_ascii_uppercase().as_str() {
                    "SCRAM-SHA-256" => Scram::Sha256,
                    "SCRAM-SHA-512" => Scram::Sha512,
                    other => return Err(bad(MECHANISM, &format!("`{other}` is not SCRAM-SHA-256 or SCRAM-SHA-512"))),
                };
                let username = self.sasl_username.or_else(|| env(USERNAME)).ok_or(ClusterError::NoAddress {
                    what: "a user name for SASL",
                    flag: "--sasl-username NAME",
                    variable: USERNAME,
                })?;
                let password = env(PASSWORD)
                    .map(Secret)
                    .ok_or_else(|| bad(PASSWORD, "SASL needs it; set it in the environment"))?;
                Security::SaslScram { mechanism, username, password, tls: sasl == "SASL_SSL", ca_file }
            }
            other => {
                return Err(bad(PROTOCOL, &format!("`{other}` is not PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")));
            }
        };
        if cfg!(feature = "tls") {
            Ok(security)
        } else {
            Err(ClusterError::NeedsTls { what: "this security protocol" })
        }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = self.redis_url.as_deref().map(redacted);
        f.debug_struct("Addresses").field("bootstrap", &self.bootstrap).field("redis", &redis).finish_non_exhaustive()
    }
}

impl KafkaAccess {
    /// Brokers that are reached without encryption or a password.
    pub fn plaintext(bootstrap: Vec<String>) -> Self {
        Self { bootstrap, security: Security::Plaintext }
    }

    /// Reads what [`KafkaAccess::env`] wrote.
    ///
    /// # Errors
    /// As [`Addresses::resolve`].
    pub fn from_env() -> Result<Self, ClusterError> {
        Addresses::default().kafka(&process_environment)
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
    /// When the certificate authorities cannot be read, or the build has no TLS.
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

#[cfg(not(feature = "tls"))]
fn with_tls(_builder: ClientBuilder, _ca_file: &Option<PathBuf>) -> Result<ClientBuilder, ClusterError> {
    Err(ClusterError::NeedsTls { what: "this security protocol" })
}

#[cfg(feature = "tls")]
fn with_tls(builder: ClientBuilder, ca_file: &Option<PathBuf>) -> Result<ClientBuilder, ClusterError> {
    use rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    };
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        let unreadable = |problem: String| bad(CA_FILE, &format!("{}: {problem}; name a PEM file", file.display()));
        let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(bad(CA_FILE, "no certificate authority to trust; install ca-certificates, or name a PEM file"));
    }
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(builder.tls_config(config.into()))
}

impl Endpoints {
    /// Reads what [`Endpoints::env`] wrote.
    ///
    /// # Errors
    /// As [`Addresses::resolve`].
    pub fn from_env() -> Result<Self, ClusterError> {
        Addresses::default().resolve()
    }

    /// The environment that hands both addresses to a child process.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut pairs = self.kafka.env();
        pairs.push((REDIS.to_owned(), self.redis_url.clone()));
        pairs
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

/// Host and port of `host:port` or `[v6]:port`.
pub(super) fn split_address(address: &str) -> Result<(&str, u16), ClusterError> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() && port > 0 => Ok((host.trim_matches(['[', ']']), port)),
        _ => Err(bad(BOOTSTRAP, &format!("`{address}` is not host:port"))),
    }
}

fn bad(what: &str, problem: &str) -> ClusterError {
    ClusterError::BadAddress { what: what.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(env: &[(&str, &str)]) -> Result<Endpoints, ClusterError> {
        let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Addresses::default().resolve_in(&lookup)
    }

    #[test]
    fn missing_addresses_say_what_to_set() {
        let text = resolve(&[]).unwrap_err().to_string();
        assert!(text.contains("--bootstrap") && text.contains(BOOTSTRAP), "{text}");
        let text = resolve(&[(BOOTSTRAP, "a:9092")]).unwrap_err().to_string();
        assert!(text.contains("--redis") && text.contains(REDIS), "{text}");
    }

    #[test]
    fn malformed_addresses_are_named() {
        for (bootstrap, redis) in
            [("a", "redis://r"), ("a:9092,b:x", "redis://r"), (":1", "redis://r"), ("a:1", "http://r"), (",", "")]
        {
            assert!(matches!(resolve(&[(BOOTSTRAP, bootstrap), (REDIS, redis)]), Err(ClusterError::BadAddress { .. })));
        }
        let protocol = [(BOOTSTRAP, "a:1"), (REDIS, "redis://r"), (PROTOCOL, "SLL")];
        assert!(resolve(&protocol).unwrap_err().to_string().contains("SASL_SSL"));
    }

    #[test]
    fn flags_come_before_the_environment() {
        let flags = Addresses { bootstrap: Some("[::1]:1, b:2".to_owned()), ..Addresses::default() };
        let endpoints = flags.resolve_in(&|name| (name == REDIS).then(|| "redis://r:6379".to_owned())).unwrap();
        assert_eq!(endpoints.kafka.bootstrap, ["[::1]:1", "b:2"]);
        assert_eq!(split_address("[::1]:1").unwrap(), ("::1", 1));
    }

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
        let flags = Addresses { redis_url: Some("redis://:s3cret@h".to_owned()), ..Addresses::default() };
        assert!(!format!("{flags:?}").contains("s3cret"));
    }

    fn scram() -> KafkaAccess {
        let password = Secret("s3cret".to_owned());
        let (mechanism, username) = (Scram::Sha512, "me".to_owned());
        let security =
            Security::SaslScram { mechanism, username, password, tls: true, ca_file: Some("/ca.pem".into()) };
        KafkaAccess { bootstrap: vec!["a:1".to_owned(), "b:2".to_owned()], security }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn a_child_reads_the_access_from_its_environment() {
        for access in [scram(), KafkaAccess::plaintext(vec!["a:1".to_owned()])] {
            let env = access.env();
            let lookup = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            assert_eq!(Addresses::default().kafka(&lookup).unwrap(), access);
        }
        assert!(scram().rskafka_builder().unwrap_err().to_string().contains("/ca.pem"));
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn tls_without_the_feature_says_how_to_build() {
        let plain = [(BOOTSTRAP, "a:1"), (REDIS, "redis://r")];
        assert_eq!(resolve(&plain).unwrap().env().len(), 3);
        for extra in [(PROTOCOL, "SSL"), (REDIS, "rediss://r")] {
            let env = [&[extra][..], &plain].concat();
            assert!(resolve(&env).unwrap_err().to_string().contains("--features tls"));
        }
        assert!(matches!(scram().rskafka_builder(), Err(ClusterError::NeedsTls { .. })));
    }
}
