//! Conducts a search for real: one run a step, on the ground of the one before where that suits, and the curve of load and
//! latency written after each.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Bisection, Search, Side};
use crate::{
    campaign::validity::{Seen, Validity},
    live::Live,
    percentile::round_2,
    run::{Finished, Ground, Request, RunError, Stop, run_on},
    schedule::hash,
    screen::thousands,
    variant::{Layer, Variant, VariantError},
};

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// A step is no variant.
    #[error(transparent)]
    Variant(#[from] VariantError),
    /// A step could not be run.
    #[error("at {setting} = {value}: {source}", setting = .setting, value = .value)]
    Run {
        /// What is varied.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// Why not.
        source: Box<RunError>,
    },
    /// A step was measured, and cannot be judged.
    #[error("at {setting} = {value} a run is INVALID, so the search ends: {why}", setting = .setting, value = .value)]
    Invalid {
        /// What is varied.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// Why.
        why: String,
    },
    /// The bounds do not bracket the limit.
    #[error("{0}, as in 'connections from 250 to 4000 until p99.99 > 100ms'")]
    Bounds(String),
    /// The curve cannot be written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// One step.
#[derive(Debug, Clone)]
struct Step {
    value: f64,
    run: String,
    per_s: f64,
    planned: u64,
    over_slo: u64,
    /// p50, p99 and the percentile of the limit, in ms.
    ms: [f64; 3],
    side: Side,
    remark: String,
}

/// What a search has found so far.
#[derive(Debug, Clone)]
pub struct Found {
    search: Search,
    name: String,
    bisection: Bisection,
    steps: Vec<Step>,
    /// The value whose run the user ended, and the search with it.
    interrupted: Option<f64>,
}

/// Searches; `like` has all of a run but its name and variant, and `resolve` gives the variant with more overrides on top.
/// Returns what was found, and the file that has it; both may be of a search that `stop` has ended early.
///
/// # Errors
/// A step that cannot be run or judged, or bounds that do not bracket. The curve so far is written all the same.
pub fn perform(
    search: &Search,
    like: &Request,
    resolve: &dyn Fn(&Layer) -> Result<Variant, VariantError>,
    stop: &Stop,
    live: &Live,
) -> Result<(Found, PathBuf), SearchError> {
    let bisection = match search.bounds {
        Some(bounds) => Bisection::between(bounds, search.setting.is_whole()),
        None => Bisection::from(search.setting.of(&like.variant), search.setting.is_whole()),
    };
    let time = jiff::Timestamp::now();
    let stamp = time.strftime("%Y%m%dT%H%M%SZ");
    let name = like.run.clone().unwrap_or_else(|| format!("{}-{}-{stamp}", like.name, search.setting.name()));
    let seed = like.variant.seed.unwrap_or(time.as_microsecond() as u64);
    let path = like.out.join("searches").join(format!("{name}.md"));
    let mut found = Found { search: search.clone(), name, bisection, steps: Vec::new(), interrupted: None };
    let (mut ground, mut told) = (None, false);
    while let Some(value) = found.bisection.next().map_err(SearchError::Bounds)? {
        let nth = found.steps.len();
        let step = search.step(&like.variant, value, hash(seed, nth as u64 + 1, 0) >> 33);
        if !told && let Some(lengthened) = search.lengthened(&like.variant, value, &step) {
            live.step(&lengthened);
            told = true;
        }
        live.step(&format!("step {}: {} = {value}", nth + 1, search.setting.name()));
        let request = Request {
            variant: resolve(&step)?,
            run: Some(format!("{}-{}", found.name, nth + 1)),
            out: path.with_extension(""),
            keep_rows: false,
            ..like.clone()
        };
        match measure(value, search, &mut ground, &request, stop, live)? {
            Some(finished) => found.take(value, finished, live),
            None => found.interrupted = Some(value),
        }
        found.write(&path)?;
        if found.interrupted() {
            break;
        }
    }
    Ok((found, path))
}

/// One step; none when the user has ended it.
fn measure(
    value: f64,
    search: &Search,
    ground: &mut Option<Ground>,
    request: &Request,
    stop: &Stop,
    live: &Live,
) -> Result<Option<Finished>, SearchError> {
    let setting = search.setting.name();
    let finished = match run_on(ground, request, stop, live) {
        Err(RunError::Interrupted) => return Ok(None),
        Err(source) => return Err(SearchError::Run { setting, value, source: Box::new(source) }),
        Ok(finished) if finished.manifest.interrupted => return Ok(None),
        Ok(finished) => finished,
    };
    match finished.manifest.ledger.problems.first() {
        Some(why) => Err(SearchError::Invalid { setting, value, why: why.clone() }),
        None => Ok(Some(finished)),
    }
}

impl Found {
    fn take(&mut self, value: f64, finished: Finished, live: &Live) {
        let manifest = finished.manifest;
        let ms = [50.0, 99.0, self.search.percentile].map(|p| manifest.latencies.headline_ms(p).unwrap_or(f64::NAN));
        let side = if ms[2] <= self.search.limit_ms { Side::Within } else { Side::Past };
        let seconds = (manifest.window_us[1] - manifest.window_us[0]) as f64 / 1e6;
        // Near the limit the harness has less to run on as well: told, and no reason to look away.
        let remark = Validity::default().against(&Seen::of(&manifest)).unwrap_or_default();
        live.step(&format!("p{} {:.2} ms: {}", self.search.percentile, ms[2], word(side)));
        self.bisection.record(value, side);
        self.steps.push(Step {
            value,
            run: manifest.run,
            per_s: manifest.planned as f64 / seconds,
            planned: manifest.planned,
            over_slo: manifest.over_slo,
            ms,
            side,
            remark,
        });
    }

    fn write(&self, path: &Path) -> Result<(), SearchError> {
        let written =
            fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).and_then(|()| fs::write(path, self.markdown()));
        written.map_err(|source| SearchError::File { path: path.into(), source })
    }

    /// Whether the user has ended it.
    pub fn interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// The load–latency curve and where it crosses the limit.
    pub fn markdown(&self) -> String {
        let (setting, p) = (self.search.setting.name(), self.search.percentile);
        let mut page = format!("# Search `{}`: {}\n\n{}\n\n", self.name, self.search, self.border());
        if let Some(value) = self.interrupted {
            let _ = writeln!(page, "Interrupted: the run at {setting} = {value} was ended, and no other was made.\n");
        }
        let _ = writeln!(page, "| {setting} | events/s | planned | p50 | p99 | p{p} | ≥ 100 ms | | run | remark |");
        page += "|---:|---:|---:|---:|---:|---:|---:|---|---|---|\n";
        let mut steps: Vec<&Step> = self.steps.iter().collect();
        steps.sort_by(|a, b| a.value.total_cmp(&b.value));
        for Step { value, run, per_s, planned, over_slo, ms, side, remark } in steps {
            let ms = ms.map(shown).join(" | ");
            let (planned, over, side) = (thousands(*planned), thousands(*over_slo), word(*side));
            let _ = writeln!(page, "| {value} | {per_s:.0} | {planned} | {ms} | {over} | {side} | {run} | {remark} |");
        }
        page
    }

    /// Where the limit is crossed, in words.
    fn border(&self) -> String {
        let Self { search, bisection, .. } = self;
        let times = |value: f64, side: Side| {
            let of = bisection.tried().iter().filter(|(other, _)| *other == value);
            let (all, so) = (of.clone().count(), of.filter(|(_, came)| *came == side).count());
            format!("{} at {value} in {so} of {all} runs", word(side))
        };
        match bisection.bracket() {
            [Some(within), Some(past)] => format!(
                "p{} of scheduled → stored was {}, {}.",
                search.percentile,
                times(within, Side::Within),
                times(past, Side::Past)
            ),
            _ => "The limit is not bracketed yet.".to_owned(),
        }
    }
}

fn word(side: Side) -> &'static str {
    match side {
        Side::Within => "within",
        Side::Past => "past",
    }
}

fn shown(ms: f64) -> String {
    if ms.is_infinite() { "> drain".to_owned() } else { format!("{:.2}", round_2(ms)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::null::tests::request;

    #[test]
    fn bounds_that_do_not_bracket_end_it_with_the_curve_so_far() {
        let out = tempfile::tempdir().unwrap();
        let load = |step: Layer| request(out.path(), Layer { connections: Some(1_000), ..step });
        let like = load(Layer { rate: Some(100.0), duration: "1s".parse().ok(), ..Layer::default() });
        let search: Search = "rate from 100 to 200 until p99.99 > 1h".parse().unwrap();
        let resolve = |step: &Layer| Ok(load(step.clone()).variant);
        let error = perform(&search, &like, &resolve, &Stop::default(), &Live::default()).unwrap_err().to_string();
        assert!(error.starts_with("even 200 is within the limit"), "{error}");
        let file = fs::read_dir(out.path().join("searches")).unwrap().map(|entry| entry.unwrap().path());
        let pages: Vec<_> = file.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
        let page = fs::read_to_string(&pages[0]).unwrap();
        assert_eq!(page.lines().filter(|line| line.contains("| within |")).count(), 2, "{page}");
    }

    #[test]
    fn one_that_is_interrupted_leaves_the_curve_so_far() {
        let out = tempfile::tempdir().unwrap();
        let load = |step: Layer| request(out.path(), Layer { connections: Some(1_000), ..step });
        let like = load(Layer { rate: Some(100.0), duration: "1s".parse().ok(), ..Layer::default() });
        let search: Search = "rate from 100 to 200 until p99.99 > 1h".parse().unwrap();
        let stop = Stop::default();
        let resolve = |step: &Layer| {
            if step.rate == Some(200.0) {
                stop.request();
            }
            Ok(load(step.clone()).variant)
        };
        let (found, path) = perform(&search, &like, &resolve, &stop, &Live::default()).unwrap();
        assert!(found.interrupted());
        let page = fs::read_to_string(path).unwrap();
        assert_eq!(page, found.markdown());
        assert!(page.contains("Interrupted: the run at rate = 200 was ended, and no other was made."), "{page}");
        assert!(page.contains("| 100 | 100000 | 100,000 |") && !page.contains("| 200 |"), "{page}");
    }

    #[test]
    fn the_curve_is_in_the_order_of_load_and_says_where_it_crosses() {
        let search: Search = "rate from 1 to 4 until p99.99 > 100ms".parse().unwrap();
        let bisection = Bisection::between([1.0, 4.0], false);
        let mut found = Found { search, name: "s".to_owned(), bisection, steps: vec![], interrupted: None };
        assert!(found.markdown().contains("The limit is not bracketed yet."));
        for (value, p9999, side) in
            [(1.0, 20.0, Side::Within), (4.0, f64::INFINITY, Side::Past), (2.0, 50.0, Side::Within)]
        {
            found.bisection.record(value, side);
            let (run, remark, ms) = (format!("s-{value}"), String::new(), [1.0, 2.0, p9999]);
            found.steps.push(Step { value, run, per_s: value * 10.0, planned: 9, over_slo: 1, ms, side, remark });
        }
        let page = found.markdown();
        assert!(page.contains("was within at 2 in 1 of 1 runs, past at 4 in 1 of 1 runs."), "{page}");
        let last: Vec<&str> = page.lines().skip(6).collect();
        assert_eq!(last[1], "| 2 | 20 | 9 | 1.00 | 2.00 | 50.00 | 1 | within | s-2 |  |", "{page}");
        assert!(last[2].contains("| > drain | 1 | past | s-4 |"), "{page}");
    }
}
