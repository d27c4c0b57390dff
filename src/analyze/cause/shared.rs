//! What late events share: the same broker, worker, source, partition or producer, more often than chance would have it.
//!
//! A share of the tail means nothing without the share of all events, and with 1,000 producers some producer always
//! stands out. So a share is named only when it is at least [`ABOVE`] times its base rate and the binomial's upper tail,
//! times the number of values looked at, is below [`chance::RARE`]. Over a whole tail, where one stall makes many events
//! late together, events are counted as fewer than they are: (Σ sizes)² / Σ sizes² independent ones, Kish's effective
//! number, so that a single stall, however many events it hit, accuses no partition.

use std::collections::BTreeMap;

use crate::row::{Names, Row};

use super::{
    chance,
    events::Events,
    totals::{PLACES, Place, Totals},
};

/// A share is named from this many times its base rate on.
pub const ABOVE: f64 = 1.5;
/// And from this many events on.
pub const EVENTS: u64 = 3;

/// How many of some events were at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// What kind of place.
    pub place: Place,
    /// Which: a number, or for sources and workers the index of the name.
    pub value: i64,
    /// Events there.
    pub k: u64,
    /// Of so many whose place is known.
    pub n: u64,
    /// The share of all events of the run that were there.
    pub base: f64,
    /// The probability, by chance alone, of any share as high, after Bonferroni; at most 1.
    pub probability: f64,
}

impl Share {
    /// How many times its base rate.
    pub fn ratio(&self) -> f64 {
        self.k as f64 / (self.n as f64 * self.base)
    }

    /// Whether it is well above its base rate and not by chance.
    pub fn stands_out(&self) -> bool {
        self.k >= EVENTS && self.ratio() >= ABOVE && self.probability < chance::RARE
    }

    /// The place: `broker 2`, `worker w1`.
    pub fn place_name(&self, names: &Names) -> String {
        let list = match self.place {
            Place::Source => &names.sources,
            Place::Worker => &names.destinations,
            Place::Broker | Place::Partition | Place::Producer => {
                return format!("{} {}", self.place.name(), self.value);
            }
        };
        let name = usize::try_from(self.value).ok().and_then(|k| list.get(k));
        format!("{} {}", self.place.name(), name.map_or_else(|| self.value.to_string(), Clone::clone))
    }
}

/// All events of a run by place, to hold shares against.
#[derive(Debug)]
pub struct Bases<'a> {
    events: &'a Events,
    /// In the order of [`PLACES`]: rows by value, and all of them.
    rows: [(BTreeMap<i64, u64>, u64); PLACES.len()],
}

impl<'a> Bases<'a> {
    /// Of a run.
    pub fn new(totals: &Totals, events: &'a Events) -> Self {
        let rows = PLACES.map(|place| {
            let rows = totals.by(place, events);
            let all = rows.values().sum();
            (rows, all)
        });
        Self { events, rows }
    }

    /// Every share of these events, the least likely first within its place. `independent` is how many of them are
    /// worth one independent event each, as a share of their number: 1, or less when they clump.
    pub fn shares<'r>(&self, rows: impl Iterator<Item = &'r Row>, independent: f64) -> Vec<Share> {
        let mut counts: [BTreeMap<i64, u64>; PLACES.len()] = Default::default();
        for row in rows {
            for (place, counts) in PLACES.iter().zip(&mut counts) {
                if let Some(value) = place.of(row, self.events) {
                    *counts.entry(value).or_default() += 1;
                }
            }
        }
        let mut shares = Vec::new();
        for ((place, counts), (rows, all)) in PLACES.into_iter().zip(counts).zip(&self.rows) {
            if rows.len() < 2 {
                continue;
            }
            let n: u64 = counts.values().sum();
            let looked_at = (rows.len() * PLACES.len()) as f64;
            let from = shares.len();
            shares.extend(counts.into_iter().map(|(value, k)| {
                // A row outside the totals would make the base zero, and the share infinitely remarkable.
                let base = rows.get(&value).copied().unwrap_or(0).max(1) as f64 / (*all).max(1) as f64;
                let fewer = |count: u64| (count as f64 * independent).floor() as u64;
                let probability = (chance::at_least(fewer(k), fewer(n).max(1), base) * looked_at).min(1.0);
                Share { place, value, k, n, base, probability }
            }));
            shares[from..].sort_by(|a, b| {
                a.probability
                    .total_cmp(&b.probability)
                    .then(b.ratio().total_cmp(&a.ratio()))
                    .then(a.value.cmp(&b.value))
            });
        }
        shares
    }

    /// What events of one stall share: of each place the least likely share, if it stands out.
    pub fn common<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> Vec<Share> {
        let mut common: Vec<Share> = Vec::new();
        for share in self.shares(rows, 1.0).into_iter().filter(Share::stands_out) {
            if common.last().is_none_or(|last| last.place != share.place) {
                common.push(share);
            }
        }
        common
    }
}

/// Of events that came in clumps of these sizes, the share that is worth one independent event each.
pub fn independent(sizes: &[u64]) -> f64 {
    let sum: f64 = sizes.iter().map(|&size| size as f64).sum();
    let squares: f64 = sizes.iter().map(|&size| (size as f64).powi(2)).sum();
    if squares > 0.0 { sum / squares } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::tail::tests::row;

    /// 2,100 rows over 7 producers, 3 partitions on 2 brokers, 2 workers.
    fn run() -> (Vec<Row>, Totals, Events) {
        let rows: Vec<Row> = (0..2_100).map(|k| row(k, k * 1_000, Some(5_000))).collect();
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.add(row));
        (rows, totals, Events { leaders: [(0, 1), (1, 1), (2, 2)].into(), ..Events::default() })
    }

    #[test]
    fn a_shared_broker_is_named_with_its_base_rate() {
        let (rows, totals, events) = run();
        let bases = Bases::new(&totals, &events);
        let common = bases.common(rows.iter().filter(|row| row.partition == 2).take(30));
        let names: Vec<String> = common.iter().map(|share| share.place_name(&Names::default())).collect();
        assert_eq!(names, ["broker 2", "partition 2"]);
        assert_eq!((common[0].k, common[0].n), (30, 30));
        assert!((common[0].base - 1.0 / 3.0).abs() < 1e-9 && (common[0].ratio() - 3.0).abs() < 1e-9);
    }

    #[test]
    fn chance_is_not_named() {
        let (rows, totals, events) = run();
        let bases = Bases::new(&totals, &events);
        assert_eq!(bases.common(rows.iter().take(200)), []);
        assert_eq!(bases.common(rows.iter().filter(|row| row.partition == 2).take(4)), [], "4 of 4 at 33 %");
    }

    #[test]
    fn one_stall_accuses_no_one() {
        let (rows, totals, events) = run();
        let bases = Bases::new(&totals, &events);
        let late = || rows.iter().filter(|row| row.partition == 2).take(30);
        assert_eq!(independent(&[30]), 1.0 / 30.0);
        assert!(bases.shares(late(), independent(&[30])).iter().all(|share| !share.stands_out()));
        assert!(bases.shares(late(), independent(&[1; 30])).iter().any(Share::stands_out));
    }
}
