//! What else happened during a run, by its manifest: faults, rebalances, and the machine second by second.
//!
//! Nothing here is needed to judge a run, so what is missing or shaped otherwise is left out and never an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    row::{MISSING, Stamp},
    scan::line,
};

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

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// In words.
    #[serde(default)]
    pub what: String,
    /// Its start, µs of the Unix epoch.
    pub start_us: i64,
    /// Its end; its start when it was a moment.
    #[serde(default)]
    pub end_us: Option<i64>,
}

/// A worker was given partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Rebalance {
    /// The worker's number.
    #[serde(default)]
    pub worker: i64,
    /// When it had them, µs of the Unix epoch.
    pub at_us: i64,
}

/// One second of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Second {
    /// Its end, µs of the Unix epoch.
    pub at_us: i64,
    /// CPU use of processes outside the run, in cores.
    pub foreign_cores: f64,
    /// CPU time that the hypervisor gave to others, in cores.
    pub steal_cores: f64,
    /// Share of the second in which some task waited for a CPU, 0 to 1.
    pub cpu_pressure: f64,
    /// The longest that a 1 ms sleep overslept in it, in ms.
    pub hiccup_ms_max: f64,
    /// CPU time that a fixed piece of work took, in µs; 0 where that was not measured.
    pub work_us: f64,
    /// Written to disks, in MB; 0 where that was not measured.
    pub written_mb: f64,
}

impl Events {
    /// From a manifest; whatever has another shape is left out.
    pub fn of(manifest: &Value) -> Self {
        let mut seconds = seconds(&manifest["harness"]["seconds"]);
        seconds.sort_by_key(|second| second.at_us);
        let partitions: Vec<Partition> = list(&manifest["topic"]["partitions"]);
        seconds.retain(|second| is_time(second.at_us));
        let mut faults: Vec<Fault> = list(&manifest["faults"]);
        faults.retain(|fault| is_time(fault.start_us) && fault.end_us.is_none_or(is_time));
        let mut rebalances: Vec<Rebalance> = list(&manifest["conduct"]["rebalances"]);
        rebalances.retain(|rebalance| is_time(rebalance.at_us));
        let window: Option<[i64; 2]> = serde_json::from_value(manifest["window_us"].clone()).ok();
        Self {
            window_us: window.filter(is_window),
            faults,
            rebalances,
            seconds,
            leaders: partitions.into_iter().map(|partition| (partition.id, partition.leader)).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|manifest| Self::of(&manifest))
    }
}

/// Whether a window has a length, and ends that are times.
pub fn is_window(&[start, end]: &[i64; 2]) -> bool {
    start < end && is_time(start) && is_time(end)
}

fn is_time(us: i64) -> bool {
    !line::is_garbage(Stamp::Scheduled as usize, us) && us != MISSING
}

#[derive(Deserialize)]
struct Partition {
    id: i64,
    leader: i64,
}

/// The seconds of a manifest, which has an array for each part of them: what is missing of one is 0.
fn seconds(parts: &Value) -> Vec<Second> {
    let times = parts["at_us"].as_array().into_iter().flatten().enumerate();
    let second = |(k, at_us): (usize, &Value)| {
        let part = |name: &str| parts[name][k].as_f64().unwrap_or(0.0);
        Some(Second {
            at_us: at_us.as_i64()?,
            foreign_cores: part("foreign_cores"),
            steal_cores: part("steal_cores"),
            cpu_pressure: part("cpu_pressure"),
            hiccup_ms_max: part("hiccup_ms_max"),
            work_us: part("work_us"),
            written_mb: part("written_mb"),
        })
    };
    times.filter_map(second).collect()
}

fn list<T: DeserializeOwned>(value: &Value) -> Vec<T> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(|item| serde_json::from_value(item.clone()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read() {
        let text = r#"{"window_us":[5,9],"faults":[{"what":"broker 1 killed","start_us":6,"end_us":7,"more":1}],
            "conduct":{"rebalances":[{"worker":2,"at_us":4,"partitions":6}]},"unknown":{},
            "harness":{"seconds":{"at_us":[9,8],"hiccup_ms_max":[2.5,1],"cpu_pressure":[0.1]}},
            "topic":{"partitions":[{"id":0,"leader":3,"isr":[3]},{"id":1,"leader":1}]}}"#;
        let events: Events = serde_json::from_str(text).unwrap();
        assert_eq!(events.window_us, Some([5, 9]));
        assert_eq!(events.faults, [Fault { what: "broker 1 killed".into(), start_us: 6, end_us: Some(7) }]);
        assert_eq!(events.rebalances, [Rebalance { worker: 2, at_us: 4 }]);
        let second =
            |at_us, hiccup_ms_max, cpu_pressure| Second { at_us, hiccup_ms_max, cpu_pressure, ..Second::default() };
        assert_eq!(events.seconds, [second(8, 1.0, 0.0), second(9, 2.5, 0.1)]);
        assert_eq!(events.leaders, BTreeMap::from([(0, 3), (1, 1)]));
    }

    #[test]
    fn what_is_missing_or_odd_is_left_out() {
        let odd = r#"{"window_us":[9,9223372036854775807],"faults":[{"start_us":-9223372036854775808},{"start_us":1,
            "end_us":9223372036854775807}],"conduct":{"rebalances":[{"worker":1},7]},"harness":{"seconds":{"at_us":[9e18,"x"],"work_us":7}},
            "topic":{"partitions":[{"id":"x"},{"id":4,"leader":-1}]}}"#;
        let events: Events = serde_json::from_str(odd).unwrap();
        assert_eq!(events, Events { leaders: BTreeMap::from([(4, -1)]), ..Events::default() });
        for window in ["[9,5]", "[5]", "{}", "[-9223372036854775808,9]"] {
            let events: Events = serde_json::from_str(&format!(r#"{{"window_us":{window}}}"#)).unwrap();
            assert_eq!(events, Events::default());
        }
        assert_eq!(serde_json::from_str::<Events>("{}").unwrap(), Events::default());
        assert_eq!(serde_json::from_str::<Events>("[]").unwrap(), Events::default());
    }
}
