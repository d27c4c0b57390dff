//! The rows with the largest latencies, whole: what the causes of a tail are read from.

use crate::row::Row;

/// The rows with the largest keys, at most a given number of them.
#[derive(Debug)]
pub struct Top {
    rows: Vec<(i64, Row)>,
    most: usize,
    /// Rows with a smaller key are not among the largest.
    threshold: i64,
}

impl Top {
    /// Of at most `most` rows.
    pub fn new(most: usize) -> Self {
        Self { rows: Vec::new(), most, threshold: i64::MIN }
    }

    /// Keeps the row if it may be among the largest. An event that never arrived has the key `i64::MAX`.
    #[inline]
    pub fn push(&mut self, key: i64, row: &Row) {
        if key < self.threshold {
            return;
        }
        self.rows.push((key, *row));
        if self.rows.len() >= 2 * self.most {
            self.cut();
        }
    }

    /// Takes over another's rows.
    pub fn merge(&mut self, other: Self) {
        for (key, row) in other.rows {
            self.push(key, &row);
        }
    }

    /// The rows, largest key first, ties in the order of producer and sequence.
    pub fn finish(mut self) -> Vec<Row> {
        if self.rows.len() > self.most {
            self.cut();
        }
        self.rows.sort_unstable_by_key(order);
        self.rows.into_iter().map(|(_, row)| row).collect()
    }

    fn cut(&mut self) {
        if let Some(last) = self.most.checked_sub(1) {
            let (.., (key, _), _) = self.rows.select_nth_unstable_by(last, |a, b| order(a).cmp(&order(b)));
            self.threshold = *key;
        }
        self.rows.truncate(self.most);
    }
}

fn order((key, row): &(i64, Row)) -> (std::cmp::Reverse<i64>, u32, i64, i64) {
    (std::cmp::Reverse(*key), row.source, row.producer, row.sequence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::row::MISSING;

    fn row(sequence: i64) -> Row {
        Row {
            source: 0,
            destination: None,
            producer: 0,
            tag: 0,
            partition: 0,
            offset: 0,
            sequence,
            stamps: [MISSING; 7],
        }
    }

    proptest! {
        #[test]
        fn keeps_the_largest_in_whatever_order(keys in prop::collection::vec(0_i64..50, 0..200), most in 0_usize..40) {
            let mut parts = [Top::new(most), Top::new(most)];
            for (k, &key) in keys.iter().enumerate() {
                parts[k % 2].push(key, &row(k as i64));
            }
            let [mut all, other] = parts;
            all.merge(other);
            let rows = all.finish();
            let mut expected: Vec<_> = keys.iter().enumerate().map(|(k, key)| (std::cmp::Reverse(*key), k as i64)).collect();
            expected.sort_unstable();
            expected.truncate(most);
            let expected: Vec<i64> = expected.into_iter().map(|(_, k)| k).collect();
            prop_assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), expected);
        }
    }
}
