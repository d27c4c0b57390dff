//! Makes the runs of a search: one a step, on the cluster of the one before where that suits, and the curve of load and
//! latency written after each.

use std::{io, path::PathBuf};

use super::{Bisection, Search, SearchResult};
use crate::{
    event::schedule::hash,
    output::{progress::Progress, terminal::Unprinted},
    run::{ClusterSession, Finished, Request, RunError, Stop, run_on},
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
    /// The curve cannot be shown.
    #[error(transparent)]
    Unprinted(#[from] Unprinted),
}

/// Searches; `like` has all of a run but its name and variant, and `resolve` gives the variant with more overrides on top.
/// Returns what was found, also when `stop` has ended it early.
///
/// # Errors
/// A step that cannot be run or judged, or bounds that do not bracket. The curve so far is written all the same.
pub fn perform(
    search: &Search,
    like: &Request,
    resolve: &dyn Fn(&Layer) -> Result<Variant, VariantError>,
    stop: &Stop,
    progress: &Progress,
) -> Result<SearchResult, SearchError> {
    let bisection = match search.bounds {
        Some(bounds) => Bisection::between(bounds, search.setting.is_whole()),
        None => Bisection::from(search.setting.of(&like.variant), search.setting.is_whole()),
    };
    let time = jiff::Timestamp::now();
    let stamp = time.strftime("%Y%m%dT%H%M%SZ");
    let name = like.run.clone().unwrap_or_else(|| format!("{}-{}-{stamp}", like.name, search.setting.name()));
    let seed = like.variant.seed.unwrap_or(time.as_microsecond() as u64);
    let mut found = SearchResult::new(search, name, &like.out.join("searches"), bisection);
    let (mut session, mut told) = (None, false);
    while let Some(value) = found.bisection.next().map_err(SearchError::Bounds)? {
        let (nth, run) = found.next_run();
        let step = search.step(&like.variant, value, hash(seed, nth as u64, 0) >> 33);
        if !told && let Some(lengthened) = search.lengthened(&like.variant, value, &step) {
            progress.step(&lengthened);
            told = true;
        }
        progress.step(&format!("step {nth}: {} = {value}", search.setting.name()));
        let request = Request {
            variant: resolve(&step)?,
            overrides: like.overrides.clone().into_iter().chain(step.given()).collect(),
            run: Some(run),
            out: found.directory(),
            keep_rows: false,
            ..like.clone()
        };
        match measure(value, search, &mut session, &request, stop, progress)? {
            Some(finished) => found.take(value, finished, progress),
            None => found.interrupted = Some(value),
        }
        found.write()?;
        if nth == 1 {
            progress.step(&format!("the curve so far is in {}", found.path.display()));
        }
        if found.interrupted() {
            break;
        }
    }
    Ok(found)
}

/// One step; none when the user has ended it.
fn measure(
    value: f64,
    search: &Search,
    session: &mut Option<ClusterSession>,
    request: &Request,
    stop: &Stop,
    progress: &Progress,
) -> Result<Option<Finished>, SearchError> {
    let setting = search.setting.name();
    let finished = match run_on(session, request, stop, progress) {
        Err(RunError::Interrupted) => return Ok(None),
        Err(source) | Ok(Finished { unwritten: Some(source), .. }) => {
            return Err(SearchError::Run { setting, value, source: Box::new(source) });
        }
        Ok(finished) if finished.manifest.interrupted => return Ok(None),
        Ok(finished) => finished,
    };
    match finished.manifest.ledger.problems.first() {
        Some(why) => Err(SearchError::Invalid { setting, value, why: why.clone() }),
        None => Ok(Some(finished)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::run::null_run::tests::request;

    fn page(out: &Path) -> String {
        let mut files = fs::read_dir(out.join("searches")).unwrap().map(|entry| entry.unwrap().path());
        fs::read_to_string(files.find(|path| path.extension().is_some_and(|e| e == "md")).unwrap()).unwrap()
    }

    #[test]
    fn bounds_that_do_not_bracket_end_it_with_the_curve_so_far() {
        let out = tempfile::tempdir().unwrap();
        let load = |step: Layer| request(out.path(), Layer { connections: Some(1_000), ..step });
        let like = load(Layer { rate: Some(100.0), duration: "1s".parse().ok(), ..Layer::default() });
        let search: Search = "rate from 100 to 200 until p99.99 > 1h".parse().unwrap();
        let resolve = |step: &Layer| Ok(load(step.clone()).variant);
        let error = perform(&search, &like, &resolve, &Stop::default(), &Progress::default()).unwrap_err().to_string();
        assert!(error.starts_with("even 200 is within the limit"), "{error}");
        let page = page(out.path());
        assert_eq!(page.lines().filter(|line| line.contains("| within |")).count(), 3, "{page}");
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
        let found = perform(&search, &like, &resolve, &stop, &Progress::default()).unwrap();
        assert!(found.interrupted());
        let page = page(out.path());
        assert_eq!(page, found.markdown());
        assert!(page.contains("Interrupted: the run at rate = 200 was ended, and no other was made."), "{page}");
        assert!(page.contains("| 100 | 100000 | 100,000 |") && !page.contains("| 200 |"), "{page}");
    }
}
