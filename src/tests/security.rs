//! Runs of the real program on secured servers: those that are let in, with exactly the rights that a run takes, and each
//! way of not being let in, told apart with what to do.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod secured;

use secured::{
    Admits, Broker, Cases, Experiment, Flaw, GROUPS, Listener, Operation as Op, REDIS_RULES, Redis, Resource,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_experiment");

/// Each lacks what it is named after, but for `least`, who has exactly what a run takes.
const USERS: [&str; 7] = ["least", "no-create", "no-describe", "no-read", "no-write", "no-configs", "no-group"];

fn but(user: &str) -> Vec<&'static str> {
    USERS.into_iter().filter(|other| *other != user && *other != "no-describe").collect()
}

/// Rights on the topic `own`, which the first run makes, and on `absent`, which is never made.
fn grant(broker: &Broker) {
    let own = Resource::Topic("own");
    broker.grant(&["least"], &[Op::Create], own);
    broker.grant(&but("no-read"), &[Op::Read], own);
    broker.grant(&but("no-write"), &[Op::Write], own);
    broker.grant(&but("no-configs"), &[Op::DescribeConfigs], own);
    broker.grant(&["no-create"], &[Op::Read, Op::Write, Op::DescribeConfigs], Resource::Topic("absent"));
    let groups: Vec<_> = USERS.into_iter().filter(|user| *user != "no-group").collect();
    broker.grant(&groups, &[Op::Read], GROUPS);
}

#[test]
fn who_is_let_in_and_who_is_not() {
    let broker = Broker::start(&USERS);
    grant(&broker);
    let redis = Redis::start(Admits::Tls(Flaw::None), &broker.authority, &[("least", REDIS_RULES)]);
    let mut cases = Cases::new(PROGRAM);
    let least = || Experiment::new(&broker, Listener::ScramTls, &redis.trusted_url(Some("least")));
    // The authority of Redis by its flag, here alone. The first run makes the topic.
    let made = least().user("least").env("SHASTA_REDIS", &redis.url(Some("least"), true));
    let made = made.flags(&["--redis-ca-file", broker.authority.file.to_str().unwrap(), "--topic", "own"]);
    cases.passes("exactly the rights that a run takes", made);
    let tls = Experiment::new(&broker, Listener::Tls, &redis.trusted_url(Some("least")));
    cases.passes("TLS, no login", tls.flags(&["--topic", "tls", "--engine", "librdkafka"]));
    each_missing_right_is_named(&mut cases, &|| least().flags(&["--topic", "own"]));
    each_refusal_of_a_broker_is_told_apart(&mut cases, &broker, &redis);
    each_refusal_of_redis_is_told_apart(&mut cases, &broker);
    cases.finish();
}

fn each_missing_right_is_named(cases: &mut Cases, least: &dyn Fn() -> Experiment) {
    for (user, lacks) in [
        ("no-describe", "lacks the right Describe on topic `own`"),
        ("no-read", "lacks the right Read on topic `own`"),
        ("no-write", "lacks the right Write on topic `own`"),
        ("no-configs", "lacks the right DescribeConfigs on topic `own`"),
        ("no-group", "lacks the right Read on group `shasta-short-"),
    ] {
        cases.refused(user, least().user(user), &[lacks, &format!("--allow-principal User:{user}")]);
    }
    let absent = least().user("no-create").flags(&["--topic", "absent"]);
    cases.refused("no-create", absent, &["lacks the right Create on topic `absent`"]);
}

fn each_refusal_of_a_broker_is_told_apart(cases: &mut Cases, broker: &Broker, redis: &Redis) {
    let by = |listener| Experiment::new(broker, listener, &redis.trusted_url(Some("least")));
    let credentials = ["wrong user name or password", "SHASTA_SASL_PASSWORD"];
    cases.refused("wrong password", by(Listener::Scram).login("least", "wr0ng"), &credentials);
    cases.refused("unknown user", by(Listener::ScramTls).login("nobody", "wr0ng"), &credentials);
    let sha256 = by(Listener::Scram).user("least").flags(&["--sasl-mechanism", "SCRAM-SHA-256"]);
    cases.refused("mechanism", sha256, &["does not take SCRAM-SHA-256, but SCRAM-SHA-512"]);
    let stranger = by(Listener::Tls).trusting(&broker.stranger.file);
    cases.refused("other authority", stranger, &["signed by no authority in", "stranger.pem", "--ca-file"]);
    cases.refused("expired", by(Listener::Expired), &["has expired"]);
    cases.refused("other name", by(Listener::OtherName), &["is for elsewhere.invalid, not for `127.0.0.1`"]);
    cases.refused("client certificate", by(Listener::Mutual), &["demands a certificate of its clients"]);
    let wants_tls = "it speaks TLS, and this client did not";
    let plain = by(Listener::Tls).by("PLAINTEXT");
    cases.refused("PLAINTEXT to SSL", plain, &[wants_tls, "--security-protocol SSL"]);
    let plain = by(Listener::ScramTls).by("SASL_PLAINTEXT").user("least");
    cases.refused("SASL_PLAINTEXT to SASL_SSL", plain, &[wants_tls, "--security-protocol SASL_SSL"]);
    let no_tls = "does not speak TLS";
    cases.refused("SSL to PLAINTEXT", by(Listener::Plain).by("SSL"), &[no_tls, "--security-protocol PLAINTEXT"]);
    let tls = by(Listener::Scram).by("SASL_SSL").user("least");
    cases.refused("SASL_SSL to SASL_PLAINTEXT", tls, &[no_tls, "--security-protocol SASL_PLAINTEXT"]);
    let logs_in = "only clients that log in";
    cases.refused("PLAINTEXT to SASL_PLAINTEXT", by(Listener::Scram).by("PLAINTEXT"), &[logs_in, "SASL_PLAINTEXT"]);
    cases.refused("SSL to SASL_SSL", by(Listener::ScramTls).by("SSL"), &[logs_in, "SASL_SSL"]);
    let nobody = by(Listener::Tls).by("SASL_SSL").user("least");
    cases.refused("SASL_SSL to SSL", nobody, &["takes no user names", "--security-protocol SSL"]);
    let missing = by(Listener::Tls).env("SHASTA_CA_FILE", "/no/such.pem");
    cases.refused("no authorities' file", missing, &["SHASTA_CA_FILE: /no/such.pem: No such file"]);
}

fn each_refusal_of_redis_is_told_apart(cases: &mut Cases, broker: &Broker) {
    let rules = |more: &str| format!("{REDIS_RULES} {more}");
    let (scripts, writes, keys) = (rules("-evalsha"), rules("-xadd -hset"), rules("resetkeys ~other:*"));
    let users = [("least", REDIS_RULES), ("scripts", &scripts), ("writes", &writes), ("keys", &keys)];
    let authority = &broker.authority;
    let start = |admits| Redis::start(admits, authority, &users);
    let (plain, tls, mutual) = (start(Admits::Plain), start(Admits::Tls(Flaw::None)), start(Admits::Mutual));
    let (expired, other) = (start(Admits::Tls(Flaw::Expired)), start(Admits::Tls(Flaw::OtherName)));
    let mut refused = |name: &str, url: String, parts: &[&str]| {
        let run = Experiment::new(broker, Listener::Plain, &url).flags(&["--topic", "redis"]);
        cases.refused(&format!("Redis: {name}"), run.env("SHASTA_CA_FILE", ""), parts);
    };
    let user = Some("least");
    let systems = ["signed by no authority that this system trusts", "--redis-ca-file"];
    refused("the system's authorities", tls.url(user, true), &systems);
    let stranger = format!("{}/?ssl_ca_certs={}", tls.url(user, true), broker.stranger.file.display());
    refused("other authority", stranger, &["signed by no authority in", "stranger.pem"]);
    refused("expired", expired.trusted_url(user), &["has expired"]);
    refused("other name", other.trusted_url(user), &["is for elsewhere.invalid, not for `127.0.0.1`"]);
    refused(
        "client certificate",
        mutual.trusted_url(user),
        &["demands a certificate of its clients", "tls-auth-clients"],
    );
    refused("plain text to TLS", tls.url(user, false), &["it speaks TLS, and this client did not", "rediss://"]);
    let to_plain = format!("{}/?ssl_ca_certs={}", plain.url(user, true), authority.file.display());
    refused("TLS to plain text", to_plain, &["does not speak TLS", "redis://"]);
    refused("no login", plain.url(None, false), &["only clients that log in", "SHASTA_REDIS"]);
    refused("wrong password", plain.url(user, false).replace("s3cret", "wr0ng"), &["wrong user name or password"]);
    refused("no +evalsha", plain.url(Some("scripts"), false), &["user `scripts` lacks +evalsha", "ACL SETUSER"]);
    refused("no +hset, no +xadd", tls.trusted_url(Some("writes")), &["user `writes` lacks +hset +xadd"]);
    refused("no keys", plain.url(Some("keys"), false), &["user `keys` lacks ~shasta:*"]);
}

/// Every way in that is supported, with both engines. Beyond what one sitting of tests should take.
#[test]
#[ignore = "a matrix of ways in × engines, 4 minutes: scripts/test --all"]
fn every_supported_way_in_passes_its_proof_with_both_engines() {
    let broker = Broker::start(&USERS);
    grant(&broker);
    let redis = Redis::start(Admits::Tls(Flaw::None), &broker.authority, &[("least", REDIS_RULES)]);
    let mut cases = Cases::new(PROGRAM);
    for engine in ["rskafka", "librdkafka"] {
        for (listener, mechanism) in [
            (Listener::Plain, None),
            (Listener::Tls, None),
            (Listener::Scram, Some("SCRAM-SHA-512")),
            (Listener::ScramTls, Some("SCRAM-SHA-256")),
            (Listener::ScramTls, Some("SCRAM-SHA-512")),
        ] {
            let run = Experiment::new(&broker, listener, &redis.trusted_url(Some("least")));
            let run = run.flags(&["--topic", "own", "--engine", engine, "--duration", "10s"]);
            let name = format!("{listener:?} {} {engine}", mechanism.unwrap_or_default());
            cases.passes(
                &name,
                match mechanism {
                    Some(mechanism) => run.user("least").flags(&["--sasl-mechanism", mechanism]),
                    None => run,
                },
            );
        }
    }
    cases.finish();
}
