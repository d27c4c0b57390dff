//! Slots: which of 16,384 a key is in, and which node has each.

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use crate::address::Address;

/// Slots of a Redis Cluster.
pub const SLOTS: u16 = 16_384;
const NOBODY: u16 = u16::MAX;

/// CRC-16/XMODEM, by which Redis Cluster shares keys out.
const CRC: [u16; 256] = {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The slot of a key: of what is between its first braces, if anything is.
pub fn slot(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    let step = |crc: u16, byte: &u8| (crc << 8) ^ CRC[usize::from((crc >> 8) as u8 ^ byte)];
    tagged.unwrap_or(key).iter().fold(0, step) % SLOTS
}

/// Which primary has each slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    nodes: Vec<Address>,
    /// Nodes of a cluster that copy from these.
    replicas: Vec<Address>,
    /// Index of each slot's node. Empty where there is one node for all.
    slots: Vec<u16>,
}

impl Map {
    /// One node has everything.
    pub fn one(address: Address) -> Self {
        Self { nodes: vec![address], ..Self::default() }
    }

    /// Reads the answer to CLUSTER SLOTS; a node without a host is at the one that was asked.
    ///
    /// # Errors
    /// It is not such an answer, or no node has any slot.
    pub fn of_cluster(answer: &Value, asked: &str) -> RedisResult<Self> {
        let mut map = Self { slots: vec![NOBODY; usize::from(SLOTS)], ..Self::default() };
        let wrong = || RedisError::from((ErrorKind::UnexpectedReturnType, "not an answer to CLUSTER SLOTS"));
        let Value::Array(ranges) = answer else { return Err(wrong()) };
        for range in ranges {
            let Value::Array(parts) = range else { return Err(wrong()) };
            let [Value::Int(first), Value::Int(last), primary, replicas @ ..] = &parts[..] else { return Err(wrong()) };
            let node = map.add(&node(primary, asked).ok_or_else(wrong)?);
            for replica in replicas.iter().filter_map(|replica| self::node(replica, asked)) {
                if !map.replicas.contains(&replica) {
                    map.replicas.push(replica);
                }
            }
            let within = |slot: &i64| (0..i64::from(SLOTS)).contains(slot);
            if !within(first) || !within(last) || first > last {
                return Err(wrong());
            }
            map.slots[*first as usize..=*last as usize].fill(node as u16);
        }
        if map.nodes.is_empty() {
            return Err(uncovered());
        }
        Ok(map)
    }

    /// All nodes, in the order of their indices.
    pub fn nodes(&self) -> &[Address] {
        &self.nodes
    }

    /// Nodes of a cluster that copy from these.
    pub fn replicas(&self) -> &[Address] {
        &self.replicas
    }

    /// How many slots of a cluster no node has: what is in one of them cannot be stored.
    pub fn uncovered(&self) -> usize {
        self.slots.iter().filter(|node| **node == NOBODY).count()
    }

    /// Whether it is that of a cluster.
    pub fn is_cluster(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The index of the node that has a slot.
    ///
    /// # Errors
    /// None has it.
    pub fn node(&self, slot: u16) -> RedisResult<usize> {
        match self.slots.get(usize::from(slot)) {
            None if self.nodes.is_empty() => Err(uncovered()),
            None => Ok(0),
            Some(&NOBODY) => Err(uncovered()),
            Some(&node) => Ok(usize::from(node)),
        }
    }

    /// The index of a node, which is added where it is new.
    pub(super) fn add(&mut self, address: &Address) -> usize {
        self.nodes.iter().position(|known| known == address).unwrap_or_else(|| {
            self.nodes.push(address.clone());
            self.nodes.len() - 1
        })
    }
}

/// A node as CLUSTER SLOTS describes it.
fn node(described: &Value, asked: &str) -> Option<Address> {
    let Value::Array(parts) = described else { return None };
    let [host, Value::Int(port), ..] = &parts[..] else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8_lossy(host),
        _ => "".into(),
    };
    Some(Address::named(&host, u16::try_from(*port).ok()?, asked))
}

/// A replica as ROLE describes it.
pub(super) fn replica(described: &Value) -> Option<Address> {
    let Value::Array(parts) = described else { return None };
    let [Value::BulkString(host), Value::BulkString(port), ..] = &parts[..] else { return None };
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some(Address::named(&String::from_utf8_lossy(host), port, ""))
}

fn uncovered() -> RedisError {
    RedisError::from((ErrorKind::Server(ServerErrorKind::ClusterDown), "no node of the cluster has the slot"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // CLUSTER KEYSLOT of Redis 7.0.
        for (key, expected) in [("123456789", 12_739), ("foo", 12_182), ("{foo}x", 12_182), ("a{}b", 13_694)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"x{a}{b}"), slot(b"a"));
        assert_eq!(slot(b"x{a"), slot(b"x{a"));
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let node = Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString("id".into())]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    #[test]
    fn a_map_knows_each_slot_and_says_where_nobody_is() {
        let answer = Value::Array(vec![range(0, 9, "", 1), range(10, 19, "b", 2), range(30, 30, "", 1)]);
        let map = Map::of_cluster(&answer, "asked").unwrap();
        assert_eq!(map.nodes().iter().map(Address::to_string).collect::<Vec<_>>(), ["asked:1", "b:2"]);
        assert_eq!([0, 10, 30].map(|slot| map.node(slot).unwrap()), [0, 1, 0]);
        assert!(map.node(20).unwrap_err().to_string().contains("no node"));
        assert_eq!((map.uncovered(), Map::one(map.nodes()[0].clone()).uncovered()), (16_384 - 21, 0));
        for wrong in [range(0, 9, "", -1), range(9, 0, "", 1), range(0, 16_384, "", 1), Value::Nil] {
            assert!(Map::of_cluster(&Value::Array(vec![wrong]), "").is_err());
        }
        assert!(Map::of_cluster(&Value::Array(vec![]), "").is_err());
    }

    #[test]
    fn nodes_that_are_announced_by_ipv6_are_reached_by_it() {
        let node = |host: &str, port| Value::Array(vec![Value::BulkString(host.into()), Value::Int(port)]);
        let range = Value::Array(vec![Value::Int(0), Value::Int(16_383), node("fd00::2", 6379), node("?", 6380)]);
        let map = Map::of_cluster(&Value::Array(vec![range]), "::1").unwrap();
        assert_eq!(
            (map.nodes()[0].to_string(), map.replicas()[0].to_string()),
            ("[fd00::2]:6379".into(), "[::1]:6380".into())
        );
    }

    proptest! {
        #[test]
        fn any_key_has_a_slot(key: Vec<u8>) {
            prop_assert!(slot(&key) < SLOTS);
        }
    }
}
