//! Why a server and this process do not come together, told apart, and what to do about it: one list for Kafka and Redis.

use std::path::PathBuf;

/// What stands between a client and a server that is there and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No trusted authority has signed the server's certificate.
    UnknownAuthority {
        /// The file of the authorities that are trusted; the system's where there is none.
        trusted: Option<PathBuf>,
    },
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is not valid yet.
    NotYetValid,
    /// The server's certificate is for other names.
    WrongName {
        /// The name that it was called by.
        called: String,
        /// The names in its certificate.
        names: Vec<String>,
    },
    /// The server's certificate is not accepted for another reason.
    Certificate(String),
    /// The server demands a certificate of the client.
    ClientCertificate,
    /// The server speaks TLS, and the client did not.
    WantsTls,
    /// The client spoke TLS, and the server does not.
    NoTls,
    /// The server hangs up on a client that does not log in.
    WantsLogin,
    /// The client logs in, and the server has no users.
    NoLogin,
    /// The server has users, but not this mechanism.
    Mechanism {
        /// What the client asked for.
        asked: &'static str,
        /// What the server says that it has.
        offered: String,
    },
    /// User name or password are wrong. Servers do not say which, so that nobody can find out names.
    Credentials,
}

/// Whose words a remedy is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A client of Kafka that is set up by flags.
    Kafka {
        /// Whether it logs in.
        sasl: bool,
        /// Whether it encrypts.
        tls: bool,
    },
    /// A client of Redis that is set up by flags.
    Redis,
    /// A program that uses the library.
    Library,
}

impl Asker {
    /// How to speak TLS.
    fn speak_tls(self) -> &'static str {
        match self {
            Asker::Kafka { sasl: true, .. } => "give --security-protocol SASL_SSL",
            Asker::Kafka { sasl: false, .. } => {
                "give --security-protocol SSL, or SASL_SSL where it takes a user name and a password"
            }
            _ => "write rediss:// in its URL",
        }
    }

    /// How not to.
    fn speak_plainly(self) -> &'static str {
        match self {
            Asker::Kafka { sasl: true, .. } => "give --security-protocol SASL_PLAINTEXT, or name its listener for TLS",
            Asker::Kafka { sasl: false, .. } => "give --security-protocol PLAINTEXT, or name its listener for TLS",
            _ => "write redis:// in its URL, or name its port for TLS",
        }
    }

    /// How to log in.
    fn log_in(self) -> String {
        match self {
            Asker::Kafka { tls, .. } => format!(
                "give --security-protocol {}, --sasl-username, and the password in SHASTA_SASL_PASSWORD",
                if tls { "SASL_SSL" } else { "SASL_PLAINTEXT" }
            ),
            Asker::Redis => {
                "put user and password into its URL as redis://user:password@host:port (by SHASTA_REDIS, since others \
                         can read flags)"
                    .to_owned()
            }
            Asker::Library => "put user and password into its URL as redis://user:password@host:port".to_owned(),
        }
    }
}

impl Refusal {
    /// What is wrong and what to do, to follow the server's name and a colon.
    pub fn told(&self, asker: Asker) -> String {
        let authority = match asker {
            Asker::Kafka { .. } => "by --ca-file",
            Asker::Redis => "by --redis-ca-file",
            Asker::Library => "in the URL (rediss://host:port/?ssl_ca_certs=FILE)",
        };
        match self {
            Self::UnknownAuthority { trusted } => {
                let trusted = match trusted {
                    Some(file) => format!("no authority in {}", file.display()),
                    None => "no authority that this system trusts".to_owned(),
                };
                format!(
                    "its certificate is signed by {trusted}; name the file (PEM) of the authority that did, {authority}"
                )
            }
            Self::Expired => {
                "its certificate has expired; have it renewed, and see that this machine's clock is right".into()
            }
            Self::NotYetValid => {
                "its certificate is not valid yet; see that the clocks of both machines are right".into()
            }
            Self::WrongName { called, names } => format!(
                "its certificate is for {}, not for `{called}`; connect by a name that is in its certificate, or have this \
                 one added to it (subjectAltName)",
                if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
            ),
            Self::Certificate(why) => {
                format!("its certificate is not accepted ({why}); have another one issued for it")
            }
            Self::ClientCertificate => format!(
                "it demands a certificate of its clients, and this program has none to show; {}",
                match asker {
                    Asker::Kafka { .. } => "name a listener that does not (ssl.client.auth=none, or SASL_SSL)",
                    _ => "have it take clients without one (tls-auth-clients no)",
                }
            ),
            Self::WantsTls => format!("it speaks TLS, and this client did not; {}", asker.speak_tls()),
            Self::NoTls => format!("it does not speak TLS, and this client did; {}", asker.speak_plainly()),
            Self::WantsLogin => format!("it takes only clients that log in; {}", asker.log_in()),
            Self::NoLogin => format!(
                "it takes no user names; give --security-protocol {}, or name its listener for SASL",
                if matches!(asker, Asker::Kafka { tls: true, .. }) { "SSL" } else { "PLAINTEXT" }
            ),
            Self::Mechanism { asked, offered } if offered.is_empty() => {
                format!("it does not take {asked}; give another --sasl-mechanism")
            }
            Self::Mechanism { asked, offered } => {
                format!("it does not take {asked}, but {offered}; give --sasl-mechanism")
            }
            Self::Credentials => format!(
                "wrong user name or password (it does not say which); {}",
                match asker {
                    Asker::Kafka { .. } =>
                        "check --sasl-username and SHASTA_SASL_PASSWORD, and that the user has a password of this --sasl-mechanism",
                    _ => "correct those in its URL (redis://user:password@host:port, percent-encoded)",
                }
            ),
        }
    }
}
