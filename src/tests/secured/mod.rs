//! A secured Kafka and secured Redis servers of a test's own, with keys, certificates, users and rights that the test
//! makes, and the real `experiment` against them. Started once, it serves many cases: one broker listens in each way.
//!
//! Uses the public interface of the library alone, so that any test target may declare `mod secured`.

#![allow(dead_code, unused_imports, reason = "each test target uses its own part of this")]

mod authority;
mod broker;
mod experiment;
mod ports;
mod redis_server;
mod rights;

pub use self::{
    authority::{Authority, Flaw, Issued},
    broker::{Broker, Listener},
    experiment::{Cases, Ended, Experiment},
    redis_server::{Admits, Redis},
    rights::{GROUPS, Operation, Resource},
};

/// Password of a user of these servers.
pub fn password(user: &str) -> String {
    format!("{user}-s3cret")
}

/// The rules that a run takes of Redis, and no more.
pub const REDIS_RULES: &str = "~shasta:* +hello +ping +cluster|slots +scan +get +set +lrange +rpush +del +multi +exec \
                               +eval +evalsha +script|load +hmget +hlen +xadd +hset +hget +xlen +xrange +hscan";
