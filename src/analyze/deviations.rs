//! D2–D5 alone, for when nothing else is asked: of Parquet only four columns are read, and a row takes 8 bytes.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
};

use crate::{
    columns::{DESTINATION, SOURCE},
    document::Block,
    input::Recorded,
    manifest::Manifest,
    markdown::counted,
    pairs::PAIR_PERCENTILES,
    report,
    row::{MISSING, Row, Stamp, places},
    run::{self, Error, Options, Run},
    samples::{MEMORY_BYTES, Sample, Samples},
    scan::{
        self, Progress, Shared, Sink,
        names::{Directory, NO_PAIR},
    },
};

/// One latency of rows, by pair.
struct OneLatency {
    samples: Samples,
    /// Places of its stamps.
    latency: [usize; 2],
    unplaced: u64,
}

impl Sink for OneLatency {
    #[inline]
    fn add(&mut self, row: &Row, pair: u16) -> io::Result<()> {
        self.unplaced += u64::from(row.destination.is_none());
        self.samples.push(Sample { pair, second: 0, latencies_us: &[row.latency_us(self.latency)] })
    }

    fn add_columns(&mut self, pairs: &[u16], stamps: &[(usize, &[i64])]) -> io::Result<bool> {
        let column = |place: usize| stamps.iter().find(|(of, _)| *of == place).map(|(_, values)| *values);
        let [Some(from), Some(to)] = self.latency.map(column) else { return Ok(false) };
        if self.latency.contains(&(Stamp::Append as usize)) {
            // In ms: left to the way that knows.
            return Ok(false);
        }
        self.unplaced += pairs.iter().filter(|&&pair| pair == NO_PAIR).count() as u64;
        let missing = |&(from, to): &(&i64, &i64)| *from == MISSING || *to == MISSING;
        let us = from.iter().zip(to).map(|stamps| if missing(&stamps) { None } else { Some(stamps.1 - stamps.0) });
        self.samples.extend(pairs, us)?;
        Ok(true)
    }

    fn merge(&mut self, other: Self) -> io::Result<()> {
        self.unplaced += other.unplaced;
        self.samples.merge(other.samples);
        Ok(())
    }
}

/// Reads a run and says what its D2–D5 are.
///
/// # Errors
/// What is wrong with one of its files.
pub fn of(recorded: &Recorded, options: &Options, progress: Progress) -> Result<Vec<Block>, Error> {
    let mut blocks = vec![Block::Heading(2, recorded.name.clone())];
    let ([path], false) = (&recorded.rows[..], recorded.is_parted()) else {
        // Parts must be joined before anything can be said of a pair, and a manifest alone has none.
        let run = Run::load(recorded, options, progress)?;
        blocks.extend(match &run.measured {
            Some(measured) => report::deviations(&measured.pairs, &measured.pooled),
            None => vec![Block::Prose("Only the manifest is there, and D2–D5 need the rows.".to_owned())],
        });
        return Ok(blocks);
    };
    let temporary = |source| Error::Temporary { run: recorded.name.clone(), source };
    let (directory, in_memory, latency) = (Directory::default(), Arc::new(AtomicU64::new(0)), options.latency);
    let sink = || {
        let samples = Samples::new(1, Arc::clone(&in_memory), MEMORY_BYTES);
        Ok(OneLatency { samples, latency: places(&latency), unplaced: 0 })
    };
    let columns = [SOURCE, DESTINATION, latency.from, latency.to];
    let shared = Shared { directory: &directory, sink: &sink, skip_bad_rows: options.skip_bad_rows, columns: &columns };
    let scanned = scan::file(path, &shared, progress)?;
    let OneLatency { samples, unplaced, .. } = scanned.sink;
    let (names, numbers) = directory.finish();
    let pairs = run::by_pair(&samples, 0, latency, (&names, &numbers), unplaced).map_err(temporary)?;
    let pooled = samples.pooled(0, &PAIR_PERCENTILES).map_err(temporary)?;
    let mut origin = format!("`{}`: {}, of which only D2–D5 were read.", path.display(), counted(scanned.rows, "row"));
    if scanned.skipped.count > 0 {
        origin += &format!(" **{}.**", scanned.skipped.told(path));
    }
    if scanned.cut_off {
        origin += &format!(" {}.", report::cut_off(path));
    }
    if let Some(Manifest { ledger, .. }) = Manifest::of(&recorded.name, &recorded.manifests)? {
        let mut problems = [ledger.problems.clone(), ledger.broken_sums()].concat();
        if ledger.rows != scanned.rows {
            problems.push(format!("the ledger says rows {}, the rows say {}", ledger.rows, scanned.rows));
        }
        if !ledger.valid || !problems.is_empty() {
            origin += &format!(" **INVALID**: {}. Nothing below may be quoted.", problems.join("; "));
        }
    }
    blocks.push(Block::Prose(origin));
    blocks.extend(report::deviations(&pairs, &pooled));
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        columns::{COLUMNS, PUBLISHED_TO_CONSUMED},
        input,
        pairs::tests::SMALL,
    };

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
}
