//! The parts of a cluster of our own that can be stopped and started again while a run goes on, for faults.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use rustix::process::Signal;
use serde::Deserialize;

use super::{
    ClusterError, broker,
    broker::NODES,
    exit_diagnosis::ended,
    local::{LocalCluster, Starting},
};

/// How long a part may take to answer, when it is asked whether it does.
const LOOK: Duration = Duration::from_millis(50);

/// One process of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A broker, from 1.
    Broker(u32),
    /// The Redis that workers write to; of several the first, until it has failed over.
    Redis,
}

/// Power over the parts of a cluster that this process started. Use it from the thread that started them.
pub trait Parts {
    /// Sends a signal; nothing happens to a part that has ended.
    ///
    /// # Errors
    /// When the signal is refused.
    fn signal(&mut self, part: Part, signal: Signal) -> Result<(), ClusterError>;

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// When the operating system does not say.
    fn how_ended(&mut self, part: Part) -> Result<Option<String>, ClusterError>;

    /// Starts a part that has ended, on its ports and with its data.
    ///
    /// # Errors
    /// As at its first start.
    fn start_again(&mut self, part: Part) -> Result<(), ClusterError>;

    /// Whether it takes requests. Asks it, for 50 ms at most.
    fn answers(&self, part: Part) -> bool;

    /// The broker that leads the quorum, from 1, as far as the brokers have written down.
    fn controller(&self) -> Option<u32>;
}

/// What each node writes down of the quorum's last election.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quorum {
    leader_id: i64,
    leader_epoch: i64,
}

impl LocalCluster {
    fn place(&self, part: Part) -> Result<usize, ClusterError> {
        let name = match part {
            Part::Broker(broker) => format!("broker {broker}"),
            Part::Redis => self.redis.name(0),
        };
        let found = self.children.iter().position(|child| child.name() == name);
        found.ok_or(ClusterError::Gone { name })
    }
}

impl Parts for LocalCluster {
    fn signal(&mut self, part: Part, signal: Signal) -> Result<(), ClusterError> {
        let place = self.place(part)?;
        Ok(self.children[place].signal(signal)?)
    }

    fn how_ended(&mut self, part: Part) -> Result<Option<String>, ClusterError> {
        // What has failed over has ended as it should.
        let Ok(place) = self.place(part) else { return Ok(None) };
        let Some(status) = self.children[place].try_wait()? else { return Ok(None) };
        // A log that tells of more than the end itself, such as a full disk, is worth more than the status.
        Ok(Some(match ended(&self.children[place], status, self.scratch.path()) {
            ClusterError::Exited { status, .. } => status,
            why => format!("{status}; {why}"),
        }))
    }

    fn start_again(&mut self, part: Part) -> Result<(), ClusterError> {
        let place = self.place(part)?;
        let Self { variant, site, lifetime, .. } = self;
        let brokers = self.held.nodes.len();
        let starting =
            Starting { variant, brokers, site, lifetime: *lifetime, network: None, stop: &|| false, progress: &|_| () };
        let child = match part {
            Part::Redis => self.redis.start_one(0, &starting, self.scratch.path())?,
            Part::Broker(broker) => {
                let dir = self.scratch.path().join(format!("broker-{broker}"));
                broker::start(broker as usize - 1, &starting, &self.java, &dir)?
            }
        };
        if let (Part::Broker(broker), Some(network)) = (part, &self.network) {
            network.broker_started(broker, child.pid());
        }
        self.scratch.record(&child)?;
        self.children[place] = child;
        Ok(())
    }

    fn answers(&self, part: Part) -> bool {
        match part {
            Part::Redis => self.redis.answers(0, LOOK),
            Part::Broker(broker) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.held.nodes[broker as usize - 1].client));
                TcpStream::connect_timeout(&address, LOOK).is_ok()
            }
        }
    }

    fn controller(&self) -> Option<u32> {
        let written = |broker: usize| {
            let dir = self.scratch.path().join(format!("broker-{broker}/data"));
            quorum(&dir.join("__cluster_metadata-0/quorum-state"))
        };
        let newest = (1..=NODES).filter_map(written).filter(|quorum| quorum.leader_id > 0);
        newest.max_by_key(|quorum| quorum.leader_epoch).and_then(|quorum| u32::try_from(quorum.leader_id).ok())
    }
}

fn quorum(path: &Path) -> Option<Quorum> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}
