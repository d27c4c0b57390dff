//! Redis nodes of a test's own.

use std::time::Duration;

use redis::Connection;

use super::{ANSWER_MAX, HOST, RedisNodes, replication};
use crate::{
    cluster::{Site, local::Starting, ports::Held},
    process::{Child, Lifetime},
    shards::Address,
    variant::{RedisMode, Variant},
};

/// The Redis nodes of a test's own, ready; they end with the value.
pub(crate) struct Temporary {
    nodes: RedisNodes,
    children: Vec<Child>,
    _held: Held,
    _dir: tempfile::TempDir,
}

impl Temporary {
    pub(crate) fn new(mode: RedisMode, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut variant = Variant { redis_mode: mode, ..crate::cluster::tests::variant() };
        variant.redis.extend(settings);
        let site = Site::from_env();
        let dir = tempfile::tempdir().unwrap();
        let held = Held::choose(0, RedisNodes::count(mode)).unwrap();
        let mut nodes = RedisNodes::new(mode, held.redis.clone());
        let lifetime = Lifetime::WithParent;
        let starting = Starting {
            variant: &variant,
            brokers: 0,
            site: &site,
            lifetime,
            network: None,
            stop: &|| false,
            progress: &|_| (),
        };
        let mut children = nodes.start(&starting, dir.path()).unwrap();
        while nodes.not_ready(Duration::from_secs(1)).is_some() {
            assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()), "a node ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { nodes, children, _held: held, _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        self.nodes.url()
    }

    /// A connection to the node of this number.
    pub(crate) fn node(&self, index: usize) -> Connection {
        self.nodes.open(index, ANSWER_MAX).unwrap()
    }

    pub(crate) fn address(&self, index: usize) -> Address {
        Address { host: HOST.to_owned(), port: self.nodes.ports[index].client }
    }

    pub(crate) fn kill(&mut self, name: &str) {
        let index = self.children.iter().position(|child| child.name() == name).unwrap();
        let mut child = self.children.remove(index);
        child.kill();
        child.wait().unwrap();
    }

    pub(crate) fn promote(&self, index: usize) {
        self.nodes.promote(index).unwrap();
    }

    /// Waits until each replica has what its primary has.
    pub(crate) fn settle(&self) {
        let field = |info: &str, name: &str| {
            info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
        };
        for index in 0..self.nodes.ports.len() {
            let mut replica = self.node(index);
            while let Some(port) = field(&replication(&mut replica).unwrap(), "master_port") {
                let primary = self.nodes.ports.iter().position(|ports| ports.client.to_string() == port).unwrap();
                let [own, all] = [index, primary]
                    .map(|node| field(&replication(&mut self.node(node)).unwrap(), "master_repl_offset").unwrap());
                if own == all {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    pub(crate) fn fail_over(&mut self) -> String {
        let children = std::cell::RefCell::new(&mut self.children);
        let kill = |name: &str| {
            let mut children = children.borrow_mut();
            let index = children.iter().position(|child| child.name() == name).unwrap();
            let mut child = children.remove(index);
            child.kill();
            child.wait().unwrap();
            Ok(())
        };
        self.nodes.fail_over(kill).unwrap()
    }
}
