//! What each setting must be, alone and beside the others.

use std::{collections::BTreeMap, time::Duration};

use toml::Value;

use super::{Acks, ClusterKind, Engine, GroupProtocol, RedisMode, Span, Variant, VariantError, find};
use crate::event::payload::EventShape;
use shasta_model::tag_data::BYTES_MAX;

/// Most events that one run may plan: each is a row, and ten times the largest published test is still below.
const PLANNED_MAX: f64 = 1e9;

/// Brokers of a cluster that a run starts itself.
const BROKERS_LOCAL: u16 = 3;

/// A setting, what it must be in words (the message's end), and whether a variant's is.
type Setting = (&'static str, &'static str, fn(&Variant) -> bool);

/// A window's seconds are counted in 16 bits by `analyze`.
const DURATION_MAX: Duration = Duration::from_hours(18);
/// The receipts of a batch are one report to the parent, which takes 16 MiB at most ([`crate::worker`]).
const BATCH_MAX: u32 = 100_000;

/// Every setting there is, in the order of [`Variant`].
const SETTINGS: [Setting; 50] = [
    ("question", "the question that the variant asks, one line of text in quotes", |v| is_line(&v.question)),
    ("published", "the name of a published load test, in quotes", |v| v.published.as_ref().is_none_or(|s| is_line(s))),
    ("connections", "a whole number from 1 to 4294967295", |v| v.connections > 0),
    ("rate", "above 0, in events per second of each connection", |v| v.rate.is_finite() && v.rate > 0.0),
    ("jitter", "a share of the period from 0 to 0.5", |v| (0.0..=0.5).contains(&v.jitter)),
    ("duration", "a length of time in quotes, such as \"10m\", from 1ms to 18h", |v| {
        from_1ms(v.duration) && v.duration.0 <= DURATION_MAX
    }),
    ("warm", "a length of time in quotes, such as \"10s\", up to 168h", |v| up_to_7_days(v.warm)),
    ("warm_again", "a length of time in quotes, such as \"10s\", up to 168h", |v| {
        v.warm_again.is_none_or(up_to_7_days)
    }),
    ("drain", "a length of time in quotes, such as \"30s\", up to 168h", |v| up_to_7_days(v.drain)),
    ("bytes", "a whole number from 1 to 1000000", |v| (1..=BYTES_MAX).contains(&v.bytes)),
    ("tags_per_connection", "a whole number from 1 to 4294967295", |v| v.tags_per_connection > 0),
    ("names_per_tag", "a whole number from 1 to 4294967295", |v| v.names_per_tag > 0),
    ("instances", "a whole number from 1 to 4294967295", |v| v.instances > 0),
    ("seed", "a whole number from 0 to 9223372036854775807", |v| v.seed.is_none_or(|seed| seed <= super::SEED_MAX)),
    ("engine", "\"rskafka\" or \"librdkafka\"", |_| true),
    ("acks", "\"all\" or \"1\"", |_| true),
    ("producer_threads", "a whole number from 1 to 1024", |v| (1..=1024).contains(&v.producer_threads)),
    ("linger", "a length of time in quotes, such as \"5ms\", up to 15m", |v| v.linger.0 <= Duration::from_secs(900)),
    ("backlog", "a whole number from 1 to 1000000", |v| is_queue(v.backlog)),
    ("delivery_timeout", "a length of time in quotes, such as \"30s\", from 1s to 168h", |v| {
        v.delivery_timeout.0 >= Duration::from_secs(1) && up_to_7_days(v.delivery_timeout)
    }),
    ("ramp", "a whole number from 1 to 80, in sockets per second and broker", |v| (1..=80).contains(&v.ramp)),
    ("workers", "a whole number from 1 to 1024", |v| (1..=1024).contains(&v.workers)),
    ("group_protocol", "\"cooperative-sticky\", \"range\", \"consumer\" or \"assign\"", |_| true),
    ("static_membership", "true or false", |_| true),
    ("commit_interval", "a length of time in quotes, such as \"1s\", from 1ms to 168h", |v| {
        from_1ms(v.commit_interval)
    }),
    ("batch_max", "a whole number from 1 to 100000", |v| (1..=BATCH_MAX).contains(&v.batch_max)),
    ("lookahead", "a whole number from 1 to 1000000", |v| is_queue(v.lookahead)),
    ("stream_maxlen", "a whole number from 1 to 4294967295", |v| v.stream_maxlen > 0),
    ("readers", "a whole number from 0 to 1024", |v| v.readers <= 1024),
    ("redis_rtt", "a length of time in quotes, such as \"1ms\", up to 1s", |v| v.redis_rtt.0 <= Duration::from_secs(1)),
    ("cores_awake", "true or false", |_| true),
    ("slice", "\"0s\", or a length of time in quotes, such as \"6ms\", from 100us to 100ms", |v| is_slice(v.slice)),
    ("topic", "a topic's name in quotes: 1 to 249 letters, digits, `.`, `_` and `-`", |v| is_topic(&v.topic)),
    ("partitions", "a whole number from 1 to 100000", |v| (1..=100_000).contains(&v.partitions)),
    ("replication_factor", "a whole number from 1 to 10000", |v| (1..=10_000).contains(&v.replication_factor)),
    ("min_insync_replicas", "a whole number from 1, at most replication_factor", |v| {
        (1..=v.replication_factor).contains(&v.min_insync_replicas)
    }),
    ("cluster", "\"local\", \"containers\", \"external\" or \"null\"", |_| true),
    ("kafka_image", IMAGE, |v| v.kafka_image.as_ref().is_none_or(|s| is_image(s))),
    ("redis_image", IMAGE, |v| v.redis_image.as_ref().is_none_or(|s| is_image(s))),
    ("redis_mode", "\"single\", \"replica\" or \"cluster\"", |_| true),
    ("data_dir", "the whole path of a directory in quotes, such as \"/dev/shm\", or nothing for that of TMPDIR", |v| {
        v.data_dir.as_ref().is_none_or(|dir| dir.is_absolute() || dir.as_os_str().is_empty())
    }),
    ("kafka_version", "a version in quotes, such as \"4.1.1\"", |v| is_version(&v.kafka_version)),
    ("broker_instance", "an instance type in quotes", |v| v.broker_instance.as_ref().is_none_or(|s| is_line(s))),
    ("broker_heap", "a size in quotes as java takes it, such as \"512m\" or \"64g\"", |v| is_heap(&v.broker_heap)),
    ("broker_jvm", "a list of java's flags, each in quotes and starting with `-`", |v| {
        v.broker_jvm.iter().all(|flag| flag.starts_with('-') && is_line(flag))
    }),
    ("broker_nice", "a whole number from 0 to 19", |v| v.broker_nice <= 19),
    ("fault", "tables of faults: [[fault]]", |_| true),
    ("broker", "a table of server properties: [broker]", |v| are_properties(&v.broker)),
    ("consumer", "a table of librdkafka properties: [consumer]", |v| are_properties(&v.consumer)),
    ("redis", "a table of Redis settings: [redis]", |v| are_properties(&v.redis)),
];

const IMAGE: &str = "the name of an image in quotes, such as \"apache/kafka:4.1.1\"";

const OPTIONAL: [&str; 9] =
    ["published", "warm_again", "seed", "engine", "kafka_image", "redis_image", "data_dir", "broker_instance", "fault"];

/// Names of all settings.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(key, ..)| *key)
}

/// Names of the settings that every variant has.
pub(super) fn required() -> impl Iterator<Item = &'static str> {
    keys().filter(|key| !OPTIONAL.contains(key))
}

/// The error for a setting that is not what it must be.
pub(super) fn wrong(setting: String, key: &str) -> VariantError {
    let must = SETTINGS.iter().find(|(known, ..)| *known == key).map_or("a setting", |(_, must, _)| must);
    VariantError::Wrong { must: as_given(&setting, must), setting }
}

/// What a setting must be, in the words of where it was given: nobody quotes the value of a flag.
fn as_given(setting: &str, must: &str) -> String {
    if setting.starts_with("--") { must.replace(" in quotes", "").replace('"', "") } else { must.into() }
}

/// Checks each setting alone. `describe` tells where a setting was given and its value.
pub(super) fn each(variant: &Variant, describe: impl Fn(&str) -> String) -> Result<(), VariantError> {
    let Some((key, ..)) = SETTINGS.iter().find(|(.., holds)| !holds(variant)) else { return Ok(()) };
    // A minimum above the factor is as likely the factor's fault, so both are shown.
    let beside =
        if *key == "min_insync_replicas" { format!("{}; ", describe("replication_factor")) } else { String::new() };
    Err(wrong(beside + &describe(key), key))
}

/// Checks those that depend on each other, each of which is right by itself.
pub(super) fn together(variant: &Variant, describe: impl Fn(&str) -> String) -> Result<(), VariantError> {
    let refuse = |keys: &[&str], must: String| {
        let setting = keys.iter().map(|key| describe(key)).collect::<Vec<_>>().join("; ");
        Err(VariantError::Wrong { must: as_given(&setting, &must), setting })
    };
    if variant.cluster != ClusterKind::External && variant.replication_factor > BROKERS_LOCAL {
        let must = format!("at most {BROKERS_LOCAL} on a cluster of the run's own, which has {BROKERS_LOCAL} brokers");
        return refuse(&["replication_factor"], must);
    }
    if variant.cluster != ClusterKind::Local && variant.redis_rtt.0 > Duration::ZERO {
        let must = "\"0s\" but with a local cluster, the only one that has proxies";
        return refuse(&["redis_rtt", "cluster"], must.into());
    }
    if variant.cluster == ClusterKind::Containers && variant.redis_mode != RedisMode::Single {
        return refuse(&["redis_mode", "cluster"], "\"single\" in containers; a local cluster has the others".into());
    }
    if variant.engine == Engine::Rskafka && variant.linger.0 > Duration::ZERO {
        return refuse(&["linger"], "\"0s\" with the engine rskafka, which sends each event at once".into());
    }
    let sent_by_rskafka = variant.engine == Engine::Rskafka && variant.cluster != ClusterKind::Null;
    if let Some(bytes_max) = variant.over_one_piece().filter(|_| sent_by_rskafka) {
        let must = format!(
            "\"librdkafka\" or left out, or bytes at most {bytes_max}: rskafka writes a request of over 8 KiB in two pieces, and the \
             second waits for the ack of the first, 40 ms and more"
        );
        return refuse(&["engine", "bytes"], must);
    }
    if variant.engine == Engine::Rskafka && variant.acks != Acks::All {
        return refuse(&["acks"], "\"all\" with the engine rskafka, which knows no other".into());
    }
    if variant.cluster == ClusterKind::Null {
        let more = [("readers", variant.readers > 0), ("fault", !variant.fault.is_empty())];
        if let Some((key, _)) = more.into_iter().find(|(_, given)| *given) {
            return refuse(
                &[key, "cluster"],
                "left out with the cluster null, where there is nothing but the harness".into(),
            );
        }
    }
    if variant.linger.0 >= variant.delivery_timeout.0 {
        return refuse(&["linger", "delivery_timeout"], "a linger below the delivery timeout".into());
    }
    if variant.static_membership && variant.group_protocol == GroupProtocol::Assign {
        let must = "false where workers are in no group";
        return refuse(&["static_membership", "group_protocol"], must.into());
    }
    if variant.redis_mode != RedisMode::Single && variant.needs_network() {
        let must = "\"single\" where the way to Redis is delayed or cut, since the nodes of several tell clients of each other";
        return refuse(&["redis_mode"], must.into());
    }
    let planned = variant.planned();
    if planned / f64::from(variant.connections) < 1.0 {
        return refuse(&["rate", "duration"], "enough for one event a connection: rate × duration is below 1".into());
    }
    if planned > PLANNED_MAX {
        let must = format!("less: that plans {planned:.3e} events, and a run holds at most {PLANNED_MAX:.0e}");
        return refuse(&["connections", "rate", "duration"], must);
    }
    let Variant { bytes, connections, tags_per_connection, names_per_tag, .. } = *variant;
    match EventShape::new(bytes, connections, tags_per_connection, names_per_tag, 0) {
        Ok(_) => Ok(()),
        Err(small) => refuse(&["bytes"], format!("at least {}, which the identifier alone takes", small.bytes_min)),
    }
}

/// Checks one property of `[broker]`, `[consumer]` or `[redis]`, and says what it must be.
pub(super) fn property(name: &str, value: &Value) -> Result<(), String> {
    if keys().any(|key| key == name) {
        return Err("above all [tables], since it is a setting of the variant".into());
    }
    match value {
        Value::String(text) if is_property(name, text) => Ok(()),
        Value::Table(_) => Err(format!("written with its whole name in quotes: \"{}.…\" = \"…\"", find::shorten(name))),
        _ => Err("one line of text in quotes, its name without spaces".into()),
    }
}

fn are_properties(properties: &BTreeMap<String, String>) -> bool {
    properties.iter().all(|(name, text)| is_property(name, text))
}

/// A property becomes a line of a properties file or an argument, so it must not be able to end one.
fn is_property(name: &str, text: &str) -> bool {
    find::is_plain(name) && !text.contains(char::is_control)
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
}

fn is_topic(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (1..=249).contains(&name.len()) && name.chars().all(plain) && !matches!(name, "." | "..")
}

fn is_version(text: &str) -> bool {
    text.split('.').count() >= 2 && text.split('.').all(|part| part.parse::<u16>().is_ok())
}

/// What can be an image's name; whether there is such an image is Docker's to say.
pub(crate) fn is_image(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    name.len() <= 255 && name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_heap(text: &str) -> bool {
    let digits = text.strip_suffix(|unit: char| "kmgKMG".contains(unit)).unwrap_or_default();
    let are_digits = digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits && digits.parse().is_ok_and(|size: u32| size > 0)
}

/// Queues are bounded and may be allocated whole.
fn is_queue(events: u32) -> bool {
    (1..=1_000_000).contains(&events)
}

fn up_to_7_days(span: Span) -> bool {
    span.0 <= Duration::from_secs(7 * 24 * 3600)
}

/// Linux grants these as they are, and others changed.
fn is_slice(span: Span) -> bool {
    span.0.is_zero() || (Duration::from_micros(100)..=Duration::from_millis(100)).contains(&span.0)
}

/// Clients take these in whole milliseconds, and 0 would mean something else.
fn from_1ms(span: Span) -> bool {
    span.0 >= Duration::from_millis(1) && up_to_7_days(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variant::{Layer, tests::load_over_laptop};

    #[track_caller]
    fn refused(text: &str, message: &str) {
        let error = load_over_laptop(text, &Layer::default()).unwrap_err();
        assert!(error.contains(message), "{text:?} gave: {error}");
    }

    #[test]
    fn the_settings_are_those_of_a_layer() {
        let error = toml::from_str::<Layer>("no_such_setting = 1").unwrap_err().to_string();
        let (_, listed) = error.split_once("expected one of ").unwrap();
        let listed: Vec<_> =
            listed.trim().split(", ").map(|key| key.trim_matches('`')).filter(|key| *key != "extends").collect();
        assert_eq!(keys().collect::<Vec<_>>(), listed);
        assert!(SETTINGS.iter().any(|(key, must, _)| *key == "bytes" && must.ends_with(&BYTES_MAX.to_string())));
    }

    #[test]
    fn numbers_out_of_range() {
        for value in ["0", "-1", "-0.0", "nan", "inf", "-inf", "\"fast\"", "[]", "{}", "true"] {
            refused(&format!("rate = {value}"), ": must be above 0, in events per second of each connection");
        }
        let from_1 = "connections workers partitions instances batch_max lookahead backlog producer_threads names_per_tag \
            tags_per_connection stream_maxlen replication_factor min_insync_replicas ramp bytes";
        for key in from_1.split_whitespace() {
            for value in ["0", "-1", "1.5", "99999999999", "\"1\""] {
                refused(&format!("{key} = {value}"), &format!("{key} = {value}: must be a whole number from 1"));
            }
        }
        for (text, must) in [
            ("ramp = 81", "from 1 to 80"),
            ("jitter = 0.51", "from 0 to 0.5"),
            ("jitter = -0.1", "from 0 to 0.5"),
            ("jitter = nan", "from 0 to 0.5"),
            ("partitions = 100001", "from 1 to 100000"),
            ("bytes = 1000001", "from 1 to 1000000"),
            ("seed = -1", "from 0 to 9223372036854775807"),
        ] {
            refused(text, must);
        }
    }

    #[test]
    fn lengths_of_time_out_of_range() {
        for key in ["duration", "delivery_timeout", "commit_interval"] {
            for value in ["\"0s\"", "\"999us\"", "\"169h\"", "\"-1s\"", "\"soon\"", "60"] {
                refused(
                    &format!("{key} = {value}"),
                    &format!("x.toml:2: {key} = {value}: must be a length of time in quotes"),
                );
            }
        }
        refused("delivery_timeout = \"999ms\"", "from 1s to 168h");
        refused("warm = \"169h\"", "up to 168h");
        refused("drain = \"169h\"", "up to 168h");
        refused("duration = \"19h\"", "from 1ms to 18h");
        refused("linger = \"16m\"", "up to 15m");
        refused("redis_rtt = \"1001ms\"", "such as \"1ms\", up to 1s");
        refused("redis_rtt = 4", "such as \"1ms\", up to 1s");
    }

    #[test]
    fn words_that_are_none_of_the_choices() {
        refused("engine = \"kafkajs\"", "must be \"rskafka\" or \"librdkafka\"");
        refused("cluster = \"cloud\"", "must be \"local\", \"containers\", \"external\" or \"null\"");
        refused("group_protocol = \"sticky\"", "must be \"cooperative-sticky\"");
        refused("question = \"\"", "must be the question");
        refused("broker_jvm = [\"Xmx1g\"]", "starting with `-`");
        for heap in ["512", "m", "0m", "+5m", "5t", "0.5g", "9999999999g", " 5m", "5mm"] {
            refused(&format!("broker_heap = \"{heap}\""), "such as \"512m\" or \"64g\"");
        }
        for image in ["", "-it", "a b", "/x", "ü", "a;b"] {
            refused(&format!("kafka_image = \"{image}\""), "must be the name of an image");
            refused(&format!("redis_image = \"{image}\""), "must be the name of an image");
        }
        for version in ["4", "", "4.1.x", "v4.1", "4..1"] {
            refused(&format!("kafka_version = \"{version}\""), "such as \"4.1.1\"");
        }
        for topic in ["", ".", "..", "tag data", "tag/data", "ü", &"t".repeat(250)] {
            refused(&format!("topic = \"{topic}\""), "1 to 249 letters");
        }
    }

    #[test]
    fn settings_at_odds_with_each_other() {
        refused("min_insync_replicas = 4", "replication_factor = 3; x.toml:2: min_insync_replicas = 4: must be");
        refused("acks = \"1\"", "must be \"all\" with the engine rskafka, which knows no other");
        refused("acks = 1", "must be \"all\" or \"1\"");
        refused("cluster = \"null\"\nreaders = 1", "must be left out with the cluster null");
        refused("static_membership = true\ngroup_protocol = \"assign\"", "must be false where workers are in no group");
        refused("linger = \"5ms\"", "must be \"0s\" with the engine rskafka, which sends each event at once");
        refused(
            "engine = \"librdkafka\"\nlinger = \"1s\"\ndelivery_timeout = \"1s\"",
            "must be a linger below the delivery timeout",
        );
        refused(
            "cluster = \"external\"\nredis_rtt = \"1ms\"",
            "x.toml:3: redis_rtt = \"1ms\"; x.toml:2: cluster = \"external\": must be \"0s\" but with a local cluster",
        );
        refused(
            "cluster = \"containers\"\nredis_mode = \"cluster\"",
            "x.toml:3: redis_mode = \"cluster\"; x.toml:2: cluster = \"containers\": must be \"single\" in containers",
        );
        refused(
            "data_dir = \"shm\"",
            "x.toml:2: data_dir = \"shm\": must be the whole path of a directory in quotes, such as \"/dev/shm\"",
        );
        refused(
            "replication_factor = 4",
            "x.toml:2: replication_factor = 4: must be at most 3 on a cluster of the run's own",
        );
        refused("rate = 0.01\nduration = \"99s\"", "rate × duration is below 1");
        refused("connections = 100000\nduration = \"6h\"", "plans 2.160e10 events, and a run holds at most 1e9");
        refused("rate = 1e300", "and a run holds at most 1e9");
        refused("bytes = 20", "x.toml:2: bytes = 20: must be at least ");
        refused("bytes = 40\ntags_per_connection = 4294967295\nnames_per_tag = 4294967295", "must be at least ");
    }

    #[test]
    fn properties_that_would_be_misread() {
        refused("[broker]\n\nnum.io.threads = \"2\"", "must be written with its whole name in quotes: \"num.…\"");
        refused(
            "[broker]\n\n\"num.io.threads\" = 2",
            "x.toml:4: [broker] \"num.io.threads\" = 2: must be one line of text in quotes",
        );
        refused("[redis]\nsave = \"\"\nrate = 2", "x.toml:4: [redis] \"rate\" = 2: must be above all [tables]");
        refused("[consumer]\n\"a\" = \"b\\nc=d\"", "must be one line of text");
        refused("[consumer]\n\"a b\" = \"c\"", "its name without spaces");
        refused("consumer = 3", "must be a table of librdkafka properties");
    }

    #[test]
    fn properties_that_the_harness_sets_itself() {
        refused(
            "[consumer]\n\"bootstrap.servers\" = \"x:1\"",
            "x.toml:3: [consumer] \"bootstrap.servers\" = \"x:1\": must be left out",
        );
        for text in
            ["[consumer]\n\"group.id\"", "[consumer]\n\"ssl.ca.location\"", "[broker]\nlisteners", "[redis]\nPort"]
        {
            refused(&format!("{text} = \"1\""), "x.toml:3: ");
            refused(&format!("{text} = \"1\""), ": must be left out: ");
        }
        load_over_laptop("cluster = \"external\"\n[broker]\nlisteners = \"theirs\"", &Layer::default()).unwrap();
    }

    #[test]
    fn properties_that_librdkafka_does_not_take() {
        refused(
            "[consumer]\n\"fetch.min.byte\" = \"1\"",
            "x.toml:3: [consumer] \"fetch.min.byte\" = \"1\": must be a property that librdkafka knows",
        );
        refused(
            "[consumer]\n\"fetch.min.bytes\" = \"0\"",
            "x.toml:3: [consumer] \"fetch.min.bytes\" = \"0\": must be a value",
        );
        refused(
            "[consumer]\n\"fetch.max.bytes\" = \"1\"",
            "x.toml:3: [consumer] \"fetch.max.bytes\" = \"1\": must be what librdkafka takes together",
        );
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let text = "jitter = 0.5\nramp = 1\nrate = 0.0001\nduration = \"18h\"\nwarm = \"0s\"\ndrain = \"0s\"\nmin_insync_replicas = 3\n\
            engine = \"librdkafka\"\nlinger = \"5ms\"\nbroker_heap = \"64G\"\nbytes = 1000000\nconnections = 1000000";
        load_over_laptop(text, &Layer::default()).unwrap();
    }
}
