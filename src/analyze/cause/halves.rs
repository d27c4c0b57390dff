//! The first half of the window against the second: a run that warms up, fills up or wears out shows here.
//!
//! Stalls are counted beside events, and decide: were they coins, how often would they fall as unevenly?

use super::{Level, chance, tail::Tail, totals::Totals};

/// Late events in each half of the window, by time of schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Halves {
    /// As its line is named: "past p99.9".
    pub name: String,
    /// Late events in each half.
    pub events: [u64; 2],
    /// Stalls that begin in each half.
    pub stalls: [u64; 2],
    /// The probability that chance parts the stalls as unevenly, or more.
    pub probability: f64,
}

/// The middle of the window, µs of the Unix epoch, and how many events were planned in each half.
pub fn planned(totals: &Totals, window_us: [i64; 2]) -> (i64, [u64; 2]) {
    let length_us = window_us[1].saturating_sub(window_us[0]).max(0);
    let middle_us = window_us[0].saturating_add(length_us / 2);
    // A second that holds the middle is parted evenly: the schedule is even within it.
    let halves = totals.per_second.iter().enumerate().fold(0.0, |first, (second, &rows)| {
        let from_us = totals.start_us.saturating_add(second as i64 * 1_000_000);
        let share = middle_us.saturating_sub(from_us) as f64 / 1e6;
        first + rows as f64 * share.clamp(0.0, 1.0)
    });
    let first = halves.round() as u64;
    (middle_us, [first, totals.rows().saturating_sub(first)])
}

/// The late events of a level; none when its rows are not all at hand.
pub fn of(tail: &Tail, level: &Level, middle_us: i64) -> Option<Halves> {
    let late = tail.slowest.get(..level.events as usize).filter(|late| level.whole && !late.is_empty())?;
    let first = late.iter().filter(|late| late.start_us() < middle_us).count();
    let stalls = tail.stalls(late.len());
    // A stall's first place is its earliest event.
    let early = stalls.iter().filter(|stall| tail.slowest[stall[0]].start_us() < middle_us).count();
    Some(Halves {
        name: level.name.clone(),
        events: [first as u64, (late.len() - first) as u64],
        stalls: [early as u64, (stalls.len() - early) as u64],
        probability: chance::uneven_coins(early as u64, stalls.len() as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cause::tail::tests::row, row::Row};

    #[test]
    fn a_run_that_warms_up_shows() {
        let rows: Vec<Row> = (0..1_000).map(|k| row(k, k * 100_000, Some(20_000))).collect();
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.add(row));
        let (middle_us, halves) = planned(&totals, [0, 99_000_000]);
        assert_eq!((middle_us, halves), (49_500_000, [495, 505]), "half of second 49 is in the first half");
        let level = Level { name: "past p99".into(), events: 10, whole: true, ..Level::default() };
        let early = of(&Tail::new(&rows[..10]), &level, middle_us).unwrap();
        assert_eq!((early.events, early.stalls), ([10, 0], [10, 0]));
        assert!(early.probability < 0.01);
        let both: Vec<Row> = [0, 1, 2, 3, 4, 995, 996, 997, 998, 999].map(|k| rows[k]).to_vec();
        assert_eq!(of(&Tail::new(&both), &level, middle_us).unwrap().probability, 1.0);
        assert_eq!(of(&Tail::new(&both[..9]), &level, middle_us), None, "not all at hand");
    }
}
