//! Where in Redis a tag is: one primary, a primary with replicas, or the shards of a Redis Cluster (MemoryDB).
//!
//! A URL names one node or several; which of them is the primary, or that they are a cluster, they tell themselves
//! (`HELLO`, `CLUSTER SLOTS`), so nobody has to say it. The map is asked for again whenever a node says that it is out of
//! date. [`Primaries`] is for those who wait for their answers; the reader has connections of its own kind.

mod info;
mod redis_error;
mod seeds;
mod slots;

use std::time::Duration;

use redis::{Connection, RedisError, RedisResult, Value};

pub use self::{
    info::{Evicted, info},
    redis_error::told,
    seeds::{AUTHORITIES, Kind, Seeds, kind},
    slots::{Map, SLOTS, slot},
};
pub use crate::address::Address;

/// One connection to each primary.
pub struct Primaries {
    seeds: Seeds,
    timeout: Duration,
    map: Map,
    nodes: Vec<Option<Connection>>,
}

impl Primaries {
    /// Finds all primaries and connects to them.
    ///
    /// # Errors
    /// Those of connecting: unreachable, wrong password, TLS demanded, or no node is a primary.
    pub fn connect(seeds: Seeds, timeout: Duration) -> RedisResult<Self> {
        let mut primaries = Self { seeds, timeout, map: Map::default(), nodes: Vec::new() };
        primaries.refresh(None)?;
        Ok(primaries)
    }

    /// Asks again who is the primary of what, `hint` first if there is one. Connections that still work are kept; returns
    /// the nodes that are new.
    ///
    /// # Errors
    /// As [`Primaries::connect`]; then all is as before.
    pub fn refresh(&mut self, hint: Option<&Address>) -> RedisResult<Vec<usize>> {
        let (map, asked) = self.find(hint)?;
        let mut old: Vec<_> = std::mem::take(&mut self.nodes);
        let mut kept: Vec<Option<Connection>> = map
            .nodes()
            .iter()
            .map(|address| {
                let before = self.map.nodes().iter().position(|known| known == address)?;
                old.get_mut(before)?.take().filter(redis::ConnectionLike::is_open)
            })
            .collect();
        let mut new = Vec::new();
        let mut asked = Some(asked);
        for (index, node) in kept.iter_mut().enumerate().filter(|(_, node)| node.is_none()) {
            let address = &map.nodes()[index];
            let connection = match asked.take_if(|(at, _)| at == address) {
                Some((_, connection)) => Ok(connection),
                None => self.seeds.open(address, self.timeout),
            };
            // Those that were open stay, so that the next try has less to do.
            match connection {
                Ok(connection) => *node = Some(connection),
                Err(error) => {
                    (self.map, self.nodes) = (map, kept);
                    return Err(error);
                }
            }
            new.push(index);
        }
        (self.map, self.nodes) = (map, kept);
        Ok(new)
    }

    /// The first node that can tell, and what it tells.
    fn find(&self, hint: Option<&Address>) -> RedisResult<(Map, (Address, Connection))> {
        let mut failed: Option<RedisError> = None;
        for address in self.seeds.to_ask(hint, &self.map) {
            let told = self.seeds.open(&address, self.timeout).and_then(|mut connection| {
                let map = match kind(redis::cmd("HELLO").query(&mut connection)) {
                    Kind::Primary => Map::one(address.clone()),
                    Kind::Replica => return Err(seeds::is_replica(&address)),
                    Kind::Cluster => {
                        let slots = redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection)?;
                        Map::of_cluster(&slots, &address.host)?
                    }
                };
                Ok((map, connection))
            });
            match told {
                Ok((map, connection)) => return Ok((map, (address, connection))),
                // A node that is not there says less than one that is and refuses.
                Err(error) if failed.as_ref().is_none_or(RedisError::is_io_error) => failed = Some(error),
                Err(_) => {}
            }
        }
        Err(failed.expect("a URL names at least one node"))
    }

    /// Who has what.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// All nodes that Redis names, replicas too: whoever connects later tries these as well.
    pub fn known(&mut self) -> Vec<Address> {
        if self.map.is_cluster() {
            return self.map.nodes().iter().chain(self.map.replicas()).cloned().collect();
        }
        let Some(own) = self.map.nodes().first().cloned() else { return Vec::new() };
        // A user with few rights may not ask; then there are the nodes that were named.
        let role = self.node(0).and_then(|node| redis::cmd("ROLE").query::<Value>(node));
        let Ok(Value::Array(role)) = role else { return vec![own] };
        let replicas = role.iter().flat_map(|part| match part {
            Value::Array(replicas) => replicas.iter().filter_map(slots::replica).collect(),
            _ => Vec::new(),
        });
        let replicas: Vec<_> = replicas.collect();
        std::iter::once(own).chain(replicas).collect()
    }

    /// The connection to a node of [`Primaries::map`]. A node from which it was lost has none before the next refresh.
    ///
    /// # Errors
    /// It was lost.
    pub fn node(&mut self, index: usize) -> RedisResult<&mut Connection> {
        let lost = || RedisError::from((redis::ErrorKind::Io, "the connection was lost"));
        self.nodes.get_mut(index).and_then(Option::as_mut).ok_or_else(lost)
    }

    /// The index of a node that is no primary of the map (the target of a slot that is moving), connected to if need be.
    ///
    /// # Errors
    /// It cannot be reached. `Ok((_, true))` for a new connection.
    pub fn beside(&mut self, address: &Address) -> RedisResult<(usize, bool)> {
        let index = self.map.add(address);
        self.nodes.resize_with(self.map.nodes().len(), || None);
        let new = self.nodes[index].is_none();
        if new {
            self.nodes[index] = Some(self.seeds.open(address, self.timeout)?);
        }
        Ok((index, new))
    }

    /// Gives up the connection to a node, as when replies are still to come that belong to nobody.
    pub fn lose(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            *node = None;
        }
    }

    /// The connection to the primary that has a key.
    ///
    /// # Errors
    /// No node has its slot, or the connection was lost.
    pub fn of(&mut self, key: &str) -> RedisResult<&mut Connection> {
        let index = self.map.node(slot(key.as_bytes()))?;
        self.node(index)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none, which cannot be.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
