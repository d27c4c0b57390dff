//! Slots: which of 16,384 a key is in, and which node has each.

use std::fmt;

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

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

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, as a MOVED or ASK names it; an empty host is `asked`, the node that said so.
    pub fn of_redirect(text: &str, asked: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { asked } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Which primary has each slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    nodes: Vec<Address>,
    /// Index of each slot's node. Empty where there is one node for all.
    slots: Vec<u16>,
}

impl Map {
    /// One node has everything.
    pub fn one(address: Address) -> Self {
        Self { nodes: vec![address], slots: Vec::new() }
    }

    /// Reads the answer to CLUSTER SLOTS; a node without a host is at the one that was asked.
    ///
    /// # Errors
    /// It is not such an answer, or no node has any slot.
    pub fn of_cluster(answer: &Value, asked: &str) -> RedisResult<Self> {
        let mut map = Self { nodes: Vec::new(), slots: vec![NOBODY; usize::from(SLOTS)] };
        let wrong = || RedisError::from((ErrorKind::UnexpectedReturnType, "not an answer to CLUSTER SLOTS"));
        let Value::Array(ranges) = answer else { return Err(wrong()) };
        for range in ranges {
            let Value::Array(parts) = range else { return Err(wrong()) };
            let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = &parts[..] else { return Err(wrong()) };
            let [host, Value::Int(port), ..] = &node[..] else { return Err(wrong()) };
            let host = match host {
                Value::BulkString(host) if !host.is_empty() && host != b"?" => {
                    String::from_utf8_lossy(host).into_owned()
                }
                _ => asked.to_owned(),
            };
            let port = u16::try_from(*port).map_err(|_| wrong())?;
            let node = map.add(&Address { host, port });
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
        for wrong in [range(0, 9, "", -1), range(9, 0, "", 1), range(0, 16_384, "", 1), Value::Nil] {
            assert!(Map::of_cluster(&Value::Array(vec![wrong]), "").is_err());
        }
        assert!(Map::of_cluster(&Value::Array(vec![]), "").is_err());
    }

    proptest! {
        #[test]
        fn any_key_has_a_slot(key: Vec<u8>) {
            prop_assert!(slot(&key) < SLOTS);
        }
    }
}
