//! What an image is told, so that three brokers and a Redis of any image are as alike to those of a local cluster as the
//! image allows: pure, from the variant and the ports.

use std::{collections::BTreeMap, path::Path};

use super::image::parts;
use crate::{
    cluster::{broker, listeners, ports::Ports},
    variant::Variant,
};

/// Where the public images have their volume.
const DATA: &str = "/var/lib/kafka/data";

/// Environment and arguments of one container.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Recipe {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) arguments: Vec<String>,
}

/// Node `index` of the brokers.
pub(super) fn broker(image: &str, index: usize, nodes: &[Ports], cluster_id: &str, variant: &Variant) -> Recipe {
    let repository = parts(image).0;
    match repository.rsplit('/').next() {
        Some(last) if last.starts_with("redpanda") => Recipe { arguments: redpanda(index, nodes), ..Recipe::default() },
        _ => Recipe { environment: kafka(index, nodes, cluster_id, variant), arguments: Vec::new() },
    }
}

/// As apache/kafka, apache/kafka-native and confluentinc/cp-kafka take them.
fn kafka(index: usize, nodes: &[Ports], cluster_id: &str, variant: &Variant) -> BTreeMap<String, String> {
    let settings = broker::settings(index, &listeners::of_nodes(nodes, None), Path::new(DATA), variant);
    let mut environment: BTreeMap<_, _> = settings.into_iter().map(|(name, value)| (variable(name), value)).collect();
    let heap = &variant.broker_heap;
    // An empty text would bring the image's own flags; `-server` is what java does anyway.
    let flags = if variant.broker_jvm.is_empty() { "-server".to_owned() } else { variant.broker_jvm.join(" ") };
    // Nothing of the log: with KAFKA_LOG4J_ROOT_LOGLEVEL, Kafka 4.1's images lose the appender, and all output.
    environment.extend(
        [
            ("CLUSTER_ID", cluster_id.to_owned()),
            ("KAFKA_HEAP_OPTS", format!("-Xms{heap} -Xmx{heap}")),
            ("KAFKA_JVM_PERFORMANCE_OPTS", flags),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    environment
}

/// The variable that these images make a property of.
fn variable(property: &str) -> String {
    format!("KAFKA_{}", property.replace('_', "__").replace('-', "___").replace('.', "_").to_uppercase())
}

/// Redpanda's command line. It has neither a JVM nor Kafka's server properties.
fn redpanda(index: usize, nodes: &[Ports]) -> Vec<String> {
    let at = |port: u16| format!("127.0.0.1:{port}");
    // Ports that only brokers behind proxies would listen on are free for its other servers.
    let Ports { client, controller, producers: admin, workers: proxy, internal: registry } = nodes[index];
    let seeds: Vec<_> = nodes.iter().map(|node| at(node.controller)).collect();
    let flags = [
        ("--mode", "dev-container".to_owned()),
        ("--smp", "1".to_owned()),
        ("--default-log-level", "warn".to_owned()),
        ("--node-id", (index + 1).to_string()),
        ("--seeds", seeds.join(",")),
        ("--kafka-addr", at(client)),
        ("--advertise-kafka-addr", at(client)),
        ("--rpc-addr", at(controller)),
        ("--advertise-rpc-addr", at(controller)),
        ("--pandaproxy-addr", at(proxy)),
        ("--schema-registry-addr", at(registry)),
        ("--set", format!("redpanda.admin=[{{\"address\":\"127.0.0.1\",\"port\":{admin}}}]")),
        ("--set", "redpanda.empty_seed_starts_cluster=false".to_owned()),
    ];
    let given = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    ["redpanda", "start"].map(str::to_owned).into_iter().chain(given).collect()
}

/// Redis or Valkey: options alone, which the images' entry points put after their server's name.
pub(super) fn redis(port: u16, variant: &Variant) -> Recipe {
    let mut settings = BTreeMap::from([("appendonly", "yes"), ("appendfsync", "no"), ("save", "")]);
    settings.extend(variant.redis.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut arguments: Vec<String> =
        ["--bind", "127.0.0.1", "--port"].map(str::to_owned).into_iter().chain([port.to_string()]).collect();
    for (name, value) in settings {
        arguments.push(format!("--{name}"));
        // Several words are several arguments; none is an empty one.
        let mut words = value.split_whitespace().map(str::to_owned).peekable();
        if words.peek().is_none() {
            arguments.push(String::new());
        }
        arguments.extend(words);
    }
    Recipe { arguments, ..Recipe::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::variant;

    fn nodes() -> [Ports; 3] {
        [10, 20, 30].map(|i| Ports::new(&[i, i + 1, i + 2, i + 3, i + 4]))
    }

    #[test]
    fn a_broker_gets_what_a_local_one_gets() {
        let (nodes, variant) = (nodes(), variant());
        for image in ["apache/kafka:4.1.1", "apache/kafka-native", "confluentinc/cp-kafka:8.0.0", "my.host:1/kafka"] {
            let recipe = broker(image, 1, &nodes, "id", &variant);
            let environment = &recipe.environment;
            assert_eq!(
                (environment["KAFKA_NODE_ID"].as_str(), environment["KAFKA_NUM_IO_THREADS"].as_str()),
                ("2", "2")
            );
            let client = format!("CLIENT://127.0.0.1:{}", nodes[1].client);
            assert_eq!(environment["KAFKA_ADVERTISED_LISTENERS"], client);
            assert_eq!(environment["KAFKA_LOG_DIRS"], DATA);
            assert_eq!(environment["KAFKA_HEAP_OPTS"], "-Xms256m -Xmx256m");
            assert_eq!(environment["KAFKA_JVM_PERFORMANCE_OPTS"], "-XX:+UseSerialGC -XX:TieredStopAtLevel=1");
            assert!(!environment.keys().any(|name| name.contains("ZOOKEEPER")) && recipe.arguments.is_empty());
        }
        let bare = broker("kafka", 0, &nodes, "id", &Variant { broker_jvm: Vec::new(), ..variant });
        assert_eq!(bare.environment["KAFKA_JVM_PERFORMANCE_OPTS"], "-server");
    }

    #[test]
    fn a_property_becomes_a_variable() {
        assert_eq!(variable("num.io.threads"), "KAFKA_NUM_IO_THREADS");
        assert_eq!(variable("a_b-c.d"), "KAFKA_A__B___C_D");
    }

    #[test]
    fn redpanda_is_told_its_ports() {
        let nodes = nodes();
        let recipe = broker("redpandadata/redpanda:v25.1.1", 2, &nodes, "id", &variant());
        let text = recipe.arguments.join(" ");
        assert!(recipe.environment.is_empty() && text.starts_with("redpanda start --mode dev-container"), "{text}");
        assert!(text.contains(&format!("--kafka-addr 127.0.0.1:{} ", nodes[2].client)), "{text}");
        let seeds = nodes.map(|node| format!("127.0.0.1:{}", node.controller)).join(",");
        assert!(text.contains(&format!("--seeds {seeds} ")), "{text}");
    }

    #[test]
    fn redis_takes_its_settings_as_options() {
        let mut variant = variant();
        variant.redis.insert("appendfsync".to_owned(), "everysec".to_owned());
        variant.redis.insert("client-output-buffer-limit".to_owned(), "normal 0 0 0".to_owned());
        let arguments = redis(7000, &variant).arguments;
        assert_eq!(arguments[..4], ["--bind", "127.0.0.1", "--port", "7000"]);
        assert_eq!(arguments[4..8], ["--appendfsync", "everysec", "--appendonly", "yes"]);
        assert_eq!(arguments[8..13], ["--client-output-buffer-limit", "normal", "0", "0", "0"]);
        assert_eq!(arguments[13..], ["--save", ""]);
    }
}
