//! The latencies of a run, 16 bytes a row: its pair, its second, and three latencies in µs. Past a bound they go to a
//! temporary file. Percentiles are selected from them exactly, over all rows or over each pair or second.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    cores,
    quantile::{NONE, ODD, Quantiles, Tallied},
};

/// Rows in a block, the unit of keeping and of reading back.
const BLOCK_ROWS: usize = 1 << 16;
/// Rows that are brought together by group at once.
const TOGETHER_ROWS: u64 = 1 << 24;
/// Blocks in memory may take this much, 23 million rows of 16 bytes; later ones go to disk. With all else that a report
/// of 44 million rows takes, the process stays below 1 GB.
pub const MEMORY_BYTES: u64 = 368 << 20;

/// What groups of rows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Source and destination.
    Pair,
    /// The whole second of the window in which it was scheduled.
    Second,
}

/// Groups of keys; rows with other keys are in none.
#[derive(Debug, Clone)]
pub enum Groups {
    /// `count` groups of `keys` successive keys each, the smallest of which is `first`.
    Successive {
        /// The smallest key of group 0.
        first: u16,
        /// Keys in a group.
        keys: u16,
        /// Groups.
        count: usize,
    },
    /// Any keys together.
    Listed {
        /// The group of each key from key 0.
        group_of: Vec<usize>,
        /// Groups; a larger number is none.
        count: usize,
    },
}

impl Groups {
    /// One key a group, from key 0.
    pub fn each(count: usize) -> Self {
        Self::Successive { first: 0, keys: 1, count }
    }

    fn count(&self) -> usize {
        match self {
            Self::Successive { count, .. } | Self::Listed { count, .. } => *count,
        }
    }

    fn of(&self, key: u16) -> usize {
        match self {
            Self::Successive { first, keys, .. } => {
                key.checked_sub(*first).map_or(usize::MAX, |key| usize::from(key / keys))
            }
            Self::Listed { group_of, .. } => group_of.get(usize::from(key)).copied().unwrap_or(usize::MAX),
        }
    }
}

/// One row as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Number of its pair.
    pub pair: u16,
    /// Its second.
    pub second: u16,
    /// Its latencies in µs, as many as the [`Samples`] hold.
    pub latencies_us: &'a [Option<i64>],
}

#[derive(Debug, Default)]
struct Block {
    keys: [Vec<u16>; 2],
    us: Vec<Vec<i32>>,
}

#[derive(Debug)]
enum Kept {
    Memory(Block),
    Disk { file: Arc<File>, at: u64 },
}

/// The samples of one run.
#[derive(Debug)]
pub struct Samples {
    latencies: usize,
    open: Block,
    kept: Vec<Kept>,
    odd: Vec<(usize, [u16; 2], i64)>,
    /// Bytes in memory, of all threads that share the bound.
    in_memory: Arc<AtomicU64>,
    memory_bytes: u64,
    spill: Option<(Arc<File>, u64)>,
}

impl Samples {
    /// Of rows with so many latencies; `in_memory` counts what all that share it keep, up to `memory_bytes`.
    pub fn new(latencies: usize, in_memory: Arc<AtomicU64>, memory_bytes: u64) -> Self {
        let open = Block { us: vec![Vec::new(); latencies], ..Block::default() };
        Self { latencies, open, kept: Vec::new(), odd: Vec::new(), in_memory, memory_bytes, spill: None }
    }

    /// Keeps a row.
    ///
    /// # Errors
    /// Those of the temporary file.
    #[inline]
    pub fn push(&mut self, sample: Sample) -> io::Result<()> {
        let keys = [sample.pair, sample.second];
        for (column, key) in self.open.keys.iter_mut().zip(keys) {
            column.push(key);
        }
        for (k, (column, us)) in self.open.us.iter_mut().zip(sample.latencies_us).enumerate() {
            column.push(small(*us, |us| self.odd.push((k, keys, us))));
        }
        if self.open.keys[0].len() == BLOCK_ROWS { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> io::Result<()> {
        let rows = if self.kept.is_empty() { 0 } else { BLOCK_ROWS };
        let column = || Vec::with_capacity(rows);
        let next =
            Block { keys: [column(), column()], us: (0..self.latencies).map(|_| Vec::with_capacity(rows)).collect() };
        let block = std::mem::replace(&mut self.open, next);
        let bytes = block.bytes();
        if self.in_memory.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.memory_bytes {
            self.kept.push(Kept::Memory(block));
            return Ok(());
        }
        self.in_memory.fetch_sub(bytes, Ordering::Relaxed);
        let (file, at) = match self.spill.take() {
            Some(spill) => spill,
            None => (Arc::new(tempfile::tempfile()?), 0),
        };
        let bytes = block.to_bytes();
        file.write_all_at(&bytes, at)?;
        self.kept.push(Kept::Disk { file: Arc::clone(&file), at });
        self.spill = Some((file, at + bytes.len() as u64));
        Ok(())
    }

    /// Takes over what another thread kept.
    pub fn merge(&mut self, mut other: Self) {
        // Blocks on disk are full ones; one that another thread had open is kept as it is.
        let open = std::mem::take(&mut other.open);
        if !open.keys[0].is_empty() {
            self.kept.push(Kept::Memory(open));
        }
        self.kept.append(&mut other.kept);
        self.odd.append(&mut other.odd);
    }

    /// Calls `see` for each block with keys and one latency's values.
    fn each(
        &self,
        by: By,
        latency: usize,
        blocks: impl Iterator<Item = usize>,
        mut see: impl FnMut(&[u16], &[i32]),
    ) -> io::Result<()> {
        for k in blocks {
            match self.kept.get(k) {
                None => see(&self.open.keys[by as usize], &self.open.us[latency]),
                Some(Kept::Memory(block)) => see(&block.keys[by as usize], &block.us[latency]),
                Some(Kept::Disk { file, at }) => {
                    let keys_at = at + (by as usize * 2 * BLOCK_ROWS) as u64;
                    let us_at = at + ((4 + latency * 4) * BLOCK_ROWS) as u64;
                    let keys = read(file, keys_at, u16::from_le_bytes)?;
                    see(&keys, &read(file, us_at, i32::from_le_bytes)?);
                }
            }
        }
        Ok(())
    }

    /// All blocks, each thread taking the next that is left; returns what each thread made of them.
    fn each_parallel<T: Send>(
        &self,
        by: By,
        latency: usize,
        start: impl Fn() -> T + Sync,
        see: impl Fn(&mut T, &[u16], &[i32]) + Sync,
    ) -> io::Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut made = start();
            let blocks =
                std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&k| k <= self.kept.len()));
            self.each(by, latency, blocks, |keys, us| see(&mut made, keys, us)).map(|()| made)
        };
        cores::each(work).into_iter().collect()
    }

    /// Percentiles `ps` of a latency over all rows.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn pooled(&self, latency: usize, ps: &[f64]) -> io::Result<Quantiles> {
        let odd: Vec<i64> = self.odd.iter().filter(|(of, ..)| *of == latency).map(|&(.., us)| us).collect();
        let heads = self.each_parallel(By::Pair, latency, Heads::default, |heads, _, us| heads.count(us))?;
        let mut heads = heads.into_iter().reduce(Heads::merged).unwrap_or_default();
        odd.iter().for_each(|&us| heads.tallied.count(us));
        let wanted = Wanted::new(&heads, odd, ps);
        let tails = self.each_parallel(By::Pair, latency, || wanted.tails(), |tails, _, us| wanted.count(tails, us))?;
        let sum = |mut sum: Vec<u32>, other: Vec<u32>| {
            sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
            sum
        };
        let tails = tails.into_iter().reduce(sum).unwrap_or_default();
        Ok(Quantiles::new(&heads.tallied, wanted.select(&tails)))
    }

    /// Percentiles `ps` of a latency over the rows of each group.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn grouped(&self, by: By, groups: &Groups, latency: usize, ps: &[f64]) -> io::Result<Vec<Quantiles>> {
        let start = || vec![[0_u64; 2]; groups.count()];
        let counted = self.each_parallel(by, latency, start, |counts, keys, us| {
            for (&key, &us) in keys.iter().zip(us) {
                if let Some(counts) = counts.get_mut(groups.of(key)) {
                    counts[0] += u64::from(us > ODD);
                    counts[1] += u64::from(us == NONE);
                }
            }
        })?;
        let mut counts = vec![[0_u64; 2]; groups.count()];
        for (sum, part) in counted.iter().flat_map(|part| part.iter().enumerate()) {
            counts[sum][0] += part[0];
            counts[sum][1] += part[1];
        }
        let batches = batches(&counts);
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<Vec<(usize, Quantiles)>> {
            let mut done = Vec::new();
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.extend(self.batch(by, latency, (groups, batch.clone()), &counts, ps)?);
            }
            Ok(done)
        };
        let mut all = vec![Quantiles::default(); groups.count()];
        for done in cores::each(work) {
            for (group, quantiles) in done? {
                all[group] = quantiles;
            }
        }
        Ok(all)
    }

    fn batch(
        &self,
        by: By,
        latency: usize,
        (groups, batch): (&Groups, std::ops::Range<usize>),
        counts: &[[u64; 2]],
        ps: &[f64],
    ) -> io::Result<Vec<(usize, Quantiles)>> {
        let starts: Vec<usize> = counts[batch.clone()]
            .iter()
            .scan(0, |at, [finite, _]| Some(std::mem::replace(at, *at + *finite as usize)))
            .collect();
        let total: u64 = counts[batch.clone()].iter().map(|[finite, _]| finite).sum();
        let (mut values, mut at) = (vec![0_i32; total as usize], starts.clone());
        self.each(by, latency, 0..=self.kept.len(), |keys, us| {
            for (&key, &us) in keys.iter().zip(us) {
                let group = groups.of(key).wrapping_sub(batch.start);
                if us > ODD
                    && let Some(at) = at.get_mut(group)
                {
                    values[*at] = us;
                    *at += 1;
                }
            }
        })?;
        let mut rest = &mut values[..];
        let quantiles = batch.map(|group| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(counts[group][0] as usize);
            rest = others;
            let of_group =
                |(of, keys, _): &&(usize, [u16; 2], i64)| *of == latency && groups.of(keys[by as usize]) == group;
            let odd = self.odd.iter().filter(of_group).map(|&(.., us)| us).collect();
            (group, Quantiles::select(own, odd, counts[group][1], ps))
        });
        Ok(quantiles.collect())
    }
}

/// A latency in 32 bits; one that does not fit is handed to `aside`.
#[inline]
fn small(us: Option<i64>, aside: impl FnOnce(i64)) -> i32 {
    let Some(us) = us else { return NONE };
    match i32::try_from(us) {
        Ok(us) if us > ODD => us,
        _ => {
            aside(us);
            ODD
        }
    }
}

impl Block {
    fn bytes(&self) -> u64 {
        (self.keys.len() * 2 + self.us.len() * 4) as u64 * self.keys[0].len() as u64
    }

    fn to_bytes(&self) -> Vec<u8> {
        let keys = self.keys.iter().flatten().flat_map(|key| key.to_le_bytes());
        keys.chain(self.us.iter().flatten().flat_map(|us| us.to_le_bytes())).collect()
    }
}

/// One column of a block on disk.
fn read<T, const BYTES: usize>(file: &File, at: u64, decode: fn([u8; BYTES]) -> T) -> io::Result<Vec<T>> {
    let mut bytes = vec![0; BLOCK_ROWS * BYTES];
    file.read_exact_at(&mut bytes, at)?;
    let (values, _) = bytes.as_chunks::<BYTES>();
    Ok(values.iter().map(|&value| decode(value)).collect())
}

/// Successive groups with at most [`TOGETHER_ROWS`] rows together, or one alone.
fn batches(counts: &[[u64; 2]]) -> Vec<std::ops::Range<usize>> {
    let (mut batches, mut start, mut rows) = (Vec::new(), 0, 0);
    for (group, [finite, _]) in counts.iter().enumerate() {
        if rows + finite > TOGETHER_ROWS && group > start {
            batches.push(start..group);
            (start, rows) = (group, 0);
        }
        rows += finite;
    }
    batches.push(start..counts.len());
    batches
}

const HALF: u32 = 16;

/// How many values have each upper half of their 32 bits.
#[derive(Debug)]
struct Heads {
    tallied: Tallied,
    counts: Vec<u64>,
}

impl Default for Heads {
    fn default() -> Self {
        Self { tallied: Tallied::default(), counts: vec![0; 1 << HALF] }
    }
}

/// A value as a number whose order is the same without a sign.
fn unsigned(us: i32) -> u32 {
    us.cast_unsigned() ^ (1 << 31)
}

impl Heads {
    fn count(&mut self, us: &[i32]) {
        self.tallied.count_small(us);
        for &us in us.iter().filter(|&&us| us > ODD) {
            self.counts[(unsigned(us) >> HALF) as usize] += 1;
        }
    }

    fn merged(mut self, other: Self) -> Self {
        self.tallied.add(&other.tallied);
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, other)| *sum += other);
        self
    }
}

/// The ranks that are wanted, and the upper halves among which they lie.
#[derive(Debug)]
struct Wanted {
    /// (rank, where its value is to be found).
    ranks: Vec<(u64, Place)>,
    /// For each upper half, its place among those looked into, or none.
    slots: Vec<Option<u16>>,
    heads: Vec<u32>,
}

#[derive(Debug)]
enum Place {
    Known(i64),
    /// In the slot, so many values from its smallest.
    Within(usize, u64),
}

impl Wanted {
    fn new(heads: &Heads, mut odd: Vec<i64>, ps: &[f64]) -> Self {
        odd.sort_unstable();
        let below = odd.partition_point(|&us| us < 0) as u64;
        let small = heads.counts.iter().sum::<u64>();
        let mut wanted = Self { ranks: Vec::new(), slots: vec![None; 1 << HALF], heads: Vec::new() };
        let (mut head, mut before) = (0, below);
        for rank in heads.tallied.ranks(ps) {
            let place = if rank < below {
                Place::Known(odd[rank as usize])
            } else if rank >= below + small {
                Place::Known(odd[(rank - small) as usize])
            } else {
                while before + heads.counts[head] <= rank {
                    before += heads.counts[head];
                    head += 1;
                }
                let slot = *wanted.slots[head].get_or_insert_with(|| {
                    wanted.heads.push(head as u32);
                    wanted.heads.len() as u16 - 1
                });
                Place::Within(slot.into(), rank - before)
            };
            wanted.ranks.push((rank, place));
        }
        wanted
    }

    fn tails(&self) -> Vec<u32> {
        vec![0; self.heads.len() << HALF]
    }

    fn count(&self, tails: &mut [u32], us: &[i32]) {
        for &us in us.iter().filter(|&&us| us > ODD) {
            let bits = unsigned(us);
            if let Some(slot) = self.slots[(bits >> HALF) as usize] {
                tails[(usize::from(slot) << HALF) + (bits & 0xFFFF) as usize] += 1;
            }
        }
    }

    fn select(&self, tails: &[u32]) -> Vec<(u64, i64)> {
        let value = |place: &Place| match *place {
            Place::Known(us) => us,
            Place::Within(slot, mut left) => {
                let counts = &tails[slot << HALF..(slot + 1) << HALF];
                let tail = counts.iter().position(|&count| {
                    let here = left < u64::from(count);
                    left = left.saturating_sub(count.into());
                    here
                });
                // The slot holds more values than `left`, so that one is found.
                let bits = (self.heads[slot] << HALF) | tail.unwrap_or(0) as u32;
                i64::from((bits ^ (1 << 31)).cast_signed())
            }
        };
        self.ranks.iter().map(|(rank, place)| (*rank, value(place))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use shasta_model::percentile::Distribution;

    const PS: [f64; 6] = [0.0, 50.0, 99.0, 99.9, 99.99, 100.0];

    fn check(rows: &[(u16, u16, Option<i64>)], memory_bytes: u64) {
        let shared = Arc::new(AtomicU64::new(0));
        let mut parts: Vec<Samples> = (0..3).map(|_| Samples::new(2, Arc::clone(&shared), memory_bytes)).collect();
        for (k, &(pair, second, us)) in rows.iter().enumerate() {
            parts[k * 3 / rows.len()].push(Sample { pair, second, latencies_us: &[Some(7), us] }).unwrap();
        }
        let samples = parts.into_iter().reduce(|mut all, part| {
            all.merge(part);
            all
        });
        let samples = samples.unwrap();
        let same = |quantiles: &Quantiles, of: Vec<Option<i64>>| {
            let sorted = Distribution::of(of);
            assert_eq!(
                (quantiles.n(), quantiles.missing(), quantiles.over_slo()),
                (sorted.n(), sorted.missing(), sorted.over_slo())
            );
            assert_eq!(
                [quantiles.mean_ms(), quantiles.sd_ms(), quantiles.min_ms()],
                [sorted.mean_ms(), sorted.sd_ms(), sorted.min_ms()]
            );
            PS.iter().for_each(|&p| assert_eq!(quantiles.percentile_ms(p), sorted.percentile_ms(p), "p{p}"));
        };
        same(&samples.pooled(1, &PS).unwrap(), rows.iter().map(|row| row.2).collect());
        for (pair, quantiles) in samples.grouped(By::Pair, &Groups::each(4), 1, &PS).unwrap().iter().enumerate() {
            same(quantiles, rows.iter().filter(|row| usize::from(row.0) == pair).map(|row| row.2).collect());
        }
        let listed = Groups::Listed { group_of: vec![1, usize::MAX, 1], count: 2 };
        let grouped = samples.grouped(By::Second, &listed, 1, &PS).unwrap();
        assert_eq!(grouped[0].n(), 0);
        same(&grouped[1], rows.iter().filter(|row| [0, 2].contains(&row.1)).map(|row| row.2).collect());
        for (second, quantiles) in samples.grouped(By::Second, &Groups::each(3), 1, &PS).unwrap().iter().enumerate() {
            same(quantiles, rows.iter().filter(|row| usize::from(row.1) == second).map(|row| row.2).collect());
        }
    }

    #[test]
    fn blocks_in_memory_and_on_disk_give_the_same() {
        let row = |k: i64| {
            let us = k * 7_919 % 1_000_003 - 1000;
            (
                (k % 4) as u16,
                (k / 100_000) as u16,
                (us % 97 != 0).then_some(if us % 10_007 == 0 { us << 40 } else { us }),
            )
        };
        let rows: Vec<_> = (0..300_000).map(row).collect();
        check(&rows, u64::MAX);
        check(&rows, 1 << 20);
        check(&rows, 0);
    }

    proptest! {
        #[test]
        fn selection_is_exact(rows in prop::collection::vec(
            (0_u16..5, 0_u16..4, prop::option::weighted(0.9, prop_oneof![4 => -70_000_i64..200_000, 1 => any::<i64>().prop_map(|us| us / 2048)])),
            1..300,
        )) {
            check(&rows, u64::MAX);
        }
    }
}
