//! Which events have been seen, a bit for each, so that a row that repeats another's event is found without sorting.

use std::collections::{HashMap, HashSet};

/// Producers below this number are found by index.
const DIRECT: usize = 1 << 16;
/// A bitmap may be so many bits longer than the rows it stands for; sequences beyond are kept one by one.
const SLACK_BITS: u64 = 1 << 16;

/// The events of one run, by (source, producer, sequence).
#[derive(Debug, Default)]
pub struct Seen {
    producers: Vec<Producer>,
    /// Producers that a number names first, by that number; 0 is none.
    direct: Vec<u32>,
    index: HashMap<(u32, i64), u32>,
    repeated: u64,
}

#[derive(Debug)]
struct Producer {
    key: (u32, i64),
    rows: u64,
    bits: Vec<u64>,
    sparse: HashSet<u64>,
}

impl Seen {
    /// Notes an event; repeated ones are counted.
    #[inline]
    pub fn insert(&mut self, source: u32, producer: i64, sequence: i64) {
        let events = self.producer((source, producer));
        // A row with a negative sequence is refused when it is read.
        let new = events.insert(sequence.cast_unsigned());
        self.repeated += u64::from(!new);
    }

    /// Rows whose event another row has, too.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Takes over the events that another thread has seen.
    pub fn merge(&mut self, other: Self) {
        self.repeated += other.repeated;
        for events in other.producers {
            let own = self.producer(events.key);
            self.repeated += own.merge(events);
        }
    }

    fn producer(&mut self, key: (u32, i64)) -> &mut Producer {
        let direct = usize::try_from(key.1).ok().filter(|&number| number < DIRECT);
        if let Some(&place) = direct.and_then(|number| self.direct.get(number))
            && let Some(at) = place.checked_sub(1)
            && self.producers[at as usize].key == key
        {
            return &mut self.producers[at as usize];
        }
        let next = self.producers.len() as u32;
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.producers.push(Producer { key, rows: 0, bits: Vec::new(), sparse: HashSet::new() });
        }
        if let Some(number) = direct {
            if self.direct.len() <= number {
                self.direct.resize(number + 1, 0);
            }
            self.direct[number] = at + 1;
        }
        &mut self.producers[at as usize]
    }
}

impl Producer {
    /// Whether the event is new.
    fn insert(&mut self, sequence: u64) -> bool {
        self.rows += 1;
        let (word, bit) = (sequence / 64, 1 << (sequence % 64));
        if let Some(bits) = self.bits.get_mut(word as usize) {
            let new = *bits & bit == 0;
            *bits |= bit;
            return new && !self.sparse.contains(&sequence);
        }
        if sequence < self.rows * 64 + SLACK_BITS {
            // Grown as a vector grows, so that one bit more does not copy all.
            self.bits.reserve(word as usize + 1 - self.bits.len());
            self.bits.resize(word as usize + 1, 0);
            self.bits[word as usize] = bit;
            return !self.sparse.contains(&sequence);
        }
        self.sparse.insert(sequence)
    }

    /// Returns how many events both have seen.
    fn merge(&mut self, other: Self) -> u64 {
        self.rows += other.rows;
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        let mut both = 0;
        for (own, bits) in self.bits.iter_mut().zip(other.bits) {
            both += u64::from((*own & bits).count_ones());
            *own |= bits;
        }
        // What one has as a bit, the other may have kept by itself.
        let own: Vec<u64> = self.sparse.drain().collect();
        for sequence in own.into_iter().chain(other.sparse) {
            both += u64::from(!self.keep(sequence));
        }
        both
    }

    /// Whether an event that was kept by itself is new.
    fn keep(&mut self, sequence: u64) -> bool {
        let bit = 1 << (sequence % 64);
        let Some(bits) = self.bits.get_mut((sequence / 64) as usize) else { return self.sparse.insert(sequence) };
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_row_beyond_the_first_of_an_event_is_repeated(
            rows in prop::collection::vec(
                (0_u32..2, prop_oneof![0_i64..3, Just(i64::MAX), Just(-1)],
                 prop_oneof![4 => 0_i64..40, 2 => 65_500_i64..65_600, 1 => Just(i64::MAX), 1 => 0_i64..1 << 40]), 1..200),
            threads in 1_usize..4,
        ) {
            let mut parts: Vec<Seen> = (0..threads).map(|_| Seen::default()).collect();
            for (k, &(source, producer, sequence)) in rows.iter().enumerate() {
                parts[k % threads].insert(source, producer, sequence);
            }
            let all = parts.into_iter().reduce(|mut all, part| { all.merge(part); all }).unwrap();
            let distinct: HashSet<_> = rows.iter().collect();
            prop_assert_eq!(all.repeated(), (rows.len() - distinct.len()) as u64);
        }
    }
}
