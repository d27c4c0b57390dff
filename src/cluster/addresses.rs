//! Where an external cluster is: flags first, then the environment.

use std::{fmt, path::PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    ClusterError, Endpoints, KafkaAccess, Scram, Secret, Security,
    access::{BOOTSTRAP, CA_FILE, MECHANISM, PASSWORD, PROTOCOL, REDIS, REDIS_CA_FILE, USERNAME, bad, redacted},
};
use shasta_reader::{
    address::Address,
    tls,
    topology::{AUTHORITIES, Seeds},
};

/// Addresses of an external cluster from the command line; what is not given is taken from the environment.
#[derive(Clone, Default, clap::Args)]
pub struct Addresses {
    /// Brokers of an external cluster, comma-separated [env: SHASTA_BOOTSTRAP]
    #[arg(long, value_name = "HOST:PORT,...")]
    pub bootstrap: Option<String>,
    /// Redis of an external cluster: a node, a primary and its replicas (host:port,host:port), or any node of a Redis
    /// Cluster; a password belongs in the environment [env: SHASTA_REDIS]
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
    /// The same for Redis over TLS [env: SHASTA_REDIS_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub redis_ca_file: Option<String>,
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
            (&self.redis_ca_file, "--redis-ca-file"),
        ];
        flags.into_iter().find_map(|(value, flag)| value.is_some().then_some(flag))
    }

    /// The endpoints that flags and environment name together.
    ///
    /// # Errors
    /// When an address is missing or malformed.
    pub fn resolve(self) -> Result<Endpoints, ClusterError> {
        self.resolve_in(&process_environment)
    }

    fn resolve_in(mut self, env: Environment) -> Result<Endpoints, ClusterError> {
        let redis = given(self.redis_url.take(), "--redis", REDIS, env);
        let redis_ca = given(self.redis_ca_file.take(), "--redis-ca-file", REDIS_CA_FILE, env);
        let kafka = self.kafka(env)?;
        let missing = ClusterError::NoAddress { what: "a Redis URL", flag: "--redis URL", variable: REDIS };
        let Given { value: redis_url, by } = redis.ok_or(missing)?;
        let form = "write it as redis://[user:password@]host:port[,host:port…], or rediss:// for TLS";
        let encrypted = match redis_url.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis") => false,
            Some("rediss") => true,
            _ => return Err(bad(by, form)),
        };
        let redis_url = match redis_ca.filter(|ca| encrypted || ca.by.starts_with("--")) {
            Some(ca) => trusting(redis_url, encrypted, &ca)?,
            None => redis_url,
        };
        if let Err(error) = Seeds::parse(&redis_url) {
            return Err(bad(by, &error.detail().map_or_else(|| form.to_owned(), |why| format!("{why}; {form}"))));
        }
        Ok(Endpoints { kafka, redis_url })
    }

    fn kafka(self, env: Environment) -> Result<KafkaAccess, ClusterError> {
        let missing = ClusterError::NoAddress {
            what: "bootstrap servers",
            flag: "--bootstrap HOST:PORT,...",
            variable: BOOTSTRAP,
        };
        let Given { value, by } = given(self.bootstrap.clone(), "--bootstrap", BOOTSTRAP, env).ok_or(missing)?;
        let bootstrap: Vec<String> = value.split(',').map(|a| a.trim().to_owned()).filter(|a| !a.is_empty()).collect();
        if bootstrap.is_empty() {
            return Err(bad(by, "it names no broker; write host:port, comma-separated"));
        }
        let bootstrap = bootstrap.iter().map(|text| text.parse::<Address>().map(|address| address.to_string()));
        let bootstrap = bootstrap.collect::<Result<_, _>>().map_err(|error| bad(by, &error.to_string()))?;
        Ok(KafkaAccess { bootstrap, security: self.security(env)? })
    }

    fn security(self, env: Environment) -> Result<Security, ClusterError> {
        let protocol = given(self.security_protocol.clone(), "--security-protocol", PROTOCOL, env);
        let Given { value: protocol, by } = protocol.unwrap_or(Given { value: "PLAINTEXT".to_owned(), by: PROTOCOL });
        let protocol = protocol.to_ascii_uppercase();
        let (sasl, encrypted) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" | "TLS" => (false, true),
            "SASL_PLAINTEXT" => (true, false),
            "SASL_SSL" => (true, true),
            _ => return Err(bad(by, &format!("`{protocol}` is not PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"))),
        };
        self.without_effect(&protocol, sasl, encrypted)?;
        if !sasl && !encrypted {
            return Ok(Security::Plaintext);
        }
        let ca_file = given(self.ca_file.clone(), "--ca-file", CA_FILE, env).filter(|_| encrypted);
        if let Some(Given { value, by }) = &ca_file {
            tls::authorities(Some(value.as_ref())).map_err(|problem| bad(by, &problem))?;
        }
        let ca_file = ca_file.map(|file| PathBuf::from(file.value));
        if sasl { self.scram(encrypted, ca_file, env) } else { Ok(Security::Tls { ca_file }) }
    }

    /// Refuses flags that the protocol has no use for. Variables may be there for other programs.
    fn without_effect(&self, protocol: &str, sasl: bool, tls: bool) -> Result<(), ClusterError> {
        let flags = [
            (&self.sasl_mechanism, "--sasl-mechanism", sasl, "SASL_SSL or SASL_PLAINTEXT"),
            (&self.sasl_username, "--sasl-username", sasl, "SASL_SSL or SASL_PLAINTEXT"),
            (&self.ca_file, "--ca-file", tls, "SSL or SASL_SSL"),
        ];
        match flags.into_iter().find(|(value, _, used, _)| value.is_some() && !used) {
            Some((_, flag, _, needs)) => Err(bad(
                flag,
                &format!(
                    "it has no effect with the security protocol {protocol}; give --security-protocol {needs}, or leave it out"
                ),
            )),
            None => Ok(()),
        }
    }

    fn scram(self, tls: bool, ca_file: Option<PathBuf>, env: Environment) -> Result<Security, ClusterError> {
        let mechanism = given(self.sasl_mechanism, "--sasl-mechanism", MECHANISM, env);
        let mechanism = match mechanism.as_ref().map(|given| (given.value.to_ascii_uppercase(), given.by)) {
            None => Scram::Sha512,
            Some((name, _)) if name == Scram::Sha512.name() => Scram::Sha512,
            Some((name, _)) if name == Scram::Sha256.name() => Scram::Sha256,
            Some((other, by)) => return Err(bad(by, &format!("`{other}` is not SCRAM-SHA-256 or SCRAM-SHA-512"))),
        };
        let username = self.sasl_username.or_else(|| env(USERNAME)).ok_or(ClusterError::NoAddress {
            what: "a user name for SASL",
            flag: "--sasl-username NAME",
            variable: USERNAME,
        })?;
        let password =
            env(PASSWORD).map(Secret).ok_or_else(|| bad(PASSWORD, "SASL needs it; set it in the environment"))?;
        Ok(Security::SaslScram { mechanism, username, password, tls, ca_file })
    }
}

/// A value, and the flag or variable that it was given by.
struct Given {
    value: String,
    by: &'static str,
}

fn given(flag: Option<String>, name: &'static str, variable: &'static str, env: Environment) -> Option<Given> {
    let by_flag = flag.map(|value| Given { value, by: name });
    by_flag.or_else(|| env(variable).map(|value| Given { value, by: variable }))
}

/// What has a meaning of its own in a URL.
const IN_A_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'#').add(b'%').add(b'&').add(b'+').add(b',').add(b'?').add(b'@');

/// The URL with the file of authorities that a flag or a variable names.
fn trusting(mut url: String, encrypted: bool, ca: &Given) -> Result<String, ClusterError> {
    if !encrypted {
        return Err(bad(ca.by, "it has no effect with redis://; write rediss:// in Redis' URL, or leave it out"));
    }
    tls::authorities(Some(ca.value.as_ref())).map_err(|problem| bad(ca.by, &problem))?;
    let named = url.split_once('?').is_some_and(|(_, query)| query.contains(AUTHORITIES));
    if named && ca.by.starts_with("--") {
        return Err(bad(ca.by, &format!("Redis' URL names authorities too ({AUTHORITIES}); leave one of them out")));
    }
    if !named {
        let file = utf8_percent_encode(&ca.value, IN_A_QUERY);
        url.push_str(&format!("{}{AUTHORITIES}={file}", if url.contains('?') { '&' } else { '?' }));
    }
    Ok(url)
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = self.redis_url.as_deref().map(redacted);
        f.debug_struct("Addresses").field("bootstrap", &self.bootstrap).field("redis", &redis).finish_non_exhaustive()
    }
}

impl KafkaAccess {
    /// Reads what [`KafkaAccess::env`] wrote.
    ///
    /// # Errors
    /// As [`Addresses::resolve`].
    pub fn from_env() -> Result<Self, ClusterError> {
        Addresses::default().kafka(&process_environment)
    }
}

impl Endpoints {
    /// Reads what [`Endpoints::env`] wrote.
    ///
    /// # Errors
    /// As [`Addresses::resolve`].
    pub fn from_env() -> Result<Self, ClusterError> {
        Addresses::default().resolve()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::access::tests::scram;

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
    fn the_flag_is_blamed_where_it_was_given_and_the_variable_where_that_was() {
        let env = [(BOOTSTRAP, "a:1"), (REDIS, "redis://r"), (PROTOCOL, "PLAINTEXT")];
        let blamed = |flags: Addresses, env: &[(&str, &str)]| {
            let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            flags.resolve_in(&lookup).unwrap_err().to_string()
        };
        let flag = |set: fn(&mut Addresses)| {
            let mut flags = Addresses::default();
            set(&mut flags);
            blamed(flags, &env)
        };
        assert_eq!(flag(|flags| flags.bootstrap = Some("x".into())), "--bootstrap: `x` has no port; write x:PORT");
        assert!(flag(|flags| flags.redis_url = Some("http://r".into())).starts_with("--redis: write it as"));
        assert!(flag(|flags| flags.security_protocol = Some("x".into())).starts_with("--security-protocol: `X` is"));
        let without = flag(|flags| flags.sasl_username = Some("x".into()));
        assert!(without.starts_with("--sasl-username: it has no effect") && without.contains("SASL_SSL"), "{without}");
        let without = flag(|flags| flags.ca_file = Some("x".into()));
        assert!(without.starts_with("--ca-file: it has no effect with the security protocol PLAINTEXT"), "{without}");
        for (variable, value) in [(BOOTSTRAP, "x"), (REDIS, "http://r"), (PROTOCOL, "x")] {
            let text = blamed(Addresses::default(), &[&[(variable, value)], &env[..]].concat());
            assert!(text.starts_with(&format!("{variable}: ")), "{text}");
        }
        let spare = [&[(CA_FILE, "/x"), (USERNAME, "x")], &env[..]].concat();
        let lookup = |name: &str| spare.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        assert!(Addresses::default().resolve_in(&lookup).is_ok(), "variables may be there for others");
    }

    #[test]
    fn a_password_among_the_flags_is_not_shown() {
        let flags = Addresses { redis_url: Some("redis://:s3cret@h".to_owned()), ..Addresses::default() };
        assert!(!format!("{flags:?}").contains("s3cret"));
    }

    #[test]
    fn flags_come_before_the_environment() {
        let flags = Addresses { bootstrap: Some("[::1]:1, b:2".to_owned()), ..Addresses::default() };
        let endpoints = flags.resolve_in(&|name| (name == REDIS).then(|| "redis://r:6379".to_owned())).unwrap();
        assert_eq!(endpoints.kafka.bootstrap, ["[::1]:1", "b:2"]);
    }

    #[test]
    fn a_child_reads_the_access_from_its_environment() {
        let mut access = scram();
        assert!(access.rskafka_builder().unwrap_err().to_string().contains("/ca.pem"));
        let Security::SaslScram { ca_file, .. } = &mut access.security else { unreachable!() };
        *ca_file = None;
        for access in [access, KafkaAccess::plaintext(vec!["a:1".to_owned()])] {
            let env = access.env();
            let lookup = |name: &str| {
                let found = env.iter().find(|(key, value)| key == name && !value.is_empty());
                found.map(|(_, value)| value.clone())
            };
            assert_eq!(Addresses::default().kafka(&lookup).unwrap(), access);
        }
    }

    #[test]
    fn a_file_of_authorities_is_looked_into_before_anything_starts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "no certificate").unwrap();
        let no_pem = file.path().to_str().unwrap();
        for (name, protocol) in [(CA_FILE, "SSL"), (REDIS_CA_FILE, "PLAINTEXT")] {
            for (path, why) in [("/no/such.pem", "No such file"), (no_pem, "it holds no certificate")] {
                let env = [(BOOTSTRAP, "a:1"), (REDIS, "rediss://r"), (PROTOCOL, protocol), (name, path)];
                let text = resolve(&env).unwrap_err().to_string();
                assert!(text.starts_with(&format!("{name}: {path}: {why}")) && text.contains("PEM"), "{text}");
            }
        }
        let named = format!("rediss://r/?{AUTHORITIES}=/no/such.pem");
        let text = resolve(&[(BOOTSTRAP, "a:1"), (REDIS, &named)]).unwrap_err().to_string();
        assert!(text.starts_with("SHASTA_REDIS: /no/such.pem: No such file"), "{text}");
        let flags = Addresses { redis_ca_file: Some(no_pem.to_owned()), ..Addresses::default() };
        let env = [(BOOTSTRAP, "a:1"), (REDIS, "redis://r")];
        let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let text = flags.resolve_in(&lookup).unwrap_err().to_string();
        assert!(text.starts_with("--redis-ca-file: it has no effect with redis://"), "{text}");
        assert!(
            resolve(&[&env[..], &[(REDIS_CA_FILE, "/spare")]].concat()).is_ok(),
            "variables may be there for others"
        );
    }
}
