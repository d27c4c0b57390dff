//! Redis nodes of a test's own.

use std::{path::PathBuf, time::Duration};

use redis::Connection;

use super::{ANSWER_MAX, HOST, RedisNodes, replication};
use crate::{
    cluster::{Site, local::Starting, ports::Held},
    machine::process::{Child, Lifetime},
    variant::{RedisMode, Variant},
};
use shasta_reader::topology::Address;

/// The Redis nodes of a test's own, ready; they end with the value.
pub(crate) struct Temporary {
    nodes: RedisNodes,
    children: Vec<Child>,
    variant: Variant,
    dir: tempfile::TempDir,
    _held: Held,
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn starting<'a>(variant: &'a Variant, site: &'a Site) -> Starting<'a> {
    let lifetime = Lifetime::WithParent;
    Starting { variant, brokers: 0, site, lifetime, network: None, stop: &|| false, progress: &|_| () }
}

impl Temporary {
    pub(crate) fn new(mode: RedisMode, settings: &[(&str, &str)]) -> Self {
        let mut variant = Variant { redis_mode: mode, ..crate::cluster::tests::variant() };
        variant.redis.extend(owned(settings));
        let dir = tempfile::tempdir().unwrap();
        let held = Held::choose(0, RedisNodes::count(mode)).unwrap();
        if variant.redis.contains_key("cluster-enabled") {
            // Otherwise 10,000 above the other, which may be no port at all.
            variant.redis.insert("cluster-port".to_owned(), held.redis[0].bus.to_string());
        }
        let mut nodes = RedisNodes::new(mode, held.redis.clone());
        let mut children = nodes.start(&starting(&variant, &Site::from_env()), dir.path()).unwrap();
        while nodes.not_ready(Duration::from_secs(1)).is_some() {
            assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()), "a node ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { nodes, children, variant, dir, _held: held }
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

    /// Where a node has its files.
    pub(crate) fn dir(&self, index: usize) -> PathBuf {
        self.nodes.dir(index, self.dir.path())
    }

    /// The process of this name.
    pub(crate) fn child(&mut self, name: &str) -> &mut Child {
        self.children.iter_mut().find(|child| child.name() == name).unwrap()
    }

    pub(crate) fn kill(&mut self, name: &str) {
        kill(&mut self.children, name);
    }

    /// Starts a node that was killed, with the data that it has and more settings; does not wait for it.
    pub(crate) fn start_again(&mut self, index: usize, settings: &[(&str, &str)]) {
        self.variant.redis.extend(owned(settings));
        let started = self.nodes.start_one(index, &starting(&self.variant, &Site::from_env()), self.dir.path());
        self.children.push(started.unwrap());
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
            // Offsets that are both 0 are equal before the two have met.
            loop {
                let told = replication(&mut replica).unwrap();
                let Some(port) = field(&told, "master_port") else { break };
                let primary = self.nodes.ports.iter().position(|ports| ports.client.to_string() == port).unwrap();
                let [own, all] = [index, primary]
                    .map(|node| field(&replication(&mut self.node(node)).unwrap(), "master_repl_offset").unwrap());
                if own == all && field(&told, "master_link_status").as_deref() == Some("up") {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    pub(crate) fn fail_over(&mut self) -> String {
        let children = &mut self.children;
        self.nodes
            .fail_over(|name| {
                kill(children, name);
                Ok(())
            })
            .unwrap()
    }
}

fn kill(children: &mut Vec<Child>, name: &str) {
    let index = children.iter().position(|child| child.name() == name).unwrap();
    let mut child = children.remove(index);
    child.kill();
    child.wait().unwrap();
}
