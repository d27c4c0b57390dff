//! D2–D5 alone, for when nothing else is asked: of Parquet only four columns are read, and latencies are counted, not kept.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use crate::{
    agreement::{self, Extent},
    cores,
    document::Block,
    histogram::{Counted, Histogram},
    input::Recorded,
    manifest::Manifest,
    markdown::counted,
    pairs::{PAIR_PERCENTILES, Pairs},
    quantile::Quantiles,
    report,
    row::{MISSING, Row, Stamp, places},
    run::{Error, Options, Run},
    run_metrics,
    samples::{By, Groups, MEMORY_BYTES, Sample, Samples},
    scan::{
        self, Progress, Shared, Sink,
        names::{Directory, NO_PAIR},
    },
};
use shasta_model::columns::{DESTINATION, Latency, SOURCE};

/// Histograms of a thread may take this much. With more pairs, or more latencies out of their range, rows are kept.
const COUNTED_BYTES_MAX: usize = 128 << 20;

/// One latency of rows, by pair.
struct OneLatency {
    counted: Vec<Counted>,
    counted_bytes: usize,
    /// Of the rows in no pair.
    unplaced: Histogram,
    unplaced_rows: u64,
    /// All rows, once they are too various to be counted.
    kept: Option<Samples>,
    /// Bytes in memory of all threads' kept rows.
    in_memory: Arc<AtomicU64>,
    /// Places of its stamps.
    latency: [usize; 2],
}

impl OneLatency {
    fn new(in_memory: Arc<AtomicU64>, latency: [usize; 2]) -> Self {
        Self {
            counted: Vec::new(),
            counted_bytes: 0,
            unplaced: Histogram::default(),
            unplaced_rows: 0,
            kept: None,
            in_memory,
            latency,
        }
    }

    #[inline]
    fn count(&mut self, pair: u16, us: Option<i64>) -> io::Result<()> {
        self.unplaced_rows += u64::from(pair == NO_PAIR);
        if let Some(kept) = &mut self.kept {
            return kept.push(Sample { pair, second: 0, latencies_us: &[us] });
        }
        self.counted_bytes += match pair {
            NO_PAIR => self.unplaced.add(us),
            pair => {
                let pair = usize::from(pair);
                if pair >= self.counted.len() {
                    self.counted.resize_with(pair + 1, Counted::default);
                }
                self.counted[pair].add(us)
            }
        };
        if self.counted_bytes > COUNTED_BYTES_MAX { self.keep() } else { Ok(()) }
    }

    /// From now on rows are kept, those so far included.
    #[cold]
    fn keep(&mut self) -> io::Result<()> {
        let mut kept = Samples::new(1, Arc::clone(&self.in_memory), MEMORY_BYTES);
        let unplaced = std::mem::take(&mut self.unplaced);
        let counted = std::mem::take(&mut self.counted).into_iter().enumerate();
        let counted = counted.map(|(pair, counted)| (pair as u16, counted.histogram()));
        for (pair, histogram) in counted.chain([(NO_PAIR, unplaced)]) {
            for (us, count) in histogram.counts() {
                for _ in 0..count {
                    kept.push(Sample { pair, second: 0, latencies_us: &[us] })?;
                }
            }
        }
        self.kept = Some(kept);
        Ok(())
    }

    /// Percentiles of each of so many pairs, and of all planned events.
    fn quantiles(self, pairs: usize) -> io::Result<(Vec<Quantiles>, Quantiles)> {
        if let Some(kept) = &self.kept {
            let by_pair = kept.grouped(By::Pair, &Groups::each(pairs), 0, &PAIR_PERCENTILES)?;
            return Ok((by_pair, kept.pooled(0, &PAIR_PERCENTILES)?));
        }
        let counted = Mutex::new(self.counted.into_iter().enumerate());
        let next = || counted.lock().unwrap_or_else(PoisonError::into_inner).next();
        let parts = cores::each(|| {
            let (mut pooled, mut by_pair) = (Histogram::default(), Vec::new());
            while let Some((pair, counted)) = next() {
                let histogram = counted.histogram();
                pooled.merge(&histogram);
                by_pair.push((pair, histogram.quantiles(&PAIR_PERCENTILES)));
            }
            (pooled, by_pair)
        });
        let (mut pooled, mut all) = (self.unplaced, vec![Quantiles::default(); pairs]);
        for (part, by_pair) in parts {
            pooled.merge(&part);
            by_pair.into_iter().for_each(|(pair, quantiles)| all[pair] = quantiles);
        }
        Ok((all, pooled.quantiles(&PAIR_PERCENTILES)))
    }
}

impl Sink for OneLatency {
    #[inline]
    fn add(&mut self, row: &Row, pair: u16) -> io::Result<()> {
        self.count(pair, row.latency_us(self.latency))
    }

    fn add_columns(&mut self, pairs: &[u16], stamps: &[(usize, &[i64])]) -> io::Result<bool> {
        let column = |place: usize| stamps.iter().find(|(of, _)| *of == place).map(|(_, values)| *values);
        let [Some(from), Some(to)] = self.latency.map(column) else { return Ok(false) };
        if self.latency.contains(&(Stamp::Append as usize)) {
            // In ms: left to the way that knows.
            return Ok(false);
        }
        for (&pair, (&from, &to)) in pairs.iter().zip(from.iter().zip(to)) {
            let missing = from == MISSING || to == MISSING;
            self.count(pair, if missing { None } else { Some(to - from) })?;
        }
        Ok(true)
    }

    fn merge(&mut self, mut other: Self) -> io::Result<()> {
        self.unplaced_rows += other.unplaced_rows;
        if self.kept.is_some() || other.kept.is_some() {
            for thread in [&mut *self, &mut other] {
                if thread.kept.is_none() {
                    thread.keep()?;
                }
            }
        }
        if let (Some(kept), Some(other)) = (&mut self.kept, other.kept) {
            kept.merge(other);
            return Ok(());
        }
        self.unplaced.merge(&other.unplaced);
        self.counted.resize_with(self.counted.len().max(other.counted.len()), Counted::default);
        self.counted.iter_mut().zip(other.counted).for_each(|(sum, other)| sum.merge(other));
        Ok(())
    }
}

/// Reads a run and says what its D2–D5 are.
///
/// # Errors
/// What is wrong with one of its files.
pub fn of(recorded: &Recorded, options: &Options, progress: Progress) -> Result<Vec<Block>, Error> {
    let manifest = Manifest::of(&recorded.name, &recorded.manifests)?;
    let mut blocks = vec![Block::Heading(2, run_metrics::heading(&recorded.name, manifest.as_ref()))];
    let ([path], false) = (&recorded.rows[..], recorded.is_parted()) else {
        // Parts must be joined before anything can be said of a pair, and a manifest alone has none.
        let run = Run::load(recorded, options, progress)?;
        blocks.extend(report::invalid(&run.problems).map(Block::Prose));
        blocks.extend(match &run.measured {
            Some(measured) => report::deviations(&measured.pairs, &measured.pooled),
            None => vec![Block::Prose("Only the manifest is there, and D2–D5 need the rows.".to_owned())],
        });
        return Ok(blocks);
    };
    let temporary = |source| Error::Temporary { run: recorded.name.clone(), source };
    let (directory, in_memory, latency) = (Directory::default(), Arc::new(AtomicU64::new(0)), options.latency);
    let sink = || Ok(OneLatency::new(Arc::clone(&in_memory), places(&latency)));
    let columns = [SOURCE, DESTINATION, latency.from, latency.to];
    let shared = Shared { directory: &directory, sink: &sink, skip_bad_rows: options.skip_bad_rows, columns: &columns };
    let scanned = scan::file(path, &shared, progress)?;
    let (names, numbers) = directory.finish();
    let unplaced = scanned.sink.unplaced_rows;
    let (by_pair, pooled) = scanned.sink.quantiles(numbers.len()).map_err(temporary)?;
    let pairs = Pairs::new(latency, (&names, &numbers), by_pair, unplaced);
    let mut origin = format!("`{}`: {}, of which only D2–D5 were read.", path.display(), counted(scanned.rows, "row"));
    if scanned.skipped.count > 0 {
        origin += &format!(" **{}.**", scanned.skipped.told(path));
    }
    if scanned.cut_off {
        origin += &format!(" {}.", report::cut_off(path));
    }
    let extent = Extent { names, ..Extent::default() };
    let problems = manifest.map(|manifest| problems(&manifest, scanned.rows, &extent, (&latency, &pooled)));
    if let Some(invalid) = problems.and_then(|problems| report::invalid(&problems)) {
        origin += &format!(" {invalid}");
    }
    blocks.push(Block::Prose(origin));
    blocks.extend(report::deviations(&pairs, &pooled));
    Ok(blocks)
}

/// What makes the run INVALID, as far as these columns tell.
fn problems(manifest: &Manifest, rows: u64, extent: &Extent, pooled: (&Latency, &Quantiles)) -> Vec<String> {
    let ledger = &manifest.recorded.ledger;
    let mut problems = [ledger.problems.clone(), ledger.broken_sums()].concat();
    if ledger.rows != rows {
        problems.push(format!("the ledger says rows {}, the rows say {rows}", ledger.rows));
    } else {
        problems.extend(agreement::of_percentiles(manifest, &[pooled], &PAIR_PERCENTILES));
    }
    problems.extend(agreement::of_names(manifest, extent));
    if !ledger.valid && problems.is_empty() {
        problems.push("its ledger says so, without a reason".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input, pairs::tests::SMALL};
    use shasta_model::columns::{COLUMNS, PUBLISHED_TO_CONSUMED};

    #[test]
    fn they_are_those_of_the_whole_report() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.csv"), format!("{}\n{SMALL}", COLUMNS.join(","))).unwrap();
        let recorded = &input::in_directory(directory.path()).unwrap()[0];
        let options = Options { latency: PUBLISHED_TO_CONSUMED, skip_bad_rows: false };
        let alone = of(recorded, &options, &|_| ()).unwrap();
        let whole = Run::load(recorded, &options, &|_| ()).unwrap().measured.unwrap();
        assert_eq!(alone[2..], report::deviations(&whole.pairs, &whole.pooled));
    }

    #[test]
    fn counted_and_kept_rows_give_the_same() {
        let sink = || OneLatency::new(Arc::default(), [0, 1]);
        let quantiles = |keep_after: [usize; 2]| {
            let mut threads = [sink(), sink()];
            for k in 0..2_000_i64 {
                let thread = &mut threads[k as usize % 2];
                if thread.counted_bytes > 0 && keep_after[k as usize % 2] == k as usize / 2 {
                    thread.keep().unwrap();
                }
                let us = k * k % 140_000 - 50;
                let pair = if k % 50 == 0 { NO_PAIR } else { (k % 3) as u16 };
                thread.count(pair, (k % 70 != 0).then_some(us)).unwrap();
            }
            let [mut all, other] = threads;
            all.merge(other).unwrap();
            assert_eq!(all.unplaced_rows, 40);
            all.quantiles(4).unwrap()
        };
        let never = usize::MAX;
        let expected = quantiles([never, never]);
        assert_eq!(expected.0[3], Quantiles::default());
        for keep_after in [[5, never], [never, 700], [1, 999]] {
            assert_eq!(quantiles(keep_after), expected);
        }
    }
}
