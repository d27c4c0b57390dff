//! Runs of the real program on secured servers: those that are let in, with exactly the rights that a run takes, and each
//! way of not being let in, told apart with what to do.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod secured;

use secured::{Admits, Broker, Experiment, Flaw, GROUPS, Listener, Operation as Op, REDIS_RULES, Redis, Resource};

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
    least_rights_suffice(&broker, &redis);
    without_a_login(&broker, &redis);
    each_missing_right_is_named(&broker, &redis);
    each_refusal_of_a_broker_is_told_apart(&broker, &redis);
    each_refusal_of_redis_is_told_apart(&broker);
}

fn least<'a>(broker: &Broker, redis: &Redis) -> Experiment {
    Experiment::new(broker, Listener::ScramTls, &redis.trusted_url(Some("least"))).flags(&["--topic", "own"])
}

fn least_rights_suffice(broker: &Broker, redis: &Redis) {
    // The authority of Redis by its flag, here alone.
    let made = least(broker, redis).user("least").env("SHASTA_REDIS", &redis.url(Some("least"), true));
    made.flags(&["--redis-ca-file", broker.authority.file.to_str().unwrap()]).run(PROGRAM).passed();
    least(broker, redis).user("least").flags(&["--engine", "librdkafka"]).run(PROGRAM).passed();
}

fn without_a_login(broker: &Broker, redis: &Redis) {
    let run = Experiment::new(broker, Listener::Tls, &redis.trusted_url(Some("least")));
    run.flags(&["--topic", "tls", "--engine", "librdkafka"]).run(PROGRAM).passed();
}

fn each_missing_right_is_named(broker: &Broker, redis: &Redis) {
    for (user, lacks) in [
        ("no-describe", "lacks the right Describe on topic `own`"),
        ("no-read", "lacks the right Read on topic `own`"),
        ("no-write", "lacks the right Write on topic `own`"),
        ("no-configs", "lacks the right DescribeConfigs on topic `own`"),
        ("no-group", "lacks the right Read on group `shasta-short`"),
    ] {
        let principal = format!("--allow-principal User:{user}");
        least(broker, redis).user(user).run(PROGRAM).refused(&[lacks, &principal]);
    }
    let absent = least(broker, redis).user("no-create").flags(&["--topic", "absent"]);
    absent.run(PROGRAM).refused(&["lacks the right Create on topic `absent`"]);
}

fn each_refusal_of_a_broker_is_told_apart(broker: &Broker, redis: &Redis) {
    let url = redis.trusted_url(Some("least"));
    let by = |listener| Experiment::new(broker, listener, &url);
    let wrong = "wrong user name or password";
    by(Listener::Scram).login("least", "wr0ng").run(PROGRAM).refused(&[wrong, "SHASTA_SASL_PASSWORD"]);
    by(Listener::ScramTls).login("nobody", "wr0ng").run(PROGRAM).refused(&[wrong, "SHASTA_SASL_PASSWORD"]);
    let mechanism = by(Listener::Scram).user("least").flags(&["--sasl-mechanism", "SCRAM-SHA-256"]);
    mechanism.run(PROGRAM).refused(&["does not take SCRAM-SHA-256, but SCRAM-SHA-512"]);
    let stranger = by(Listener::Tls).trusting(&broker.stranger.file);
    stranger.run(PROGRAM).refused(&["signed by no authority in", "stranger.pem", "--ca-file"]);
    by(Listener::Expired).run(PROGRAM).refused(&["has expired"]);
    by(Listener::OtherName).run(PROGRAM).refused(&["is for elsewhere.invalid, not for `127.0.0.1`"]);
    by(Listener::Mutual).run(PROGRAM).refused(&["demands a certificate of its clients"]);
    let wants_tls = "it speaks TLS, and this client did not";
    by(Listener::Tls).by("PLAINTEXT").run(PROGRAM).refused(&[wants_tls, "--security-protocol SSL"]);
    let sasl = by(Listener::ScramTls).by("SASL_PLAINTEXT").user("least");
    sasl.run(PROGRAM).refused(&[wants_tls, "--security-protocol SASL_SSL"]);
    by(Listener::Plain).by("SSL").run(PROGRAM).refused(&["does not speak TLS", "--security-protocol PLAINTEXT"]);
    let sasl = by(Listener::Scram).by("SASL_SSL").user("least");
    sasl.run(PROGRAM).refused(&["does not speak TLS", "--security-protocol SASL_PLAINTEXT"]);
    by(Listener::Scram).by("PLAINTEXT").run(PROGRAM).refused(&["only clients that log in", "SASL_PLAINTEXT"]);
    by(Listener::ScramTls).by("SSL").run(PROGRAM).refused(&["only clients that log in", "SASL_SSL"]);
    let nobody = by(Listener::Tls).by("SASL_SSL").user("least");
    nobody.run(PROGRAM).refused(&["takes no user names", "--security-protocol SSL"]);
    let missing = by(Listener::Tls).env("SHASTA_CA_FILE", "/no/such.pem");
    missing.run(PROGRAM).refused(&["SHASTA_CA_FILE: /no/such.pem: No such file"]);
}

fn each_refusal_of_redis_is_told_apart(broker: &Broker) {
    let rules = |more: &str| format!("{REDIS_RULES} {more}");
    let (scripts, writes, keys) = (rules("-evalsha"), rules("-xadd -hset"), rules("resetkeys ~other:*"));
    let users = [("least", REDIS_RULES), ("scripts", &scripts), ("writes", &writes), ("keys", &keys)];
    let authority = &broker.authority;
    let start = |admits| Redis::start(admits, authority, &users);
    let (plain, tls, mutual) = (start(Admits::Plain), start(Admits::Tls(Flaw::None)), start(Admits::Mutual));
    let (expired, other) = (start(Admits::Tls(Flaw::Expired)), start(Admits::Tls(Flaw::OtherName)));
    let refused = |url: String, parts: &[&str]| {
        let run = Experiment::new(broker, Listener::Plain, &url).flags(&["--topic", "redis"]);
        run.env("SHASTA_CA_FILE", "").run(PROGRAM).refused(parts);
    };
    let user = Some("least");
    refused(tls.url(user, true), &["signed by no authority that this system trusts", "--redis-ca-file"]);
    let stranger = format!("{}/?ssl_ca_certs={}", tls.url(user, true), broker.stranger.file.display());
    refused(stranger, &["signed by no authority in", "stranger.pem"]);
    refused(expired.trusted_url(user), &["has expired"]);
    refused(other.trusted_url(user), &["is for elsewhere.invalid, not for `127.0.0.1`"]);
    refused(mutual.trusted_url(user), &["demands a certificate of its clients", "tls-auth-clients"]);
    refused(tls.url(user, false), &["it speaks TLS, and this client did not", "rediss://"]);
    let to_plain = format!("{}/?ssl_ca_certs={}", plain.url(user, true), authority.file.display());
    refused(to_plain, &["does not speak TLS", "redis://"]);
    refused(plain.url(None, false), &["only clients that log in", "SHASTA_REDIS"]);
    refused(plain.url(user, false).replace("s3cret", "wr0ng"), &["wrong user name or password"]);
    refused(plain.url(Some("scripts"), false), &["user `scripts` lacks +evalsha", "ACL SETUSER"]);
    refused(tls.trusted_url(Some("writes")), &["user `writes` lacks +hset +xadd"]);
    refused(plain.url(Some("keys"), false), &["user `keys` lacks ~shasta:*"]);
}

/// Every way in that is supported, with both engines. Beyond what one sitting of tests should take.
#[test]
#[ignore = "a matrix of ways in × engines, 4 minutes: scripts/test --all"]
fn every_supported_way_in_passes_its_proof_with_both_engines() {
    let broker = Broker::start(&USERS);
    grant(&broker);
    let users = [("least", REDIS_RULES)];
    let redis = Redis::start(Admits::Tls(Flaw::None), &broker.authority, &users);
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
            let run = match mechanism {
                Some(mechanism) => run.user("least").flags(&["--sasl-mechanism", mechanism]),
                None => run,
            };
            run.run(PROGRAM).passed();
        }
    }
}
