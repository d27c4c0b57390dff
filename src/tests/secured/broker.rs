//! One Kafka node that listens in every way at once, with users and an authorizer.

use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use shasta::{
    cluster::Site,
    machine::process::{Child, Spawn, Streams, find_program},
};

use super::{
    authority::{Authority, Flaw},
    password,
    ports::Ports,
    rights::{self, Operation, Resource},
};

const START_MAX: Duration = Duration::from_secs(180);
const LOG4J: &str = "rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
";

/// A way in. Without a user name everybody is `User:ANONYMOUS`, who may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    Plain,
    Tls,
    /// TLS, with a certificate that has expired.
    Expired,
    /// TLS, with a certificate for another name.
    OtherName,
    /// TLS, and clients must show a certificate.
    Mutual,
    /// Users without TLS, by SCRAM-SHA-512 alone.
    Scram,
    /// Users over TLS, by SCRAM-SHA-256 and SCRAM-SHA-512.
    ScramTls,
}

impl Listener {
    const ALL: [Self; 7] =
        [Self::Plain, Self::Tls, Self::Expired, Self::OtherName, Self::Mutual, Self::Scram, Self::ScramTls];

    fn name(self) -> String {
        format!("{self:?}").to_uppercase()
    }

    /// What a client calls it.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Plain => "PLAINTEXT",
            Self::Tls | Self::Expired | Self::OtherName | Self::Mutual => "SSL",
            Self::Scram => "SASL_PLAINTEXT",
            Self::ScramTls => "SASL_SSL",
        }
    }
}

/// The broker, ready; it ends with the value.
pub struct Broker {
    child: Child,
    ports: Ports,
    /// The authority that has signed its certificates.
    pub authority: Authority,
    /// One that has not.
    pub stranger: Authority,
    dir: tempfile::TempDir,
}

impl Broker {
    /// Starts it, with these users, each known to both mechanisms by [`password`]. Call it from the test's own thread.
    pub fn start(users: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path(), "authority");
        let stranger = Authority::new(dir.path(), "stranger");
        let ports = Ports::choose(Listener::ALL.len() + 1);
        let properties = dir.path().join("server.properties");
        fs::write(&properties, settings(dir.path(), &authority, &ports)).unwrap();
        fs::write(dir.path().join("log4j2.properties"), LOG4J).unwrap();
        let mut format: Vec<String> = vec!["kafka.tools.StorageTool".into(), "format".into(), "-t".into()];
        format.extend(["4L6g3nShTOePVVoOJ1u7bw".into(), "-c".into(), properties.display().to_string()]);
        for user in users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                format.push("--add-scram".into());
                format.push(format!("{mechanism}=[name={user},password={}]", password(user)));
            }
        }
        let formatted = java(dir.path(), "format", &format).wait().unwrap();
        assert!(formatted.success(), "{}", log(dir.path(), "format"));
        let child = java(dir.path(), "broker", &["kafka.Kafka".into(), properties.display().to_string()]);
        let mut broker = Self { child, ports, authority, stranger, dir };
        broker.wait();
        broker
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while !Listener::ALL.iter().all(|listener| TcpStream::connect(self.address(*listener)).is_ok())
            || rights::answers(&self.address(Listener::Plain)).is_err()
        {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", log(self.dir.path(), "broker"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `host:port` of a way in.
    pub fn address(&self, listener: Listener) -> String {
        let place = Listener::ALL.iter().position(|other| *other == listener).unwrap();
        format!("127.0.0.1:{}", self.ports.numbers[place])
    }

    /// Gives users rights, and waits until the broker knows them.
    pub fn grant(&self, users: &[&str], operations: &[Operation], resource: Resource<'_>) {
        rights::grant(&self.address(Listener::Plain), users, operations, resource).unwrap();
    }
}

impl Drop for Broker {
    /// A test that fails shows what the broker has to say of it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.child.last_lines(20));
        }
    }
}

fn settings(dir: &Path, authority: &Authority, ports: &Ports) -> String {
    let at = |port: usize| format!("127.0.0.1:{}", ports.numbers[port]);
    let controller = at(Listener::ALL.len());
    let clients: Vec<_> = Listener::ALL
        .iter()
        .enumerate()
        .map(|(place, listener)| format!("{}://{}", listener.name(), at(place)))
        .collect();
    let clients = clients.join(",");
    let protocols: Vec<_> =
        Listener::ALL.iter().map(|listener| format!("{}:{}", listener.name(), listener.protocol())).collect();
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
         controller.listener.names=CONTROLLER\nlisteners=CONTROLLER://{controller},{clients}\n\
         advertised.listeners={clients}\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,{}\n\
         inter.broker.listener.name=PLAIN\nlog.dirs={}\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:admin\nauto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nssl.truststore.type=PEM\nssl.truststore.location={}\n",
        protocols.join(","),
        dir.join("data").display(),
        authority.file.display(),
    );
    for listener in Listener::ALL {
        let name = listener.name().to_lowercase();
        let flaw = match listener {
            Listener::Expired => Flaw::Expired,
            Listener::OtherName => Flaw::OtherName,
            _ => Flaw::None,
        };
        let store = authority.issue(dir, &name, flaw).store;
        let option = |text: &mut String, option: &str, value: &str| {
            writeln!(text, "listener.name.{name}.{option}={value}").unwrap();
        };
        option(&mut text, "ssl.keystore.type", "PEM");
        option(&mut text, "ssl.keystore.location", &store.display().to_string());
        let mechanisms: &[&str] = match listener {
            Listener::Scram => &["SCRAM-SHA-512"],
            Listener::ScramTls => &["SCRAM-SHA-256", "SCRAM-SHA-512"],
            _ => &[],
        };
        for mechanism in mechanisms {
            let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
            option(&mut text, &format!("{}.sasl.jaas.config", mechanism.to_lowercase()), login);
        }
        if !mechanisms.is_empty() {
            option(&mut text, "sasl.enabled.mechanisms", &mechanisms.join(","));
        }
        if listener == Listener::Mutual {
            option(&mut text, "ssl.client.auth", "required");
        }
    }
    text
}

fn java(dir: &Path, name: &str, args: &[String]) -> Child {
    let java: PathBuf = find_program("java", None).expect("java is on PATH");
    let libs = Site::from_env().libs;
    Spawn::new(name, java, Streams::Log(dir.join(format!("{name}.log"))))
        .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display())])
        .args(["-cp".to_owned(), format!("{}/*", libs.display())])
        .args(args)
        .dir(dir)
        .start()
        .unwrap()
}

fn log(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(format!("{name}.log"))).unwrap_or_default()
}
