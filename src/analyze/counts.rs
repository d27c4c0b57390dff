//! Counts by a number that is nearly always small: a producer, a partition, the index of a name.

use std::collections::BTreeMap;

/// Numbers below this are counted by index.
const DIRECT: usize = 1 << 20;

/// How often each number came.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    direct: Vec<u64>,
    others: BTreeMap<i64, u64>,
}

impl Counts {
    /// Counts a number.
    #[inline]
    pub fn add(&mut self, number: i64) {
        let index = usize::try_from(number).ok().filter(|&index| index < DIRECT);
        match index.and_then(|index| self.direct.get_mut(index)) {
            Some(count) => *count += 1,
            None => self.add_new(number, index),
        }
    }

    #[cold]
    fn add_new(&mut self, number: i64, index: Option<usize>) {
        match index {
            Some(index) => {
                self.direct.resize(index + 1, 0);
                self.direct[index] = 1;
            }
            None => *self.others.entry(number).or_default() += 1,
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        if self.direct.len() < other.direct.len() {
            self.direct.resize(other.direct.len(), 0);
        }
        self.direct.iter_mut().zip(&other.direct).for_each(|(sum, count)| *sum += count);
        for (number, count) in &other.others {
            *self.others.entry(*number).or_default() += count;
        }
    }

    /// The numbers that came, and how often.
    pub fn into_map(mut self) -> BTreeMap<i64, u64> {
        let direct = self.direct.iter().enumerate().filter(|(_, count)| **count > 0);
        self.others.extend(direct.map(|(index, count)| (index as i64, *count)));
        self.others
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_a_map_would(numbers in prop::collection::vec(prop_oneof![-3_i64..9, Just(i64::MAX), Just(1 << 20), Just((1 << 20) - 1)], 0..60)) {
            let (mut expected, mut parts) = (BTreeMap::new(), [Counts::default(), Counts::default()]);
            for (k, &number) in numbers.iter().enumerate() {
                *expected.entry(number).or_insert(0) += 1;
                parts[k % 2].add(number);
            }
            let [mut sum, other] = parts;
            sum.merge(&other);
            prop_assert_eq!(sum.into_map(), expected);
        }
    }
}
