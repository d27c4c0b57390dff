//! Going back in Kafka, when Redis has lost what it had acknowledged. The store thread finds out, the poll thread goes
//! back, and from a mark in the look-ahead on all records are those of after.
//!
//! A record of such a partition that is in the look-ahead already would come before those that it follows, so it is
//! dropped and comes again; its first delivery's stamp is kept for that.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::KafkaResult,
};

/// How long the brokers may take to go back.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// What the two threads say to each other. Places are partition → offset.
#[derive(Debug, Default)]
pub(super) struct Seeks {
    wanted: Mutex<Option<BTreeMap<i32, i64>>>,
    asked: AtomicBool,
    owed: AtomicBool,
}

impl Seeks {
    /// Asks the poll thread to read these partitions again.
    pub fn ask(&self, places: BTreeMap<i32, i64>) {
        self.owed.store(true, Relaxed);
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(places);
        self.asked.store(true, Relaxed);
    }

    /// What is asked for, once.
    pub fn take(&self) -> Option<BTreeMap<i32, i64>> {
        if !self.asked.swap(false, Relaxed) {
            return None;
        }
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether records have to come again before the worker may end.
    pub fn owed(&self) -> bool {
        self.owed.load(Relaxed)
    }

    /// All have come.
    pub fn paid(&self) {
        self.owed.store(false, Relaxed);
    }
}

/// Goes back to these places, and has the group go back to them too, should this worker die on the way. Returns what went
/// wrong: a partition that is another worker's by now is that one's to read.
pub(super) fn go_back<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    places: &BTreeMap<i32, i64>,
) -> Vec<String> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    let mut troubles = Vec::new();
    for (partition, wanted) in places {
        // What Kafka has deleted by now would be an error that ends the consumer.
        let first = consumer.fetch_watermarks(topic, *partition, SEEK_MAX).map_or(*wanted, |(first, _)| first);
        let offset = &(*wanted).max(first);
        if first > *wanted {
            troubles.push(format!("partition {partition}: what was before offset {first} is no longer in Kafka"));
        }
        if let Err(error) = list.add_partition_offset(topic, *partition, Offset::Offset(*offset)) {
            troubles.push(format!("partition {partition} cannot be read again from offset {offset}: {error}"));
        }
    }
    let mut tell = |what: &str, result: KafkaResult<()>| {
        if let Err(error) = result {
            troubles.push(format!("{what}: {error}"));
        }
    };
    match consumer.seek_partitions(list.clone(), SEEK_MAX) {
        Ok(sought) => {
            for element in sought.elements() {
                tell(&format!("partition {} could not be read again", element.partition()), element.error());
            }
        }
        Err(error) => tell("partitions could not be read again", Err(error)),
    }
    // The client commits no offset below the last one by itself.
    tell("offsets could not be taken back", consumer.store_offsets(&list));
    tell("offsets could not be taken back in the group", consumer.commit(&list, CommitMode::Async));
    troubles
}

/// What is being read again.
#[derive(Debug, Default)]
pub(super) struct Rebuilding {
    /// First offset past what was told of each partition.
    told: BTreeMap<i32, i64>,
    /// Where the repetition of each partition ends.
    ends: BTreeMap<i32, i64>,
    /// When records that were dropped had been returned by the client.
    first_us: HashMap<(i32, i64), i64>,
}

impl Rebuilding {
    /// A record was stored or set aside.
    pub fn told(&mut self, partition: i32, offset: i64) {
        let next = self.told.entry(partition).or_insert(0);
        *next = (*next).max(offset + 1);
        if self.ends.get(&partition).is_some_and(|end| offset + 1 >= *end) {
            self.ends.remove(&partition);
        }
    }

    /// These partitions will come again; returns those of which anything does.
    pub fn begin(&mut self, places: &BTreeMap<i32, i64>) {
        for (partition, from) in places {
            let end = self.told.get(partition).copied().unwrap_or(0);
            if end > *from {
                self.ends.insert(*partition, end);
            }
        }
    }

    /// A record was dropped that had been returned at this time.
    pub fn drop_record(&mut self, partition: i32, offset: i64, after_consume_us: i64) {
        self.first_us.entry((partition, offset)).or_insert(after_consume_us);
    }

    /// When a record was returned first, if it was before.
    pub fn first_us(&mut self, partition: i32, offset: i64) -> Option<i64> {
        if self.first_us.is_empty() { None } else { self.first_us.remove(&(partition, offset)) }
    }

    /// Whether a record comes again that was told of.
    pub fn is_replayed(&self, partition: i32, offset: i64) -> bool {
        self.ends.get(&partition).is_some_and(|end| offset < *end)
    }

    /// Whether nothing more has to come again.
    pub fn is_done(&self) -> bool {
        self.ends.is_empty()
    }

    /// Nothing more is read again; what was still to come counts as told of all the same.
    pub fn give_up(&mut self) {
        self.ends.clear();
    }

    /// Partitions whose repetition is not complete.
    pub fn open(&self) -> usize {
        self.ends.len()
    }

    /// Other workers have the other partitions now.
    pub fn keep_partitions(&mut self, partitions: &[i32]) {
        self.told.retain(|partition, _| partitions.contains(partition));
        self.ends.retain(|partition, _| partitions.contains(partition));
        self.first_us.retain(|(partition, _), _| partitions.contains(partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_ends_where_it_began() {
        let mut rebuilding = Rebuilding::default();
        (5..10).for_each(|offset| rebuilding.told(0, offset));
        rebuilding.told(1, 3);
        rebuilding.begin(&BTreeMap::from([(0, 7), (1, 4), (2, 0)]));
        assert_eq!(rebuilding.open(), 1, "of the others nothing was stored since");
        rebuilding.drop_record(0, 11, 1_000);
        rebuilding.drop_record(0, 11, 2_000);
        for offset in 7..10 {
            assert!(rebuilding.is_replayed(0, offset) && !rebuilding.is_done());
            rebuilding.told(0, offset);
        }
        assert!(rebuilding.is_done() && !rebuilding.is_replayed(0, 11));
        assert_eq!((rebuilding.first_us(0, 11), rebuilding.first_us(0, 11)), (Some(1_000), None));
        rebuilding.begin(&BTreeMap::from([(0, 0)]));
        rebuilding.keep_partitions(&[1]);
        assert!(rebuilding.is_done());
    }

    #[test]
    fn a_seek_is_asked_for_once_and_owed_until_it_is_done() {
        let seeks = Seeks::default();
        assert_eq!((seeks.take(), seeks.owed()), (None, false));
        seeks.ask(BTreeMap::from([(3, 4)]));
        assert_eq!((seeks.take(), seeks.take(), seeks.owed()), (Some(BTreeMap::from([(3, 4)])), None, true));
        seeks.paid();
        assert!(!seeks.owed());
    }
}
