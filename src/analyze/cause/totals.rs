//! How many events there are of each kind, late or not: the base rates against which a share of the tail is held.

use std::collections::BTreeMap;

use crate::row::{MISSING, Row};

use super::events::Events;

/// Counts of all rows of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Start of the window, µs of the Unix epoch; without a manifest, the earliest `scheduled_us`.
    pub start_us: i64,
    /// By index of the source's name.
    pub per_source: BTreeMap<i64, u64>,
    /// By producer.
    pub per_producer: BTreeMap<i64, u64>,
    /// By partition; rows without one are left out.
    pub per_partition: BTreeMap<i64, u64>,
    /// By index of the worker's name; rows that no worker consumed are left out.
    pub per_destination: BTreeMap<i64, u64>,
    /// By whole seconds of `scheduled_us` since `start_us`.
    pub per_second: Vec<u64>,
}

/// What events of a stall may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The producing host.
    Source,
    /// The connection.
    Producer,
    /// The partition.
    Partition,
    /// The leader of the partition when the manifest was written; it may have moved in between.
    Broker,
    /// The worker.
    Worker,
}

/// Every [`Place`], from the widest to the narrowest, so that the widest that explains a stall is named first.
pub const PLACES: [Place; 5] = [Place::Broker, Place::Worker, Place::Source, Place::Partition, Place::Producer];

impl Place {
    /// As text names it.
    pub fn name(self) -> &'static str {
        match self {
            Place::Source => "source",
            Place::Producer => "producer",
            Place::Partition => "partition",
            Place::Broker => "broker",
            Place::Worker => "worker",
        }
    }

    /// Where a row was, if it is known.
    pub fn of(self, row: &Row, events: &Events) -> Option<i64> {
        let partition = (row.partition != MISSING).then_some(row.partition);
        match self {
            Place::Source => Some(row.source.into()),
            Place::Producer => Some(row.producer),
            Place::Partition => partition,
            Place::Broker => events.leaders.get(&partition?).copied(),
            Place::Worker => row.destination.map(i64::from),
        }
    }
}

impl Totals {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.per_second.iter().sum()
    }

    /// Rows by each value of a place.
    pub fn by(&self, place: Place, events: &Events) -> BTreeMap<i64, u64> {
        match place {
            Place::Source => self.per_source.clone(),
            Place::Producer => self.per_producer.clone(),
            Place::Partition => self.per_partition.clone(),
            Place::Worker => self.per_destination.clone(),
            Place::Broker => {
                let mut brokers = BTreeMap::new();
                for (partition, rows) in &self.per_partition {
                    if let Some(&leader) = events.leaders.get(partition) {
                        *brokers.entry(leader).or_default() += rows;
                    }
                }
                brokers
            }
        }
    }
}

#[cfg(test)]
impl Totals {
    /// Counts one row; rows scheduled before `start_us` are in no second. A scanner keeps its own
    /// counts.
    pub fn add(&mut self, row: &Row) {
        *self.per_source.entry(row.source.into()).or_default() += 1;
        *self.per_producer.entry(row.producer).or_default() += 1;
        if row.partition != MISSING {
            *self.per_partition.entry(row.partition).or_default() += 1;
        }
        if let Some(worker) = row.destination {
            *self.per_destination.entry(worker.into()).or_default() += 1;
        }
        let scheduled_us = row.stamps[crate::row::Stamp::Scheduled as usize];
        let second = usize::try_from(scheduled_us.saturating_sub(self.start_us).div_euclid(1_000_000));
        // A stamp years away would make a vector of years; a run lasts days at most.
        if let Ok(second) = second
            && second < SECONDS_MAX
        {
            if self.per_second.len() <= second {
                self.per_second.resize(second + 1, 0);
            }
            self.per_second[second] += 1;
        }
    }
}

#[cfg(test)]
/// Seconds past this are not counted: 30 days.
const SECONDS_MAX: usize = 30 * 24 * 3600;
