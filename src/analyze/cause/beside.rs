//! What the manifest recorded, laid beside the tail: faults and rebalances with the late events near them, and the machine
//! in ordinary seconds and in those with a stall.

use super::{
    coincide,
    events::{Events, Second},
    tail::Late,
};

/// Faults, and rebalances within the window, each with the late events that were waiting within a second of it.
pub fn happened(events: &Events, window_us: [i64; 2], late: &[Late]) -> Vec<(i64, String, u64)> {
    let waiting = |from_us: i64, to_us: i64| {
        let [from_us, to_us] = [from_us.saturating_sub(coincide::NEAR_US), to_us.saturating_add(coincide::NEAR_US)];
        late.iter().filter(|late| late.start_us() <= to_us && late.end_us() >= from_us).count() as u64
    };
    let faults = events.faults.iter().map(|fault| {
        let late = waiting(fault.start_us, fault.end_us);
        (fault.start_us, format!("fault: {}", fault.what), late)
    });
    let within = events.rebalances.iter().filter(|rebalance| (window_us[0]..window_us[1]).contains(&rebalance.at_us));
    let rebalances = within.map(|rebalance| {
        let what = format!("rebalance of worker {}", rebalance.worker);
        (rebalance.at_us, what, waiting(rebalance.at_us, rebalance.at_us))
    });
    let mut happened: Vec<(i64, String, u64)> = faults.chain(rebalances).collect();
    happened.sort();
    happened
}

/// Medians over all seconds, and over those that a stall touches.
pub fn machine(events: &Events, stalls: &[(i64, i64)]) -> Option<[Second; 2]> {
    let mut touched: Vec<Second> = stalls
        .iter()
        .flat_map(|&(start_us, end_us)| coincide::seconds(&events.seconds, start_us, end_us).iter().copied())
        .collect();
    touched.sort_by_key(|second| second.at_us);
    touched.dedup_by_key(|second| second.at_us);
    Some([median(&events.seconds)?, median(&touched)?])
}

fn median(seconds: &[Second]) -> Option<Second> {
    let of = |value: fn(&Second) -> f64| {
        let mut values: Vec<f64> = seconds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some(Second {
        at_us: 0,
        foreign_cores: of(|second| second.foreign_cores)?,
        steal_cores: of(|second| second.steal_cores)?,
        cpu_pressure: of(|second| second.cpu_pressure)?,
        hiccup_ms_max: of(|second| second.hiccup_ms_max)?,
        work_us: of(|second| second.work_us)?,
        written_mb: of(|second| second.written_mb)?,
    })
}
