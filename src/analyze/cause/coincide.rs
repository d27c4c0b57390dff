//! What else happened at the time of a stall. Never more than that: a coincidence is labelled, and no cause.

use std::fmt;

use super::events::{Events, Second};

/// A fault or rebalance coincides with a stall when they overlap or lie at most this far apart.
pub const NEAR_US: i64 = 1_000_000;
/// A wake-up latency worth naming: how much later than asked a 1 ms sleep ends, in ms.
pub const HICCUP_MS: f64 = 5.0;
/// CPU time that the hypervisor took, worth naming, in cores.
pub const STEAL_CORES: f64 = 0.1;
/// CPU use of processes outside the run, worth naming, in cores.
pub const FOREIGN_CORES: f64 = 0.5;
/// What the machine wrote to its disks, worth naming, in MB: a burst of writing back, well above what a run writes steadily.
pub const WRITTEN_MB: f64 = 20.0;

/// What coincides with a stall.
#[derive(Debug, Clone, PartialEq)]
pub enum Coincidence {
    /// A fault that was injected.
    Fault(String),
    /// A worker was given partitions.
    Rebalance(u32),
    /// A second in which the harness's own 1 ms sleep took this much longer, in ms.
    Hiccup(f64),
    /// A second in which the hypervisor took this many cores.
    Steal(f64),
    /// A second in which other processes used this many cores.
    Foreign(f64),
    /// A second in which this many MB were written to disks.
    Written(f64),
}

impl fmt::Display for Coincidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Coincidence::Fault(what) => write!(f, "fault: {what}"),
            Coincidence::Rebalance(worker) => write!(f, "rebalance of worker {worker}"),
            Coincidence::Hiccup(ms) => write!(f, "wake-up latency of {ms:.1} ms"),
            Coincidence::Steal(cores) => write!(f, "CPU steal of {cores:.2} cores"),
            Coincidence::Foreign(cores) => write!(f, "{cores:.2} cores used by others"),
            Coincidence::Written(mb) => write!(f, "{mb:.0} MB written to disk"),
        }
    }
}

/// Everything that coincides with the time from `start_us` to `end_us`.
pub fn with(events: &Events, start_us: i64, end_us: i64) -> Vec<Coincidence> {
    let near = |from_us: i64, to_us: i64| {
        from_us <= end_us.saturating_add(NEAR_US) && to_us >= start_us.saturating_sub(NEAR_US)
    };
    let faults = events.faults.iter().filter(|fault| near(fault.start_us, fault.end_us));
    let mut found: Vec<Coincidence> = faults.map(|fault| Coincidence::Fault(fault.what.clone())).collect();
    let rebalances = events.rebalances.iter().filter(|rebalance| near(rebalance.at_us, rebalance.at_us));
    found.extend(rebalances.map(|rebalance| Coincidence::Rebalance(rebalance.worker)));
    let worst =
        |value: fn(&Second) -> f64| seconds(&events.seconds, start_us, end_us).iter().map(value).fold(0.0, f64::max);
    for (value, from, label) in [
        (worst(|second| second.hiccup_ms_max), HICCUP_MS, Coincidence::Hiccup as fn(f64) -> Coincidence),
        (worst(|second| second.steal_cores), STEAL_CORES, Coincidence::Steal),
        (worst(|second| second.foreign_cores), FOREIGN_CORES, Coincidence::Foreign),
        (worst(|second| second.written_mb), WRITTEN_MB, Coincidence::Written),
    ] {
        if value >= from {
            found.push(label(value));
        }
    }
    found
}

/// The seconds, each from the one before it to its end, that overlap a time.
pub fn seconds(seconds: &[Second], start_us: i64, end_us: i64) -> &[Second] {
    let first = seconds.partition_point(|second| second.at_us < start_us);
    // Up to and with the first second that ends past the end.
    let last = seconds.partition_point(|second| second.at_us < end_us).saturating_add(1).min(seconds.len());
    // A time before the first second has none that is known to hold it.
    let known = seconds.get(first).is_some_and(|second| second.at_us.saturating_sub(SECOND_US) <= end_us);
    if known { &seconds[first..last.max(first)] } else { &[] }
}

/// The harness reads the machine about once a second; the first reading ends the first second.
const SECOND_US: i64 = 1_100_000;

/// How many stalls coincide with hiccups, and how many would by chance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hiccups {
    /// Stalls that do.
    pub stalls: u64,
    /// Stalls that would, if hiccups and stalls had nothing to do with each other.
    pub expected: f64,
    /// Seconds with a hiccup.
    pub seconds: u64,
    /// All seconds.
    pub of_seconds: u64,
}

impl Hiccups {
    /// Of stalls from a start to an end.
    pub fn of(events: &Events, stalls: impl Iterator<Item = (i64, i64)>) -> Self {
        let all = &events.seconds;
        let hiccup = |second: &&Second| second.hiccup_ms_max >= HICCUP_MS;
        let mut found =
            Self { seconds: all.iter().filter(hiccup).count() as u64, of_seconds: all.len() as u64, ..Self::default() };
        let without = 1.0 - found.seconds as f64 / all.len().max(1) as f64;
        for (start_us, end_us) in stalls {
            let touched = seconds(all, start_us, end_us);
            found.stalls += u64::from(touched.iter().any(|second| hiccup(&second)));
            found.expected += 1.0 - without.powi(touched.len() as i32);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::events::{Fault, Rebalance};

    fn events() -> Events {
        let second = |k: i64, hiccup_ms_max| Second {
            at_us: k * 1_000_000,
            hiccup_ms_max,
            written_mb: if k == 51 { 48.7 } else { 3.0 },
            ..Second::default()
        };
        Events {
            faults: vec![Fault { end_us: 22_000_000, ..Fault::new("broker 1 killed".into(), 20_000_000, false) }],
            rebalances: vec![Rebalance { worker: 1, at_us: 40_000_000, partitions: 3 }],
            seconds: (1..=60).map(|k| second(k, if k == 31 { 9.0 } else { 1.0 })).collect(),
            ..Events::default()
        }
    }

    #[test]
    fn what_is_near_coincides() {
        let at =
            |start_us, end_us| with(&events(), start_us, end_us).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(at(22_900_000, 23_100_000), ["fault: broker 1 killed"]);
        assert!(at(23_100_000, 23_200_000).is_empty());
        assert_eq!(at(38_000_000, 39_500_000), ["rebalance of worker 1"]);
        assert_eq!(at(30_900_000, 30_950_000), ["wake-up latency of 9.0 ms"]);
        assert_eq!(at(50_900_000, 50_950_000), ["49 MB written to disk"]);
        assert!(at(29_500_000, 29_990_000).is_empty() && at(31_100_000, 31_200_000).is_empty());
        assert_eq!(at(29_900_000, 30_100_000), ["wake-up latency of 9.0 ms"], "over the end of a second");
        assert!(with(&Events::default(), 0, 1).is_empty());
    }

    #[test]
    fn times_outside_the_seconds_touch_none() {
        let seconds_of = |start_us, end_us| seconds(&events().seconds, start_us, end_us).len();
        assert_eq!([seconds_of(-9_000_000, -8_000_000), seconds_of(70_000_000, 71_000_000)], [0, 0]);
        assert_eq!([seconds_of(100_000, 200_000), seconds_of(59_500_000, 65_000_000)], [1, 1]);
    }

    #[test]
    fn hiccups_are_held_against_chance() {
        let stalls = [(30_500_000, 30_600_000), (10_500_000, 10_600_000)];
        let hiccups = Hiccups::of(&events(), stalls.into_iter());
        assert_eq!((hiccups.stalls, hiccups.seconds, hiccups.of_seconds), (1, 1, 60));
        assert!((hiccups.expected - 2.0 / 60.0).abs() < 1e-9);
    }
}
