//! Joins the parts of a run that was recorded on many hosts, by (source, producer, sequence): one host knows when an event
//! was sent, another when it was consumed. Rows are spread over buckets in temporary files by their event, so that the
//! rows of one event meet in one bucket, and a bucket fits in memory however long the run was.

use std::{
    fs::File,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    io::{self, BufWriter, Read, Seek, Write},
};

use super::Sink;
use crate::{
    accumulator::Tally,
    row::{MISSING, Row, Stamp},
};

/// A run of 100 million rows has some 45 MB in each.
const BUCKETS: usize = 256;
/// A row in a bucket: its numbers, the part that it is from, source and destination.
const RECORD_BYTES: usize = 15 * 8;

/// Rows of the parts of a run.
#[derive(Debug)]
pub struct Buckets {
    files: Vec<BufWriter<File>>,
    part: u32,
}

impl Buckets {
    /// For the rows of the part with this number.
    ///
    /// # Errors
    /// Temporary files cannot be made.
    pub fn new(part: u32) -> io::Result<Self> {
        let file = |_| Ok(BufWriter::with_capacity(1 << 14, tempfile::tempfile()?));
        Ok(Self { files: (0..BUCKETS).map(file).collect::<io::Result<_>>()?, part })
    }

    /// Joins the rows and hands each event to `tally` once; `pair` numbers its pair. Returns how many rows repeat the
    /// event of another in the same part.
    ///
    /// # Errors
    /// Those of the temporary files.
    pub fn join(self, tally: &mut Tally, mut pair: impl FnMut(&Row) -> Option<u16>) -> io::Result<u64> {
        let mut repeated = 0;
        for bucket in self.files {
            let mut file = bucket.into_inner().map_err(io::IntoInnerError::into_error)?;
            let mut bytes = Vec::new();
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
            let mut rows: Vec<(u32, Row)> = records.iter().map(decode).collect();
            rows.sort_unstable_by_key(|(part, row)| (row.source, row.producer, row.sequence, consumed(row), *part));
            for event in rows.chunk_by(|(_, a), (_, b)| key(a) == key(b)) {
                let mut parts: Vec<u32> = event.iter().map(|(part, _)| *part).collect();
                parts.sort_unstable();
                parts.dedup();
                repeated += (event.len() - parts.len()) as u64;
                let row = joined(event);
                // A pair past what can be numbered was refused when its first row was read.
                tally.add(&row, pair(&row).unwrap_or(super::names::NO_PAIR))?;
            }
        }
        Ok(repeated)
    }
}

impl Sink for Buckets {
    fn add(&mut self, row: &Row, _pair: u16) -> io::Result<()> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let bucket = hasher.hash_one(key(row)) as usize % BUCKETS;
        self.files[bucket].write_all(&encode(self.part, row))
    }

    fn merge(&mut self, other: Self) -> io::Result<()> {
        for (own, other) in self.files.iter_mut().zip(other.files) {
            let mut other = other.into_inner().map_err(io::IntoInnerError::into_error)?;
            other.rewind()?;
            io::copy(&mut other, own)?;
        }
        Ok(())
    }
}

fn key(row: &Row) -> (u32, i64, i64) {
    (row.source, row.producer, row.sequence)
}

/// When it was consumed; an event that was not comes last.
fn consumed(row: &Row) -> i64 {
    row.stamp(Stamp::AfterConsume).unwrap_or(i64::MAX)
}

/// One row of the rows of an event, the one that was consumed first coming first: the first delivery wins, and what its
/// row lacks is taken from the others, but never a later delivery's worker or stamps.
fn joined(event: &[(u32, Row)]) -> Row {
    let mut joined = event[0].1;
    let delivered = joined.destination.is_some();
    for (_, row) in &event[1..] {
        let later_delivery = delivered && row.destination.is_some();
        let fields = [
            (&mut joined.tag, row.tag),
            (&mut joined.partition, row.partition),
            (&mut joined.offset, if later_delivery { MISSING } else { row.offset }),
        ];
        for (own, other) in fields {
            if *own == MISSING {
                *own = other;
            }
        }
        for (k, (own, other)) in joined.stamps.iter_mut().zip(row.stamps).enumerate() {
            let of_delivery = k >= Stamp::Append as usize && k != Stamp::AfterRead as usize;
            if *own == MISSING && !(later_delivery && of_delivery) {
                *own = other;
            }
        }
        joined.destination = joined.destination.or(row.destination);
    }
    joined
}

fn encode(part: u32, row: &Row) -> [u8; RECORD_BYTES] {
    let Row { source, destination, producer, tag, partition, offset, sequence, stamps } = *row;
    let [a, b, c, d, e, f, g] = stamps;
    let destination = destination.map_or(MISSING, i64::from);
    let numbers =
        [part.into(), source.into(), destination, producer, tag, partition, offset, sequence, a, b, c, d, e, f, g];
    let mut bytes = [0; RECORD_BYTES];
    for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    bytes
}

fn decode(bytes: &[u8; RECORD_BYTES]) -> (u32, Row) {
    let mut numbers = [0; RECORD_BYTES / 8];
    for (number, place) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *number = i64::from_le_bytes(*place);
    }
    let [part, source, destination, producer, tag, partition, offset, sequence, stamps @ ..] = numbers;
    let destination = (destination != MISSING).then_some(destination as u32);
    (part as u32, Row { source: source as u32, destination, producer, tag, partition, offset, sequence, stamps })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Row = Row {
        source: 0,
        destination: None,
        producer: 7,
        tag: 7,
        partition: 3,
        offset: MISSING,
        sequence: 1,
        stamps: [100, 110, 190, MISSING, MISSING, MISSING, MISSING],
    };

    fn delivered(worker: u32, consumed_us: i64, stored_us: i64) -> Row {
        let stamps = [100, 110, MISSING, 0, consumed_us, stored_us, MISSING];
        Row { destination: Some(worker), offset: consumed_us, stamps, ..SENT }
    }

    #[test]
    fn records_come_back_as_they_were() {
        for row in [SENT, delivered(5, 200, MISSING)] {
            assert_eq!(decode(&encode(9, &row)), (9, row));
        }
    }

    #[test]
    fn the_first_delivery_wins_whole() {
        let first = delivered(1, 150, MISSING);
        let row = joined(&[(1, first), (2, delivered(2, 160, 170)), (0, SENT)]);
        assert_eq!((row.destination, row.offset), (Some(1), 150));
        assert_eq!(
            row.stamps,
            [100, 110, 190, 0, 150, MISSING, MISSING],
            "a later delivery's store is not the first's"
        );
        assert_eq!(joined(&[(0, SENT)]), SENT);
    }
}
