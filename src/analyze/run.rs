//! One recorded run: its rows, read and measured in one pass, and its manifest, held against each other.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use crate::{
    accumulator::{Origin, Question, Tally},
    agreement::{self, Extent},
    cause::{self, Causes, Events, Totals, bands::Band},
    chart,
    classes::{self, Classes},
    counts::Counts,
    input::{self, Recorded},
    manifest::{self, Manifest},
    markdown::counted,
    pairs::{PAIR_PERCENTILES, Pairs},
    quantile::Quantiles,
    row::{Names, Stamp},
    samples::{By, Groups},
    scan::{
        self, Progress, Shared, Skipped,
        joined::Buckets,
        names::{Directory, Interner},
    },
};
use shasta_model::{
    columns::{COLUMNS, HEADLINES, Latency, SCHEDULED_TO_STORED},
    percentile::PERCENTILES,
    slo::Verdict,
};

/// The percentiles of a whole run.
const RUN_PERCENTILES: [f64; 8] = {
    let [a, b, c, d, e, f] = PERCENTILES;
    [a, b, c, d, e, f, 0.0, 100.0]
};
/// The percentiles of each second.
pub const SECOND_PERCENTILES: [f64; 3] = [50.0, 99.0, 100.0];

/// Why a run cannot be analyzed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its rows cannot be read.
    #[error(transparent)]
    Rows(#[from] input::Error),
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The temporary file for more rows than fit in memory failed.
    #[error("{run}: the temporary file for its rows failed ({source}); give TMPDIR a directory with more space")]
    Temporary {
        /// The run.
        run: String,
        /// What the system said.
        source: io::Error,
    },
}

/// How runs are read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The latency of the D tables.
    pub latency: Latency,
    /// Whether lines that are no rows are skipped and counted.
    pub skip_bad_rows: bool,
}

/// A recorded run.
#[derive(Debug)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// The files of its rows.
    pub files: Vec<PathBuf>,
    /// What its rows say; none when only the manifest is left.
    pub measured: Option<Measured>,
    /// What it says about itself; a killed run says nothing.
    pub manifest: Option<Manifest>,
    /// What makes the run INVALID, in words: its own problems, sums that do not hold, and rows that its ledger denies.
    pub problems: Vec<String>,
}

/// What the rows of a run say.
#[derive(Debug)]
pub struct Measured {
    /// Rows.
    pub rows: u64,
    /// Rows that have each stamp, in the order of [`crate::row::STAMPS`].
    pub stamped: [u64; 7],
    /// Rows that repeat the event of another.
    pub repeated: u64,
    /// The headline latencies, in the order of [`HEADLINES`].
    pub headlines: [Quantiles; 3],
    /// The latency of the D tables by pair.
    pub pairs: Pairs,
    /// The same over all rows.
    pub pooled: Quantiles,
    /// Second 0 of the window, in µs.
    pub start_us: i64,
    /// Scheduled → stored in each second.
    pub seconds: Vec<Quantiles>,
    /// Scheduled → stored in the first and in the second half of those seconds.
    pub halves: [Quantiles; 2],
    /// Scheduled → stored by what the hypervisor took in the second ([`classes::stolen`]); none where that is one class.
    pub stolen: Vec<(String, Quantiles)>,
    /// Scheduled → stored by how fast a core was in the second ([`classes::speed`]); none where that is not known.
    pub speed: Vec<(String, Quantiles)>,
    /// Why the tail is as it is.
    pub causes: Causes,
    /// Mean stages by percentile of the whole latency.
    pub bands: Vec<Band>,
    /// What all rows have between them.
    pub extent: Extent,
    /// Lines that were skipped, by file.
    pub skipped: Vec<(PathBuf, Skipped)>,
    /// Files that ended within a line.
    pub cut_off: Vec<PathBuf>,
}

impl Run {
    /// Reads a run's rows and manifests.
    ///
    /// # Errors
    /// What is wrong with one of its files.
    pub fn load(recorded: &Recorded, options: &Options, progress: Progress) -> Result<Self, Error> {
        let manifest = Manifest::of(&recorded.name, &recorded.manifests)?;
        let none = Events::default();
        let events = manifest.as_ref().map_or(&none, |manifest| &manifest.events);
        let mut measured = match recorded.rows.is_empty() {
            true => None,
            false => Some(measure(recorded, options, events, progress)?),
        };
        if measured.as_ref().is_some_and(|measured| !measured.extent.is_within(events.window_us)) {
            // What happened in another run's window is not laid beside these rows.
            measured = Some(measure(recorded, options, &none, &|_| ())?);
        }
        let problems = problems(&recorded.name, measured.as_ref(), manifest.as_ref());
        Ok(Self { name: recorded.name.clone(), files: recorded.rows.clone(), measured, manifest, problems })
    }

    /// Planned events: by the ledger, else as many as there are rows.
    pub fn planned(&self) -> u64 {
        let rows = self.measured.as_ref().map_or(0, |measured| measured.rows);
        self.manifest.as_ref().map_or(rows, |manifest| manifest.recorded.ledger.planned)
    }

    /// Planned events that were not stored in time; those without a row were not.
    pub fn over_slo(&self) -> u64 {
        match (&self.measured, &self.manifest) {
            (Some(measured), _) => {
                let stored = &measured.headlines[0];
                stored.over_slo() + self.planned().saturating_sub(stored.n())
            }
            (None, Some(manifest)) => {
                manifest.recorded.latencies.headlines.first().map_or(self.planned(), |line| line.over_slo)
            }
            (None, None) => 0,
        }
    }

    /// Why the run may not be judged, if so.
    pub fn unfit(&self) -> Option<String> {
        if !self.problems.is_empty() {
            return Some("INVALID".to_owned());
        }
        let alone = || Verdict::new(self.planned(), self.over_slo(), None);
        let measured = self.measured.as_ref();
        match &self.manifest {
            Some(manifest) if manifest.recorded.interrupted => Some("interrupted".to_owned()),
            _ if measured.is_some_and(|rows| !rows.skipped.is_empty()) => Some("read with bad rows skipped".to_owned()),
            _ if measured.is_some_and(|rows| !rows.cut_off.is_empty()) => Some("the rows end within a line".to_owned()),
            None => Some(format!(
                "no manifest, so nothing says that these rows are all that was planned (taken alone: {})",
                alone()
            )),
            Some(_) => None,
        }
    }

    /// The verdict on the SLO.
    pub fn verdict(&self) -> Verdict {
        Verdict::new(self.planned(), self.over_slo(), self.unfit().as_deref())
    }
}

fn measure(recorded: &Recorded, options: &Options, events: &Events, progress: Progress) -> Result<Measured, Error> {
    let window_us = events.window_us;
    let temporary = |source| Error::Temporary { run: recorded.name.clone(), source };
    let question = Question::new(options.latency, window_us.map(|[start, _]| start));
    let (in_memory, origin) = (Arc::new(AtomicU64::new(0)), Origin::of(&question));
    let new = || Tally::new(&question, Arc::clone(&in_memory), Arc::clone(&origin));
    let directory = Directory::default();
    let (mut skipped, mut cut_off, mut repeated) = (Vec::new(), Vec::new(), 0);
    let mut note = |path: &Path, lines: Skipped, ends_within: bool| {
        if lines.count > 0 {
            skipped.push((path.to_owned(), lines));
        }
        if ends_within {
            cut_off.push(path.to_owned());
        }
    };
    let skip_bad_rows = options.skip_bad_rows;
    let tally = if let ([path], false) = (&recorded.rows[..], recorded.is_parted()) {
        let sink = || Ok(new());
        let shared = Shared { directory: &directory, sink: &sink, skip_bad_rows, columns: &COLUMNS };
        let scanned = scan::file(path, &shared, progress)?;
        note(path, scanned.skipped, scanned.cut_off);
        scanned.sink
    } else {
        let mut all = Buckets::new(0).map_err(temporary)?;
        for (path, part) in recorded.rows.iter().zip(0..) {
            let sink = || Buckets::new(part);
            let shared = Shared { directory: &directory, sink: &sink, skip_bad_rows, columns: &COLUMNS };
            let scanned = scan::file(path, &shared, progress)?;
            note(path, scanned.skipped, scanned.cut_off);
            scan::Sink::merge(&mut all, scanned.sink).map_err(temporary)?;
        }
        let (mut tally, mut names) = (new(), Interner::new(&directory));
        repeated += all.join(&mut tally, |row| names.pair(row.source, row.destination)).map_err(temporary)?;
        tally
    };
    let (names, pairs) = directory.finish();
    let start_us = origin.us().unwrap_or(0);
    let summary = Summary { question: &question, latency: options.latency, names, pairs, start_us, events };
    let measured = summary.of(tally).map_err(temporary)?;
    Ok(Measured { repeated: measured.repeated + repeated, skipped, cut_off, ..measured })
}

/// What stands beside a tally when it is summed up.
struct Summary<'a> {
    question: &'a Question,
    latency: Latency,
    names: Names,
    pairs: Vec<(u32, u32)>,
    start_us: i64,
    events: &'a Events,
}

impl Summary<'_> {
    fn of(self, tally: Tally) -> io::Result<Measured> {
        let from_window = self.events.window_us.is_some();
        let place = |latency: &Latency| self.question.place(latency).unwrap_or(0);
        let mut of_run = RUN_PERCENTILES.to_vec();
        of_run.extend(chart::percentile_curve::percentiles(tally.rows));
        let pooled = |latency: &Latency| tally.samples.pooled(place(latency), &of_run);
        let stored = place(&SCHEDULED_TO_STORED);
        let seconds = self.seconds(&tally, from_window);
        let by_second = |groups: &Groups, ps: &[f64]| tally.samples.grouped(By::Second, groups, stored, ps);
        let (first, count) = (seconds[0], usize::from(seconds[1] - seconds[0]) + 1);
        let each = Groups::Successive { first, keys: 1, count };
        let keys = (count.div_ceil(2) as u16).max(1);
        let halves = by_second(&Groups::Successive { first, keys, count: 2 }, &RUN_PERCENTILES)?;
        let by_class = |classes: Option<Classes>| -> io::Result<Vec<(String, Quantiles)>> {
            let Some(Classes { names, groups }) = classes else { return Ok(Vec::new()) };
            let named = names.into_iter().zip(by_second(&groups, &RUN_PERCENTILES)?);
            Ok(named.filter(|(_, latencies)| latencies.n() > 0).collect())
        };
        let in_all = usize::from(seconds[1]) + 1;
        let stolen = by_class(classes::stolen(self.events, self.start_us, in_all))?;
        let speed = by_class(classes::speed(self.events, self.start_us, in_all))?;
        let named = (&self.names, &self.pairs[..]);
        let by_pair = tally.samples.grouped(
            By::Pair,
            &Groups::each(self.pairs.len()),
            place(&self.latency),
            &PAIR_PERCENTILES,
        )?;
        let pairs = Pairs::new(self.latency, named, by_pair, tally.unplaced);
        let [first, second] = [&halves[0], &halves[1]].map(Quantiles::clone);
        let headlines = [pooled(&HEADLINES[0])?, pooled(&HEADLINES[1])?, pooled(&HEADLINES[2])?];
        let of_pairs = pooled(&self.latency)?;
        let of_seconds = by_second(&each, &SECOND_PERCENTILES)?;
        let [per_source, per_producer, per_partition, per_destination] = tally.places.map(Counts::into_map);
        let producer_max = per_producer.last_key_value().map(|(producer, _)| *producer);
        let extent = Extent { scheduled_us: tally.scheduled_us, producer_max, names: self.names.clone() };
        let start_us = self.start_us + i64::from(seconds[0]) * 1_000_000;
        let per_second = of_seconds.iter().map(Quantiles::n).collect();
        let totals = Totals { start_us, per_source, per_producer, per_partition, per_destination, per_second };
        let slowest = tally.top.finish();
        let causes = cause::find(&cause::Input {
            tail: &slowest,
            n: tally.rows,
            names: &self.names,
            totals: &totals,
            stages: &tally.stages,
            events: self.events,
        });
        Ok(Measured {
            rows: tally.rows,
            stamped: tally.stamped,
            repeated: tally.seen.repeated(),
            headlines,
            pairs,
            pooled: of_pairs,
            start_us,
            seconds: of_seconds,
            halves: [first, second],
            stolen,
            speed,
            causes,
            bands: cause::bands(&tally.stages, tally.rows),
            extent,
            skipped: Vec::new(),
            cut_off: Vec::new(),
        })
    }

    /// First and last second in which an event was scheduled; the window's first where that is known.
    fn seconds(&self, tally: &Tally, from_window: bool) -> [u16; 2] {
        let second = |us: i64| (us - self.start_us).div_euclid(1_000_000).clamp(0, u16::MAX.into()) as u16;
        let [first, last] = tally.scheduled_us.unwrap_or([self.start_us; 2]).map(second);
        [if from_window { 0 } else { first }, last]
    }
}

fn problems(run: &str, measured: Option<&Measured>, manifest: Option<&Manifest>) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(repeated) = measured.map(|measured| measured.repeated).filter(|&repeated| repeated > 0) {
        let repeat = if repeated == 1 { "repeats" } else { "repeat" };
        problems
            .push(format!("{} {repeat} the event (source, producer, sequence) of another", counted(repeated, "row")));
    }
    if measured.is_some_and(|measured| measured.seconds.len() > usize::from(u16::MAX)) {
        problems
            .push("its rows are scheduled over more than 18 hours: what is past that counts as one second".to_owned());
    }
    let Some(manifest) = manifest else { return problems };
    let ledger = &manifest.recorded.ledger;
    let foreign = measured.and_then(|measured| agreement::of_window(run, manifest, &measured.extent));
    let is_foreign = foreign.is_some();
    problems.extend(foreign);
    problems.extend(ledger.problems.iter().cloned());
    problems.extend(ledger.broken_sums());
    if let Some(rows) = measured {
        let stamped = |stamp: Stamp| rows.stamped[stamp as usize];
        for (name, claimed, counted) in [
            ("rows", ledger.rows, rows.rows),
            ("sent", ledger.sent, stamped(Stamp::BeforePublish)),
            ("consumed", ledger.consumed, stamped(Stamp::AfterConsume)),
            ("stored", ledger.stored, stamped(Stamp::AfterStore)),
        ] {
            if claimed != counted {
                problems.push(format!("the ledger says {name} {claimed}, the rows say {counted}"));
            }
        }
        problems.extend(agreement::of_names(manifest, &rows.extent));
        // Other rows have other percentiles, which says nothing more.
        if !is_foreign && ledger.rows == rows.rows {
            let headlines: Vec<_> = HEADLINES.iter().zip(&rows.headlines).collect();
            problems.extend(agreement::of_percentiles(manifest, &headlines, &RUN_PERCENTILES));
        }
    }
    if !ledger.valid && problems.is_empty() {
        problems.push("its ledger says so, without a reason".to_owned());
    }
    problems
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use crate::pairs::tests::SMALL;
    use shasta_model::{columns::PUBLISHED_TO_CONSUMED, percentile::Value};

    pub const LEDGER: &str = r#"{"planned":8,"sent":7,"unsent":1,"acked":7,"failed":0,"maybe":0,"acked_consumed":7,"lost":0,
        "maybe_consumed":0,"maybe_unseen":0,"consumed":7,"stored":7,"set_aside":0,"unstored":0,"rows":8,"duplicates":0,
        "foreign":0,"warm":0,"zero":0,"negative":0,"late":0,"valid":true,"problems":[]}"#;

    const OPTIONS: Options = Options { latency: PUBLISHED_TO_CONSUMED, skip_bad_rows: false };

    /// Loads the only run among files of these names and contents; a CSV's header is put before its lines.
    pub fn load_files(files: &[(&str, &[u8])], options: &Options) -> Result<Run, Error> {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let mut found = input::in_directory(directory.path())?;
        assert_eq!(found.len(), 1, "{found:?}");
        Run::load(&found.remove(0), options, &|_| ())
    }

    fn with_header(lines: &str) -> Vec<u8> {
        format!("{}\n{lines}", COLUMNS.join(",")).into_bytes()
    }

    pub fn load(lines: &str, manifest: Option<&str>) -> Result<Run, Error> {
        let rows = with_header(lines);
        let mut files = vec![("small.csv", &rows[..])];
        files.extend(manifest.map(|manifest| ("small.json", manifest.as_bytes())));
        load_files(&files, &OPTIONS)
    }

    pub fn measured(lines: &str) -> Measured {
        load(lines, None).unwrap().measured.unwrap()
    }

    pub fn with_ledger(ledger: &str, interrupted: bool) -> Run {
        let manifest =
            format!(r#"{{"run":"small","variant_name":"laptop","interrupted":{interrupted},"ledger":{ledger}}}"#);
        load(SMALL, Some(&manifest)).unwrap()
    }

    const ROW: &str = "p0,w0,0,0,0,0,0,0,100,200,0,1100,1200,\n";

    fn told(lines: &str) -> String {
        let error = load(lines, None).unwrap_err().to_string();
        assert!(error.contains("small.csv"), "{error}");
        error
    }

    #[test]
    fn a_missing_stamp_is_past_the_drain() {
        let rows = measured(&format!("{ROW}p0,w0,0,0,0,1,1,0,100,,,1100,,\n"));
        let stored = &rows.headlines[0];
        assert_eq!((stored.n(), stored.missing(), stored.over_slo()), (2, 1, 1));
        assert_eq!((stored.percentile_ms(0.0).value, stored.max_ms()), (Value::Finite(1.2), Value::PastDrain));
        assert_eq!((rows.rows, rows.stamped[Stamp::AfterStore as usize], rows.cut_off.len()), (2, 1, 0));
        assert_eq!((rows.seconds.len(), rows.halves[0].n(), rows.causes.n), (1, 2, 2));
    }

    #[test]
    fn seconds_count_from_the_windows_start() {
        let rows: String = (0..10)
            .map(|k| format!("p0,w0,0,0,0,{k},{k},{0},,,,,{1},\n", 7_300_000 + k * 500_000, 7_400_000 + k * 600_000))
            .collect();
        let harness =
            r#"{"seconds":{"at_us":[8000000,9000000,10000000,11000000,12000000],"steal_cores":[0,0.3,0,0.3,0]}}"#;
        let manifest =
            format!(r#"{{"run":"small","window_us":[7000000,12000000],"ledger":{LEDGER},"harness":{harness}}}"#);
        let rows_of_run = load(&rows, Some(&manifest)).unwrap().measured.unwrap();
        let n = |groups: &[Quantiles]| groups.iter().map(Quantiles::n).collect::<Vec<_>>();
        assert_eq!(n(&rows_of_run.seconds), vec![2; 5]);
        let stolen: Vec<_> =
            rows_of_run.stolen.iter().map(|(name, latencies)| (name.as_str(), latencies.n())).collect();
        assert_eq!(stolen, [("below 0.05 cores", 6), ("0.2 cores and more", 4)]);
        let alone = measured(&rows);
        assert_eq!((alone.start_us, alone.seconds.len()), (7_000_000, 5));
        assert!(alone.stolen.is_empty());
        assert_eq!(alone.halves.map(|half| half.n()), [6, 4]);
    }

    #[test]
    fn what_happened_in_another_runs_window_is_not_laid_beside_the_rows() {
        let harness = r#"{"seconds":{"at_us":[8000000],"steal_cores":[0.3]}}"#;
        let manifest =
            format!(r#"{{"run":"small","window_us":[7000000,8000000],"ledger":{LEDGER},"harness":{harness}}}"#);
        let run = load(SMALL, Some(&manifest)).unwrap();
        assert!(run.problems[0].starts_with("its rows lie outside of its manifest's window"), "{:?}", run.problems);
        let (rows, alone) = (run.measured.unwrap(), measured(SMALL));
        assert_eq!((rows.start_us, rows.seconds.len()), (alone.start_us, alone.seconds.len()));
        assert!(rows.stolen.is_empty());
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_told_and_not_counted() {
        let run = load(&format!("{ROW}p0,w0,0,0,0,1,1,0,10"), None).unwrap();
        let rows = run.measured.as_ref().unwrap();
        assert_eq!((rows.rows, rows.cut_off.len()), (1, 1));
        assert!(run.unfit().unwrap().contains("within a line"));
    }

    #[test]
    fn repeated_events_are_counted() {
        let run = load(&format!("{ROW}{ROW}{}", ROW.replacen("p0", "p1", 1)), None).unwrap();
        assert_eq!(run.problems, ["1 row repeats the event (source, producer, sequence) of another"]);
    }

    #[test]
    fn bad_rows_are_told_with_file_and_line() {
        assert!(told("").contains("a header and no rows"));
        assert!(told(&format!("{ROW}p0,w0,0\n")).contains("line 3: has 3 fields"));
        assert!(told(&ROW.replace("1200", "12OO")).contains("line 2: `after_store_us` is `12OO`"));
        let many = ROW.repeat(200_000);
        let error = told(&format!("{many}\n{many}x\n"));
        assert!(error.contains("line 200002: has 1 fields"), "the first of two, chunks apart: {error}");
    }

    #[test]
    fn what_is_no_file_of_rows_is_told() {
        let told = |name: &str, bytes: &[u8]| load_files(&[(name, bytes)], &OPTIONS).unwrap_err().to_string();
        assert!(told("a.parquet", b"PAR1 and no more").contains("not a whole Parquet file"));
        assert!(told("a.csv", b"").contains("is empty"));
        assert!(told("a.csv", b"source,dest").contains("within its header"));
        assert!(told("a.csv", b"\x1f\x8b\x08\n").contains("gunzip"));
        assert!(told("a.csv", b"source\nx\n").contains("lacks the columns destination, "));
        assert!(told("a.csv", &[b'x'; 100_000]).contains("lacks the columns source, "));
        assert!(told("a.csv", b"\xff\xfe no text").contains("is not UTF-8"));
        let long = [with_header(ROW), vec![b'x'; 10_000_000]].concat();
        assert!(told("a.csv", &long).contains("line 3: is longer than 64 KiB"));
    }

    #[test]
    fn bad_rows_are_skipped_and_shown_when_asked() {
        let rows = with_header(&format!("{ROW}x\n{}y,y\n", ROW.replacen(",0,0,0,0,0,", ",0,0,0,1,1,", 1)));
        let run = load_files(&[("a.csv", &rows)], &Options { skip_bad_rows: true, ..OPTIONS }).unwrap();
        let measured = run.measured.as_ref().unwrap();
        let (_, skipped) = &measured.skipped[0];
        assert_eq!((measured.rows, skipped.count), (2, 2));
        assert_eq!(skipped.first.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 5]);
        assert!(run.verdict().to_string().contains("bad rows skipped"));
    }

    #[test]
    fn parts_of_many_hosts_are_one_run() {
        let sent = "p0,,0,0,0,,0,0,100,200,,,,\np1,,1,1,1,,0,0,110,210,,,,\np1,,1,1,1,,1,5,115,,,,,\n";
        let consumed = "p0,w0,0,0,0,8,0,0,100,,0,1100,1200,\np1,w0,1,1,1,9,0,0,110,,0,1300,,\n";
        let again = "p1,w1,1,1,1,9,0,0,110,,0,1900,2000,\n";
        let parts = [sent, consumed, again].map(with_header);
        let names = ["r@p.csv", "r@w0.csv", "r@w1.csv"];
        let files: Vec<(&str, &[u8])> = names.into_iter().zip(parts.iter().map(|part| &part[..])).collect();
        let run = load_files(&files, &OPTIONS).unwrap();
        let rows = run.measured.unwrap();
        assert_eq!((run.name.as_str(), rows.rows, rows.repeated), ("r", 3, 0));
        assert_eq!(rows.stamped, [3, 3, 2, 2, 2, 1, 0], "the first delivery of the second event was never stored");
        assert_eq!(rows.pairs.pairs.len(), 2);
        let twice = [with_header(&format!("{consumed}{consumed}")), parts[0].clone()];
        let run = load_files(&[("r@a.csv", &twice[0]), ("r@b.csv", &twice[1])], &OPTIONS).unwrap();
        assert_eq!(run.measured.unwrap().repeated, 2);
    }

    #[test]
    fn ledgers_of_parts_are_added() {
        let part = |planned: u64, variant: &str| {
            let ledger = LEDGER.replace("\"planned\":8", &format!("\"planned\":{planned}"));
            format!(r#"{{"run":"r","variant_name":"{variant}","ledger":{ledger}}}"#)
        };
        let rows = with_header(ROW);
        let load = |a: &str, b: &str| {
            let files = [("r@0.csv", &rows[..]), ("r@0.json", a.as_bytes()), ("r@1.json", b.as_bytes())];
            load_files(&files, &OPTIONS)
        };
        assert_eq!(load(&part(8, "x"), &part(3, "x")).unwrap().planned(), 11);
        assert!(load(&part(8, "x"), &part(3, "y")).unwrap_err().to_string().contains("parts of two runs"));
    }

    #[test]
    fn a_manifest_alone_is_a_run() {
        let manifest = format!(
            r#"{{"run":"r","ledger":{LEDGER},"latencies":{{"headlines":[{{"name":"x","n":8,"over_slo":3,"percentiles":[
                {{"percentile":50.0,"ms":"> drain","samples_past":4}}],"max_ms":null}}]}}}}"#
        );
        let run = load_files(&[("r.json", manifest.as_bytes())], &OPTIONS).unwrap();
        assert_eq!((run.measured.is_none(), run.over_slo(), run.verdict()), (true, 3, Verdict::NotResolvable));
    }

    #[test]
    fn a_sound_run_is_judged() {
        let run = with_ledger(LEDGER, false);
        assert_eq!(
            (run.verdict(), run.over_slo()),
            (Verdict::NotResolvable, 3),
            "the unsent event is over the SLO, too"
        );
        assert_eq!(with_ledger(LEDGER, true).verdict(), Verdict::None("interrupted".to_owned()));
    }

    #[test]
    fn invalid_is_said_with_each_reason() {
        let run = with_ledger(&LEDGER.replace(r#""lost":0"#, r#""lost":1"#), false);
        assert_eq!(run.problems, ["acked is 7, but acked_consumed 7 + lost 1 are 8"]);
        let run = with_ledger(&LEDGER.replace(r#""stored":7"#, r#""stored":6"#), false);
        assert!(run.problems.contains(&"the ledger says stored 6, the rows say 7".to_owned()), "{:?}", run.problems);
        let run =
            with_ledger(&LEDGER.replace(r#""problems":[]"#, r#""problems":["a failed event was consumed"]"#), false);
        assert_eq!(run.verdict(), Verdict::None("INVALID".to_owned()));
        assert_eq!(with_ledger(&LEDGER.replace("true", "false"), false).problems.len(), 1);
    }

    #[test]
    fn a_manifest_that_is_none_is_told() {
        let error = load(SMALL, Some(r#"{"run":"small","ledger":{"planned":8}}"#)).unwrap_err().to_string();
        assert!(error.contains("small.json") && error.contains("missing field `sent`"), "{error}");
    }
}
