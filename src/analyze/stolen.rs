//! The window's seconds by how much CPU time the hypervisor gave to others in them: what the tail is without it, and with.

use crate::{
    cause::{
        coincide,
        events::{Events, Second},
    },
    quantile::Quantiles,
    samples::Groups,
};

/// What parts the classes, in cores.
const LIMITS_CORES: [f64; 2] = [0.05, 0.2];
/// Their names.
pub const CLASSES: [&str; 3] = ["below 0.05 cores", "0.05 to 0.2 cores", "0.2 cores and more"];

/// The class of each of the window's seconds, numbered from `start_us`: by the worst of the machine's seconds that it
/// overlaps. One of which nothing is known is in none. `None` where all seconds are of one class.
pub fn groups(events: &Events, start_us: i64, seconds: usize) -> Option<Groups> {
    let class = |second: i64| {
        let from_us = start_us.saturating_add(second * 1_000_000);
        let overlap = coincide::seconds(&events.seconds, from_us.saturating_add(1), from_us.saturating_add(1_000_000));
        let worst = overlap.iter().map(|Second { steal_cores, .. }| *steal_cores).reduce(f64::max);
        worst.map_or(usize::MAX, |cores| LIMITS_CORES.iter().filter(|&&limit| cores >= limit).count())
    };
    let group_of: Vec<usize> = (0..seconds as i64).map(class).collect();
    let known = |class: &usize| *class < CLASSES.len();
    let mut classes = group_of.iter().filter(|class| known(class));
    let first = classes.next()?;
    classes.any(|class| class != first).then_some(Groups::Listed { group_of, count: CLASSES.len() })
}

/// A class with its latencies, for each class that has any.
pub fn named(latencies: &[Quantiles]) -> impl Iterator<Item = (&'static str, &Quantiles)> {
    CLASSES.into_iter().zip(latencies).filter(|(_, latencies)| latencies.n() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(steal_cores: &[f64]) -> Events {
        let second = |(k, &steal_cores)| Second { at_us: k * 1_000_000, steal_cores, ..Second::default() };
        Events { seconds: (1_i64..).zip(steal_cores).map(second).collect(), ..Events::default() }
    }

    #[test]
    fn seconds_are_classed_by_the_worst_that_they_overlap() {
        let Some(Groups::Listed { group_of, .. }) = groups(&events(&[0.0, 0.049, 0.05, 0.19, 0.2, 9.0]), 500_000, 8)
        else {
            panic!("there are two classes");
        };
        assert_eq!(group_of, [0, 1, 1, 2, 2, 2, usize::MAX, usize::MAX]);
    }

    #[test]
    fn one_class_or_nothing_known_needs_no_table() {
        assert!(groups(&events(&[0.0, 0.01, 0.02]), 0, 3).is_none());
        assert!(groups(&Events::default(), 0, 3).is_none());
    }
}
