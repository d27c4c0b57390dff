//! The window's seconds, classed by what the machine did in them: what the tail is without it, and with.

use crate::{
    cause::{
        coincide,
        events::{Events, Second},
    },
    samples::Groups,
};

/// Seconds of the window in classes.
#[derive(Debug)]
pub struct Classes {
    /// Their names.
    pub names: Vec<String>,
    /// The seconds of each. One of which nothing is known is in none.
    pub groups: Groups,
}

/// What parts the classes of [`stolen`], in cores.
const STOLEN_CORES: [f64; 2] = [0.05, 0.2];
/// So many of the machine's seconds on either side are looked at by [`speed`]: a second has one sample of one core.
const BESIDE: i64 = 2;
/// With fewer seconds, quarters of them say nothing.
const SECONDS_MIN: usize = 20;

/// By how much CPU time the hypervisor gave to others: the worst of the machine's seconds that one overlaps. Seconds are
/// numbered from `start_us`. `None` where all are of one class.
pub fn stolen(events: &Events, start_us: i64, seconds: usize) -> Option<Classes> {
    let cores = |second: i64| {
        let overlap = overlapping(events, start_us, second, 0);
        overlap.iter().map(|Second { steal_cores, .. }| *steal_cores).reduce(f64::max)
    };
    let names = ["below 0.05 cores", "0.05 to 0.2 cores", "0.2 cores and more"].map(str::to_owned);
    parted((0..seconds as i64).map(cores), &STOLEN_CORES, names.into())
}

/// By how fast a core was, in four classes with as many seconds each: the mean CPU time of a fixed piece of work in the
/// machine's seconds around one, in µs. `None` where that is always the same or not known of `SECONDS_MIN` seconds.
pub fn speed(events: &Events, start_us: i64, seconds: usize) -> Option<Classes> {
    let work_us = |second: i64| {
        let around = overlapping(events, start_us, second, BESIDE);
        let known = around.iter().map(|Second { work_us, .. }| *work_us).filter(|work_us| *work_us > 0.0);
        let (sum, n) = known.fold((0.0, 0), |(sum, n), work_us| (sum + work_us, n + 1));
        (n > 0).then(|| sum / f64::from(n))
    };
    let measured: Vec<Option<f64>> = (0..seconds as i64).map(work_us).collect();
    let mut sorted: Vec<f64> = measured.iter().flatten().copied().collect();
    if sorted.len() < SECONDS_MIN {
        return None;
    }
    sorted.sort_by(f64::total_cmp);
    let [a, b, c] = [1, 2, 3].map(|quarter| sorted[sorted.len() * quarter / 4]);
    let names = [
        format!("fastest quarter, below {a:.1} µs"),
        format!("{a:.1} to {b:.1} µs"),
        format!("{b:.1} to {c:.1} µs"),
        format!("slowest quarter, {c:.1} µs and more"),
    ];
    parted(measured.into_iter(), &[a, b, c], names.into())
}

/// The machine's seconds that one of the window overlaps, and so many beside it.
fn overlapping(events: &Events, start_us: i64, second: i64, beside: i64) -> &[Second] {
    let at_us = |second: i64| start_us.saturating_add(second * 1_000_000);
    coincide::seconds(&events.seconds, at_us(second - beside).saturating_add(1), at_us(second + beside + 1))
}

fn parted(values: impl Iterator<Item = Option<f64>>, limits: &[f64], names: Vec<String>) -> Option<Classes> {
    let class = |value: f64| limits.iter().filter(|&&limit| value >= limit).count();
    let group_of: Vec<usize> = values.map(|value| value.map_or(usize::MAX, class)).collect();
    let mut known = group_of.iter().filter(|class| **class < names.len());
    let first = known.next()?;
    known
        .any(|class| class != first)
        .then_some(Classes { groups: Groups::Listed { group_of, count: names.len() }, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seconds: impl Iterator<Item = Second>) -> Events {
        let numbered = (1_i64..).zip(seconds).map(|(k, second)| Second { at_us: k * 1_000_000, ..second });
        Events { seconds: numbered.collect(), ..Events::default() }
    }

    fn with_stolen(steal_cores: &[f64]) -> Events {
        events(steal_cores.iter().map(|&steal_cores| Second { steal_cores, ..Second::default() }))
    }

    fn with_work(work_us: impl Iterator<Item = f64>) -> Events {
        events(work_us.map(|work_us| Second { work_us, ..Second::default() }))
    }

    fn group_of(classes: Classes) -> Vec<usize> {
        let Groups::Listed { group_of, count } = classes.groups else { panic!("they are listed") };
        assert_eq!(count, classes.names.len());
        group_of
    }

    #[test]
    fn seconds_are_classed_by_the_worst_theft_that_they_overlap() {
        let classes = stolen(&with_stolen(&[0.0, 0.049, 0.05, 0.19, 0.2, 9.0]), 500_000, 8).unwrap();
        assert_eq!(group_of(classes), [0, 1, 1, 2, 2, 2, usize::MAX, usize::MAX]);
    }

    #[test]
    fn one_class_or_nothing_known_needs_no_table() {
        assert!(stolen(&with_stolen(&[0.0, 0.01, 0.02]), 0, 3).is_none());
        assert!(stolen(&Events::default(), 0, 3).is_none());
        assert!(speed(&with_work([30.0; 40].into_iter()), 0, 40).is_none());
        assert!(speed(&with_work([0.0; 40].into_iter()), 0, 40).is_none());
        assert!(speed(&with_work((1..=19).map(f64::from)), 0, 19).is_none(), "too few");
    }

    #[test]
    fn quarters_of_the_seconds_by_the_work_around_them() {
        // A slow minute in the middle, and one sample that was interrupted within the fast one before.
        let work = |k: i32| if k == 10 { 70.0 } else { [20.0, 30.0, 60.0, 40.0][(k / 20) as usize] };
        let classes = speed(&with_work((0..80).map(work)), 0, 80).unwrap();
        assert!(classes.names[0].starts_with("fastest quarter, below 30.0 µs"), "{:?}", classes.names);
        let of = group_of(classes);
        assert_eq!([of[0], of[10], of[30], of[50], of[70]], [0, 1, 1, 3, 2]);
        assert!((0..4).all(|class| of.iter().filter(|&&c| c == class).count().abs_diff(20) <= 4), "{of:?}");
    }
}
