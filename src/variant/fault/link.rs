//! What is between two parts of a run, for faults that cut or delay it.

use std::fmt;

/// Which connections of a local cluster go through proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Those of workers and readers to Redis.
    Redis,
    /// Those of clients to brokers and of brokers to each other as well.
    Whole,
}

/// An end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// All producers.
    Producers,
    /// All workers.
    Workers,
    /// All readers.
    Readers,
    /// All brokers.
    Brokers,
    /// One broker, from 1.
    Broker(u32),
    /// Redis.
    Redis,
}

/// What is between two parties, in whichever order; `{ Brokers, Brokers }` is every pair of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// One end.
    pub a: Party,
    /// The other.
    pub b: Party,
}

impl Link {
    /// Whether it is between these two.
    pub fn joins(&self, a: Party, b: Party) -> bool {
        self.a.covers(a) && self.b.covers(b) || self.a.covers(b) && self.b.covers(a)
    }
}

impl Party {
    fn covers(self, other: Self) -> bool {
        self == other || (self == Self::Brokers && matches!(other, Self::Broker(_)))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producers => f.write_str("producers"),
            Self::Workers => f.write_str("workers"),
            Self::Readers => f.write_str("readers"),
            Self::Brokers => f.write_str("brokers"),
            Self::Broker(number) => write!(f, "broker {number}"),
            Self::Redis => f.write_str("redis"),
        }
    }
}
