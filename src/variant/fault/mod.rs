//! Faults as data: what is broken on purpose while a run goes on, when and for how long.
//!
//! A fault is a `[[fault]]` table of a variant, or `--fault 'kill broker 2 at 30s for 10s'`; its times count from the
//! start of the measured window. [`crate::fault`] carries them out.

mod grammar;
mod link;
mod random;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    grammar::FaultError,
    link::{Link, Party, Scope},
    random::{Flags, from_seed},
};
use super::{ClusterKind, RedisMode, Span, Variant};

/// Brokers that a local cluster has, numbered from 1.
pub const BROKERS_LOCAL: u32 = 3;

/// One fault of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "grammar::Written", into = "grammar::Written")]
pub struct Fault {
    /// What is done.
    pub what: Action,
    /// When, from the window's start.
    pub at: Span,
    /// How long it lasts, for one that somebody has to end.
    pub lasts: Option<Span>,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL; started again when the fault ends.
    Kill(Target),
    /// SIGSTOP, and SIGCONT when it ends.
    Pause(Target),
    /// SIGTERM, and started again at once.
    Restart(Target),
    /// Redis forgets the scripts that it was given.
    FlushScripts,
    /// Redis refuses writes for want of memory, until the fault ends.
    FillRedis,
    /// A replica of Redis takes over.
    FailoverRedis,
    /// All brokers one after another, each in sync again before the next goes.
    RollingRestart,
    /// The clock of a worker's host jumps, and back when the fault ends.
    StepClock {
        /// Worker, from 0.
        worker: u32,
        /// How far, in µs; below 0 it goes back.
        by_us: i64,
    },
    /// The disk that takes the rows is full, to the end of the run.
    FillDisk,
    /// Nothing passes between two parts.
    Cut(Link),
    /// Everything between two parts takes so much longer, each way: a round trip twice as much.
    Delay(Link, Span),
}

/// A process of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A broker, from 1.
    Broker(u32),
    /// Whichever broker leads the KRaft quorum when the fault begins.
    Controller,
    /// A worker, from 0.
    Worker(u32),
    /// Redis.
    Redis,
}

impl Fault {
    /// Checks it against the variant that it is part of; returns what it must be, where it is not.
    ///
    /// # Errors
    /// In words that follow "must".
    pub fn check(&self, variant: &Variant) -> Result<(), String> {
        self.check_times(variant)?;
        let not_local = variant.cluster != ClusterKind::Local;
        match self.what {
            Action::Kill(target) | Action::Pause(target) | Action::Restart(target) => check_target(target, variant),
            Action::StepClock { worker, .. } => check_target(Target::Worker(worker), variant),
            Action::FillRedis | Action::RollingRestart if not_local => Err(not_ours(variant)),
            Action::FailoverRedis if not_local => Err(not_ours(variant)),
            Action::FailoverRedis if variant.redis_mode == RedisMode::Single => Err(
                "used where Redis has a replica that can take over: give --redis-mode replica or --redis-mode cluster"
                    .to_owned(),
            ),
            Action::Cut(_) | Action::Delay(..) if not_local => Err(not_ours(variant)),
            Action::Cut(Link { a, b }) | Action::Delay(Link { a, b }, _) => {
                check_end(a, variant)?;
                check_end(b, variant)?;
                if connected(a, b) || connected(b, a) { Ok(()) } else { Err(LINKS.to_owned()) }
            }
            Action::FlushScripts
            | Action::FillRedis
            | Action::FailoverRedis
            | Action::RollingRestart
            | Action::FillDisk => Ok(()),
        }
    }

    /// Which connections of a local cluster have to go through proxies for it, if any.
    pub fn network_scope(&self) -> Option<Scope> {
        match self.what {
            Action::Cut(Link { a, b }) | Action::Delay(Link { a, b }, _) => {
                Some(if [a, b].contains(&Party::Redis) { Scope::Redis } else { Scope::Whole })
            }
            _ => None,
        }
    }

    fn check_times(&self, variant: &Variant) -> Result<(), String> {
        let window = variant.duration;
        let end = self.lasts.map_or(self.at.0, |lasts| self.at.0.saturating_add(lasts.0));
        if self.at.0 < window.0 && end <= window.0 {
            return Ok(());
        }
        Err(format!("inside the window, which is {window} long (--duration): its times count from the window's start"))
    }
}

const LINKS: &str = "between two parts that talk to each other: producers or workers - brokers (or broker N), workers or \
                     readers - redis, broker N - broker N";

fn connected(from: Party, to: Party) -> bool {
    match (from, to) {
        (Party::Producers | Party::Workers, Party::Broker(_) | Party::Brokers) => true,
        (Party::Workers | Party::Readers, Party::Redis) => true,
        (Party::Broker(a), Party::Broker(b)) => a != b,
        (Party::Broker(_) | Party::Brokers, Party::Brokers) => true,
        _ => false,
    }
}

fn not_ours(variant: &Variant) -> String {
    let why = match variant.cluster {
        ClusterKind::Containers => "one in containers is Docker's to stop, and has no proxies (--cluster local)",
        _ => "this one runs elsewhere, and is not ours to stop",
    };
    format!("done to a local cluster: {why}")
}

fn check_target(target: Target, variant: &Variant) -> Result<(), String> {
    let workers = variant.workers;
    match target {
        Target::Worker(worker) if worker >= workers => Err(format!("aimed at one of the workers 0 to {}", workers - 1)),
        Target::Worker(_) => Ok(()),
        Target::Broker(_) | Target::Controller | Target::Redis if variant.cluster != ClusterKind::Local => {
            Err(not_ours(variant))
        }
        Target::Broker(broker) => check_broker(broker),
        Target::Controller | Target::Redis => Ok(()),
    }
}

fn check_end(end: Party, variant: &Variant) -> Result<(), String> {
    match end {
        Party::Readers if variant.readers == 0 => {
            Err("used with readers, and this run has none (--readers 1)".to_owned())
        }
        Party::Broker(broker) => check_broker(broker),
        _ => Ok(()),
    }
}

fn check_broker(broker: u32) -> Result<(), String> {
    let known = (1..=BROKERS_LOCAL).contains(&broker);
    if known { Ok(()) } else { Err(format!("aimed at one of the brokers 1 to {BROKERS_LOCAL}")) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.what, self.at)?;
        self.lasts.map_or(Ok(()), |lasts| write!(f, " for {lasts}"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill {target}"),
            Self::Pause(target) => write!(f, "pause {target}"),
            Self::Restart(target) => write!(f, "restart {target}"),
            Self::FlushScripts => f.write_str("flush scripts"),
            Self::FillRedis => f.write_str("fill redis"),
            Self::FailoverRedis => f.write_str("failover redis"),
            Self::RollingRestart => f.write_str("rolling restart"),
            Self::StepClock { worker, by_us } => {
                let (sign, by) = (if *by_us < 0 { "-" } else { "" }, Span(Duration::from_micros(by_us.unsigned_abs())));
                write!(f, "step clock of worker {worker} by {sign}{by}")
            }
            Self::FillDisk => f.write_str("fill disk"),
            Self::Cut(link) => write!(f, "cut {}", Between(*link)),
            Self::Delay(link, by) => write!(f, "delay {} by {by}", Between(*link)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(broker) => write!(f, "broker {broker}"),
            Self::Controller => f.write_str("controller"),
            Self::Worker(worker) => write!(f, "worker {worker}"),
            Self::Redis => f.write_str("redis"),
        }
    }
}

/// `producers - broker 2`.
struct Between(Link);

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.0.a, self.0.b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str, change: impl FnOnce(&mut Variant)) -> Result<(), String> {
        let mut variant = crate::cluster::tests::variant();
        change(&mut variant);
        text.parse::<Fault>().unwrap().check(&variant)
    }

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let error = checked(text, |_| ()).unwrap_err();
        assert!(error.contains(part), "{text:?} gave: {error}");
    }

    #[test]
    fn what_the_run_does_not_have_is_refused() {
        refused("kill broker 4 at 1s for 1s", "brokers 1 to 3");
        refused("pause broker 0 at 1s for 1s", "brokers 1 to 3");
        refused("restart worker 2 at 1s", "workers 0 to 1");
        refused("step clock of worker 9 by 1s at 1s", "workers 0 to 1");
        refused("failover redis at 1s", "--redis-mode replica");
        refused("cut readers - redis at 1s for 1s", "--readers 1");
        refused("cut producers - redis at 1s for 1s", "talk to each other");
        refused("delay broker 1 - broker 1 by 5ms at 1s for 1s", "talk to each other");
        refused("cut workers - broker 7 at 1s for 1s", "brokers 1 to 3");
        for text in [
            "kill redis at 1s for 1s",
            "restart broker 1 at 1s",
            "fill redis at 1s for 1s",
            "cut workers - redis at 1s for 1s",
        ] {
            let external = |variant: &mut Variant| variant.cluster = ClusterKind::External;
            assert!(checked(text, external).unwrap_err().contains("not ours"), "{text}");
            let containers = |variant: &mut Variant| variant.cluster = ClusterKind::Containers;
            assert!(checked(text, containers).unwrap_err().contains("--cluster local"), "{text}");
        }
    }

    #[test]
    fn only_what_a_link_needs_goes_through_proxies() {
        let scope = |text: &str| text.parse::<Fault>().unwrap().network_scope();
        assert_eq!(scope("kill redis at 1s for 1s"), None);
        assert_eq!(scope("cut workers - redis at 1s for 1s"), Some(Scope::Redis));
        assert_eq!(scope("delay broker 1 - brokers by 5ms at 1s for 1s"), Some(Scope::Whole));
    }

    #[test]
    fn times_lie_inside_of_the_window() {
        // It is 10 s long.
        checked("flush scripts at 0s", |_| ()).unwrap();
        checked("kill controller at 5s for 5s", |_| ()).unwrap();
        checked("delay brokers - broker 2 by 5ms at 5s for 5s", |_| ()).unwrap();
        refused("flush scripts at 10s", "inside the window, which is 10s long");
        refused("kill redis at 5s for 5001ms", "inside the window");
    }
}
