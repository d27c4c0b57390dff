//! What late events share: the same broker, worker, source, partition or producer, more often than chance would have it.
//!
//! A share of the tail means nothing without the share of all events, and with 1,000 producers some producer always
//! stands out. So a share is named only when it is at least [`ABOVE`] times its base rate and the binomial's upper tail,
//! times the number of values looked at, is below [`chance::RARE`]. Over a whole tail, where one stall makes many events
//! late together, stalls are counted in place of events: each has one vote, parted among the places of its events. The
//! sum of such votes strays from its mean no further than the binomial that it is held against (Hoeffding, 1963), so a
//! single stall, however many events it hit, accuses no partition.

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
    /// The kinds of places that can be judged, those of which more than one is known: rows by value, and all of them.
    judged: Vec<(Place, BTreeMap<i64, u64>, u64)>,
}

impl<'a> Bases<'a> {
    /// Of a run.
    pub fn new(totals: &Totals, events: &'a Events) -> Self {
        let known = PLACES.into_iter().map(|place| {
            let rows = totals.by(place, events);
            let all = rows.values().sum();
            (place, rows, all)
        });
        Self { events, judged: known.filter(|(_, rows, _)| rows.len() > 1).collect() }
    }

    /// The kinds of places that can be judged, in the order of [`PLACES`].
    pub fn judged(&self) -> Vec<Place> {
        self.judged.iter().map(|&(place, ..)| place).collect()
    }

    /// Every share of these events, the least likely first within its place; each event with its weight: 1 if it stands
    /// for itself, or 1 / the events of its stall.
    pub fn shares<'r>(&self, rows: impl Iterator<Item = (&'r Row, f64)>) -> Vec<Share> {
        let mut counts: Vec<BTreeMap<i64, (u64, f64)>> = vec![BTreeMap::new(); self.judged.len()];
        for (row, weight) in rows {
            for ((place, ..), counts) in self.judged.iter().zip(&mut counts) {
                if let Some(value) = place.of(row, self.events) {
                    let (events, votes) = counts.entry(value).or_default();
                    *events += 1;
                    *votes += weight;
                }
            }
        }
        let mut shares = Vec::new();
        for (&(place, ref rows, all), counts) in self.judged.iter().zip(counts) {
            let n: u64 = counts.values().map(|(events, _)| events).sum();
            // Rounded for the voters; a sum of thirds may miss its whole number by a hair, and a vote and a half is one.
            let voters = counts.values().map(|(_, votes)| votes).sum::<f64>().round() as u64;
            let whole = |votes: f64| (votes + 1e-6).floor() as u64;
            let looked_at = (rows.len() * PLACES.len()) as f64;
            let from = shares.len();
            shares.extend(counts.into_iter().map(|(value, (k, votes))| {
                // A row outside the totals would make the base zero, and the share infinitely remarkable.
                let base = rows.get(&value).copied().unwrap_or(0).max(1) as f64 / all.max(1) as f64;
                let probability = (chance::at_least(whole(votes), voters, base) * looked_at).min(1.0);
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
        for share in self.shares(rows.map(|row| (row, 1.0))).into_iter().filter(Share::stands_out) {
            if common.last().is_none_or(|last| last.place != share.place) {
                common.push(share);
            }
        }
        common
    }
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
        let late = |weight| rows.iter().filter(|row| row.partition == 2).take(30).map(move |row| (row, weight));
        assert!(bases.shares(late(1.0 / 30.0)).iter().all(|share| !share.stands_out()), "one stall of 30 events");
        assert!(bases.shares(late(1.0 / 2.0)).iter().any(Share::stands_out), "15 stalls of 2 events");
    }
}
