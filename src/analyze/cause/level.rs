//! How many events lie past each percentile and over the SLO, and in how many separate stalls they came.
//!
//! A percentile with 60 events past it that came in 2 stalls has seen 2 things, not 60. Which events lie past is decided
//! by position, as for the mark †, so that ties do not change how many there are.

use shasta_model::{
    percentile::FEW,
    slo::{SLO_MS, SLO_US},
};

use super::{
    interval::{self, Interval},
    tail::Tail,
};

/// The percentiles past which stalls are counted.
pub const PERCENTILES: [f64; 4] = [99.0, 99.9, 99.99, 99.999];
/// Stalls of this percentile are listed, or of a lower one when it has too few events.
const LISTED: f64 = 99.9;

/// The events past one percentile, or over the SLO.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Level {
    /// "past p99.9".
    pub name: String,
    /// The percentile; none for the SLO.
    pub percentile: Option<f64>,
    /// Events past it.
    pub events: u64,
    /// Whether all of them are at hand; if not, nothing below is known, and over the SLO `events` is the least there are.
    pub whole: bool,
    /// The shortest wait among them, in µs; [`super::tail::NEVER`] when none was ever stored.
    pub from_us: Option<i64>,
    /// The longest.
    pub to_us: Option<i64>,
    /// Events of each stall, in order of time.
    pub stalls: Vec<u64>,
    /// How long the stalls were, together, in µs.
    pub stalled_us: i64,
    /// Where the percentile may lie, as far as this run's own stalls tell.
    pub interval: Option<Interval>,
}

impl Level {
    /// Events of the largest stall.
    pub fn largest(&self) -> u64 {
        self.stalls.iter().copied().max().unwrap_or(0)
    }
}

/// Every level of a run of `n` rows, the percentiles from the lowest on, then the SLO.
pub fn all(tail: &Tail, n: u64) -> Vec<Level> {
    let percentiles = PERCENTILES.map(|p| {
        let mut level = of(tail, format!("past p{p}"), past(n, p));
        level.percentile = Some(p);
        level.interval = level.whole.then(|| interval::within_run(tail, level.events as usize)).flatten();
        level
    });
    let over = tail.at_least(SLO_US) as u64;
    let mut slo = of(tail, format!("≥ {SLO_MS} ms"), over);
    slo.whole = over < tail.slowest.len() as u64 || tail.slowest.len() as u64 >= n;
    percentiles.into_iter().chain([slo]).collect()
}

/// The places of the level to speak of, and of the level whose stalls are listed: the highest percentile with at least
/// [`FEW`] events past it, all at hand; and the same, but not above `LISTED`.
pub fn choose(levels: &[Level]) -> (Option<usize>, Option<usize>) {
    let enough = |up_to: f64| {
        levels.iter().rposition(|level| {
            level.whole && level.events >= FEW && level.percentile.is_some_and(|percentile| percentile <= up_to)
        })
    };
    (enough(100.0), enough(LISTED).or(enough(100.0)))
}

/// Rows strictly above the position of a percentile, as [`shasta_model::percentile::Percentile::samples_past`].
fn past(n: u64, p: f64) -> u64 {
    let Some(last) = n.checked_sub(1) else { return 0 };
    last - ((last as f64 * (p / 100.0)).floor() as u64).min(last)
}

fn of(tail: &Tail, name: String, events: u64) -> Level {
    let Some(late) = tail.slowest.get(..usize::try_from(events).unwrap_or(usize::MAX)) else {
        return Level { name, events, ..Level::default() };
    };
    let stalls = tail.stalls(late.len());
    let lengths = stalls.iter().map(|stall| {
        let ends = stall.iter().map(|&place| tail.slowest[place].end_us()).max().unwrap_or(0);
        ends.saturating_sub(tail.slowest[stall[0]].start_us())
    });
    Level {
        name,
        percentile: None,
        events,
        whole: true,
        from_us: late.last().map(|late| late.wait_us),
        to_us: late.first().map(|late| late.wait_us),
        stalled_us: lengths.fold(0, i64::saturating_add),
        stalls: stalls.iter().map(|stall| stall.len() as u64).collect(),
        interval: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cause::tail::tests::{row, rows},
        row::Row,
    };
    use shasta_model::percentile::Distribution;

    #[test]
    fn levels_of_a_run() {
        // 20,000 rows, one every 10 ms: 5 ms each, but for a stall of 30 ms at every 1,000th.
        let rows: Vec<Row> =
            (0..20_000).map(|k| row(k, k * 10_000, Some(if k % 1_000 < 2 { 110_000 } else { 5_000 }))).collect();
        let levels = all(&Tail::new(&rows), 20_000);
        let slo = levels.last().unwrap();
        assert_eq!((slo.name.as_str(), slo.events, slo.stalls.len(), slo.largest()), ("≥ 100 ms", 40, 20, 2));
        assert_eq!((slo.stalled_us, slo.whole), (20 * 120_000, true));
        assert_eq!(levels.iter().map(|level| level.events).collect::<Vec<_>>(), [200, 20, 2, 1, 40]);
        assert_eq!(choose(&levels), (Some(1), Some(1)));
        let part = all(&Tail::new(&rows[..100]), 20_000);
        assert!(!part[0].whole && part[0].stalls.is_empty() && part[1].whole);
        assert_eq!(choose(&all(&Tail::new(&[]), 0)), (None, None));
    }

    proptest! {
        #[test]
        fn as_many_lie_past_as_the_percentile_says(rows in rows()) {
            let waits = rows.iter().map(|row| row.latency_us(crate::row::places(&shasta_model::columns::SCHEDULED_TO_STORED)));
            let distribution = Distribution::of(waits);
            for level in all(&Tail::new(&rows), rows.len() as u64) {
                if let Some(p) = level.percentile {
                    prop_assert_eq!(level.events, distribution.percentile_ms(p).samples_past);
                }
                prop_assert_eq!(level.stalls.iter().sum::<u64>(), level.events);
            }
            prop_assert_eq!(all(&Tail::new(&rows), rows.len() as u64)[4].events, distribution.over_slo());
        }
    }
}
