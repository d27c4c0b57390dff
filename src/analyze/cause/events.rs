//! What else happened during a run, by its manifest: faults, rebalances, and the machine second by second.
//!
//! Nothing here is needed to judge a run, so what is missing or shaped otherwise is left out and never an error.

use std::collections::BTreeMap;

use crate::{
    row::{MISSING, Stamp},
    scan::line,
};
use shasta_model::manifest::Manifest;
pub use shasta_model::manifest::{conduct::Rebalance, fault::Record as Fault, harness::Second};

/// The parts of a manifest that are laid beside the tail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    /// Start and end of the window, µs of the Unix epoch.
    pub window_us: Option<[i64; 2]>,
    /// Faults that were injected.
    pub faults: Vec<Fault>,
    /// Assignments of partitions to workers, those before the window too.
    pub rebalances: Vec<Rebalance>,
    /// The machine, second by second, in order of time.
    pub seconds: Vec<Second>,
    /// The leader of each partition.
    pub leaders: BTreeMap<i64, i64>,
}

impl Events {
    /// From a manifest; what has a time that is none is left out.
    pub fn of(manifest: &Manifest) -> Self {
        let mut seconds: Vec<_> =
            manifest.harness.seconds.iter().filter(|second| is_time(second.at_us)).copied().collect();
        seconds.sort_by_key(|second| second.at_us);
        let faults = manifest.faults.iter().filter(|fault| is_time(fault.start_us) && is_time(fault.end_us));
        let rebalances = manifest.conduct.rebalances.iter().filter(|rebalance| is_time(rebalance.at_us));
        let partitions = manifest.topic.iter().flat_map(|topic| &topic.partitions);
        Self {
            window_us: manifest.window_us.filter(is_window),
            faults: faults.cloned().collect(),
            rebalances: rebalances.cloned().collect(),
            seconds,
            leaders: partitions.map(|partition| (partition.id.into(), partition.leader.into())).collect(),
        }
    }
}

/// Whether a window has a length, and ends that are times.
pub fn is_window(&[start, end]: &[i64; 2]) -> bool {
    start < end && is_time(start) && is_time(end)
}

fn is_time(us: i64) -> bool {
    !line::is_garbage(Stamp::Scheduled as usize, us) && us != MISSING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &str) -> Events {
        let ledger = crate::run::tests::LEDGER;
        let text = format!(r#"{{"run":"r","ledger":{ledger}{}{parts}}}"#, if parts.is_empty() { "" } else { "," });
        Events::of(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn what_is_there_is_read() {
        let events = of(r#""window_us":[5,9],"faults":[{"what":"broker 1 killed","start_us":6,"end_us":7,"more":1}],
            "conduct":{"rebalances":[{"worker":2,"at_us":4,"partitions":6}]},"unknown":{},
            "harness":{"seconds":{"at_us":[9,8],"hiccup_ms_max":[2.5,1],"cpu_pressure":[0.1]}},
            "topic":{"partitions":[{"id":0,"leader":3,"isr":[3]},{"id":1,"leader":1}]}"#);
        assert_eq!(events.window_us, Some([5, 9]));
        assert_eq!(events.faults, [Fault { end_us: 7, ..Fault::new("broker 1 killed".into(), 6, false) }]);
        assert_eq!(events.rebalances, [Rebalance { worker: 2, at_us: 4, partitions: 6 }]);
        let second =
            |at_us, hiccup_ms_max, cpu_pressure| Second { at_us, hiccup_ms_max, cpu_pressure, ..Second::default() };
        assert_eq!(events.seconds, [second(8, 1.0, 0.0), second(9, 2.5, 0.1)]);
        assert_eq!(events.leaders, BTreeMap::from([(0, 3), (1, 1)]));
    }

    #[test]
    fn what_is_missing_or_odd_is_left_out() {
        let events = of(
            r#""window_us":[9,9223372036854775807],"faults":[{"start_us":-9223372036854775808},{"start_us":1,
            "end_us":9223372036854775807}],"conduct":{"rebalances":[{"worker":1},7]},"harness":{"seconds":{"at_us":[9e18,"x"],"work_us":7}},
            "topic":{"partitions":[{"id":"x"},{"id":4,"leader":-1}]}"#,
        );
        assert_eq!(events, Events { leaders: BTreeMap::from([(4, -1)]), ..Events::default() });
        for window in ["[9,5]", "[-9223372036854775808,9]"] {
            assert_eq!(of(&format!(r#""window_us":{window}"#)), Events::default());
        }
        assert_eq!(of(""), Events::default());
    }
}
