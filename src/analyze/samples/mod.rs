//! The latencies of a run, 16 bytes a row: its pair, its second, and three latencies in µs. Past a bound they go to a
//! temporary file. Percentiles are selected from them exactly, over all rows or over each pair or second.

mod block;
mod grouped;
mod groups;
mod pooled;

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use self::block::{BLOCK_ROWS, Block, Kept};
pub use self::groups::{By, Groups};
use crate::{
    cores,
    quantile::{NONE, WIDE},
};

/// Blocks in memory may take this much, 23 million rows of 16 bytes; later ones go to disk. With all else that a report
/// of 44 million rows takes, the process stays below 1 GB.
pub const MEMORY_BYTES: u64 = 368 << 20;

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

/// A latency of a row that does not fit 32 bits.
#[derive(Debug)]
struct WideLatency {
    latency: usize,
    /// The row's keys, as of [`By`].
    keys: [u16; 2],
    us: i64,
}

/// The samples of one run.
#[derive(Debug)]
pub struct Samples {
    latencies: usize,
    open: Block,
    kept: Vec<Kept>,
    wide: Vec<WideLatency>,
    /// Bytes in memory, of all threads that share the bound.
    in_memory: Arc<AtomicU64>,
    memory_bytes: u64,
    spill: Option<(Arc<File>, u64)>,
}

impl Samples {
    /// Of rows with so many latencies; `in_memory` counts what all that share it keep, up to `memory_bytes`.
    pub fn new(latencies: usize, in_memory: Arc<AtomicU64>, memory_bytes: u64) -> Self {
        let open = Block { us: vec![Vec::new(); latencies], ..Block::default() };
        Self { latencies, open, kept: Vec::new(), wide: Vec::new(), in_memory, memory_bytes, spill: None }
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
            column.push(small(*us, |us| self.wide.push(WideLatency { latency: k, keys, us })));
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
        self.wide.append(&mut other.wide);
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
                    see(&block::read_keys(file, *at, by)?, &block::read_latency(file, *at, latency)?);
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
}

/// A latency in 32 bits; one that does not fit is handed to `aside`.
#[inline]
fn small(us: Option<i64>, aside: impl FnOnce(i64)) -> i32 {
    let Some(us) = us else { return NONE };
    match i32::try_from(us) {
        Ok(us) if us > WIDE => us,
        _ => {
            aside(us);
            WIDE
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quantile::Quantiles;
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
