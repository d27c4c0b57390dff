//! The network of a local cluster, so that it can be worse than the one inside of a machine: a proxy of our own stands before
//! each listener, and any link can be delayed or cut while a run goes on.
//!
//! Each kind of client has listeners and proxies of its own, and so belongs to a link by where it connects. Brokers share
//! one listener, and the proxy before it asks the system which broker called: so a single pair of them can be cut.

mod peer_broker;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;

use self::peer_broker::Callers;
pub use crate::cluster::proxy::Condition;
use crate::{
    cluster::proxy::Proxy,
    variant::fault::{Link, Party, Scope},
};

/// Two parties that no link of this network joins.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "nothing that can be changed is between {a} and {b}; there are {there}",
    a = .link.a,
    b = .link.b
)]
pub struct NoLink {
    /// What was asked for.
    link: Link,
    /// The links that there are.
    there: String,
}

/// Where the servers listen. For [`Scope::Redis`], of Redis alone.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Redis.
    pub redis: SocketAddr,
    /// The brokers, in order of their numbers from 1.
    pub brokers: Vec<Broker<SocketAddr>>,
}

/// Something of each listener of a broker.
#[derive(Debug, Clone, Copy)]
pub struct Broker<T> {
    /// For producers.
    pub producers: T,
    /// For workers.
    pub workers: T,
    /// For other brokers.
    pub internal: T,
    /// For the quorum of controllers.
    pub controller: T,
}

/// All links of a run. Dropping it ends every connection through it.
#[derive(Debug)]
pub struct Network {
    scope: Scope,
    /// Each before Redis, whose clients it is for.
    redis: [(Party, Proxy); 2],
    brokers: Vec<Broker<Proxy>>,
    callers: Callers,
    /// What workers' way to Redis has of itself, one way.
    redis_delay: Duration,
}

impl Network {
    /// Puts a proxy before each listener. `redis_rtt` is what a round trip between workers and Redis always takes longer.
    ///
    /// # Errors
    /// When the system has no port, file or thread left.
    pub fn start(servers: &Servers, redis_rtt: Duration) -> io::Result<Self> {
        let redis = |party| Ok::<_, io::Error>((party, Proxy::listen(servers.redis)?));
        let redis = [redis(Party::Workers)?, redis(Party::Readers)?];
        let callers = Callers::default();
        let count = servers.brokers.len();
        let sorted = |upstream| {
            let callers = callers.clone();
            // Line 0 is for the broker itself and for whom the system does not know.
            Proxy::listen_sorted(upstream, count + 1, move |peer, here| callers.who(peer, here).unwrap_or(0) as usize)
        };
        let broker = |listeners: &Broker<SocketAddr>| {
            Ok(Broker {
                producers: Proxy::listen(listeners.producers)?,
                workers: Proxy::listen(listeners.workers)?,
                internal: sorted(listeners.internal)?,
                controller: sorted(listeners.controller)?,
            })
        };
        let brokers = servers.brokers.iter().map(broker).collect::<io::Result<Vec<_>>>()?;
        let scope = if brokers.is_empty() { Scope::Redis } else { Scope::Whole };
        let network = Self { scope, redis, brokers, callers, redis_delay: redis_rtt / 2 };
        network.redis[0].1.set(network.of_redis(Party::Workers, Condition::default()));
        Ok(network)
    }

    /// Which connections go through it.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Where this party reaches Redis, if that is not the straight way.
    pub fn redis_for(&self, party: Party) -> Option<SocketAddr> {
        self.redis.iter().find(|(own, _)| *own == party).map(|(_, proxy)| proxy.address())
    }

    /// Where this party reaches each broker, in order of their numbers; empty where that is the straight way.
    pub fn brokers_for(&self, party: Party) -> Vec<SocketAddr> {
        let of = |broker: &Broker<Proxy>| match party {
            Party::Producers => Some(broker.producers.address()),
            Party::Workers => Some(broker.workers.address()),
            _ => None,
        };
        self.brokers.iter().filter_map(of).collect()
    }

    /// Where each listener of each broker is found, in order of their numbers; empty for [`Scope::Redis`].
    pub fn brokers(&self) -> Vec<Broker<SocketAddr>> {
        let addresses = |Broker { producers, workers, internal, controller }: &Broker<Proxy>| Broker {
            producers: producers.address(),
            workers: workers.address(),
            internal: internal.address(),
            controller: controller.address(),
        };
        self.brokers.iter().map(addresses).collect()
    }

    /// Says which process a broker is, from 1; again for each new process of the same broker.
    pub fn broker_started(&self, number: u32, pid: u32) {
        self.callers.add(number, pid);
    }

    /// Sets how a link is, on top of what the variant gives it for the whole run: [`Condition::default`] heals it.
    ///
    /// # Errors
    /// When no link joins the two.
    pub fn set(&self, link: &Link, condition: Condition) -> Result<(), NoLink> {
        let mut found = false;
        for (party, proxy) in self.redis.iter().filter(|(party, _)| link.joins(*party, Party::Redis)) {
            proxy.set(self.of_redis(*party, condition));
            found = true;
        }
        for (number, broker) in (1..).zip(&self.brokers) {
            for (party, proxy) in [(Party::Producers, &broker.producers), (Party::Workers, &broker.workers)] {
                if link.joins(party, Party::Broker(number)) {
                    proxy.set(condition);
                    found = true;
                }
            }
            let others = (1..=self.brokers.len() as u32).filter(|other| *other != number);
            for other in others.filter(|other| link.joins(Party::Broker(*other), Party::Broker(number))) {
                broker.internal.set_line(other as usize, condition);
                broker.controller.set_line(other as usize, condition);
                found = true;
            }
        }
        if found { Ok(()) } else { Err(NoLink { link: *link, there: self.links() }) }
    }

    fn of_redis(&self, party: Party, condition: Condition) -> Condition {
        let own = if party == Party::Workers { self.redis_delay } else { Duration::ZERO };
        Condition { delay: own + condition.delay, ..condition }
    }

    /// The links that there are, in words.
    pub fn links(&self) -> String {
        let redis = "workers - redis, readers - redis";
        match self.brokers.len() {
            0 => redis.to_owned(),
            count => format!(
                "producers - broker N, workers - broker N, broker N - broker M (N and M from 1 to {count}, or `brokers` for \
                 all), {redis}"
            ),
        }
    }
}
