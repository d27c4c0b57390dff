//! What a search has found: the curve of load and latency, and where it crosses the limit.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{Bisection, Search, SearchError, Side};
use crate::{
    machine::host,
    output::{
        progress::Progress,
        terminal::{print, say},
    },
    run::Finished,
    study::campaign::{
        table,
        validity::{Seen, Validity},
    },
};
use shasta_model::{atomic_file, number::thousands};

/// One step.
#[derive(Debug, Clone)]
struct Step {
    value: f64,
    run: String,
    per_s: f64,
    planned: u64,
    over_slo: u64,
    /// Mean, standard deviation and minimum in ms, of the events that have both stamps.
    moments_ms: [Option<f64>; 3],
    /// p50, p99 and the percentile of the limit, in ms.
    ms: [f64; 3],
    side: Side,
    /// How fast the cores were, as in a campaign's tables.
    work_us: Option<f64>,
    remark: String,
}

/// What a search has found so far.
#[derive(Debug, Clone)]
pub struct SearchResult {
    search: Search,
    name: String,
    /// All its runs are made by one process.
    machine: String,
    /// The page that has it.
    pub(super) path: PathBuf,
    pub(super) bisection: Bisection,
    steps: Vec<Step>,
    /// The value whose run the user ended, and the search with it.
    pub(super) interrupted: Option<f64>,
}

impl SearchResult {
    /// Nothing yet; the page will be in `directory`.
    pub(super) fn new(search: &Search, name: String, directory: &Path, bisection: Bisection) -> Self {
        let path = directory.join(format!("{name}.md"));
        let (search, machine) = (search.clone(), host::read().to_string());
        Self { search, name, machine, path, bisection, steps: Vec::new(), interrupted: None }
    }

    /// Where the manifests of its runs are.
    pub(super) fn directory(&self) -> PathBuf {
        self.path.with_extension("")
    }

    /// Name of the next run, whose number is counted from 1.
    pub(super) fn next_run(&self) -> (usize, String) {
        let nth = self.steps.len() + 1;
        (nth, format!("{}-{nth}", self.name))
    }

    /// Takes in what the run at `value` came out as.
    pub(super) fn take(&mut self, value: f64, finished: Finished, progress: &Progress) {
        let manifest = finished.manifest;
        let ms = [50.0, 99.0, self.search.percentile].map(|p| manifest.latencies.headline_ms(p).unwrap_or(f64::NAN));
        let side = if ms[2] <= self.search.limit_ms { Side::Within } else { Side::Past };
        let seconds = manifest.window_s().unwrap_or(f64::NAN);
        // Near the limit the harness has less to run on as well: told, and no reason to look away.
        let remark = Validity::default().against(&Seen::of(&manifest)).unwrap_or_default();
        progress.step(&format!("p{} {:.2} ms: {}", self.search.percentile, ms[2], word(side)));
        self.bisection.record(value, side);
        self.steps.push(Step {
            value,
            run: manifest.run,
            per_s: manifest.planned as f64 / seconds,
            planned: manifest.planned,
            over_slo: manifest.over_slo,
            moments_ms: manifest.latencies.headline_moments_ms(),
            ms,
            side,
            work_us: table::median(&table::sorted(manifest.harness.seconds.iter().map(|second| second.work_us))),
            remark,
        });
    }

    /// Writes the page.
    pub(super) fn write(&self) -> Result<(), SearchError> {
        let written = atomic_file::write(&self.path, self.markdown().as_bytes());
        written.map_err(|error| SearchError::File { path: self.path.clone(), source: error.into() })
    }

    /// Prints the page, and which file has it.
    ///
    /// # Errors
    /// It cannot be printed.
    pub fn report(&self) -> Result<(), SearchError> {
        print(self.markdown())?;
        say(format_args!("wrote {}", self.path.display()));
        Ok(())
    }

    /// Whether the user has ended it.
    pub fn interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// The load–latency curve and where it crosses the limit.
    pub fn markdown(&self) -> String {
        let (setting, p) = (self.search.setting.name(), self.search.percentile);
        let (name, search, border, machine) = (&self.name, &self.search, self.border(), &self.machine);
        let mut page = format!("# Search `{name}`: {search}\n\nOn {machine}. {border}\n\n");
        if let Some(value) = self.interrupted {
            let _ = writeln!(page, "Interrupted: the run at {setting} = {value} was ended, and no other was made.\n");
        }
        let _ = writeln!(
            page,
            "| {setting} | events/s | planned | mean | SD | min | p50 | p99 | p{p} | ≥ 100 ms | | work, µs | run | remark |"
        );
        page += "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|---|---|\n";
        let mut steps: Vec<&Step> = self.steps.iter().collect();
        steps.sort_by(|a, b| a.value.total_cmp(&b.value));
        for Step { value, run, per_s, planned, over_slo, moments_ms, ms, side, work_us, remark } in steps {
            let moments = moments_ms.map(table::ms).join(" | ");
            let (ms, work) = (ms.map(|ms| table::ms(Some(ms))).join(" | "), table::ms(*work_us));
            let (planned, over, side) = (thousands(*planned), thousands(*over_slo), word(*side));
            let figures = format!("{value} | {per_s:.0} | {planned} | {moments} | {ms} | {over} | {side} | {work}");
            let _ = writeln!(page, "| {figures} | {run} | {remark} |");
        }
        page
    }

    /// Where the limit is crossed, in words.
    fn border(&self) -> String {
        let Self { search, bisection, .. } = self;
        let times = |value: f64, side: Side| {
            let (so, all) = (bisection.runs_that_were(side, value), bisection.runs(value));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_in_the_order_of_load_and_says_where_it_crosses() {
        let search: Search = "rate from 1 to 4 until p99.99 > 100ms".parse().unwrap();
        let bisection = Bisection::between([1.0, 4.0], false);
        let mut found = SearchResult::new(&search, "s".to_owned(), Path::new(""), bisection);
        assert!(found.markdown().contains("The limit is not bracketed yet."));
        for (value, p9999, side) in
            [(1.0, 20.0, Side::Within), (4.0, f64::INFINITY, Side::Past), (2.0, 50.0, Side::Within)]
        {
            found.bisection.record(value, side);
            let (run, remark, ms) = (format!("s-{value}"), String::new(), [1.0, 2.0, p9999]);
            let work_us = Some(24.5);
            let moments_ms = [Some(3.25), Some(1.5), None];
            found.steps.push(Step {
                value,
                run,
                per_s: value * 10.0,
                planned: 9,
                over_slo: 1,
                moments_ms,
                ms,
                side,
                work_us,
                remark,
            });
        }
        let page = found.markdown();
        assert!(page.contains("was within at 2 in 1 of 1 runs, past at 4 in 1 of 1 runs."), "{page}");
        let last: Vec<&str> = page.lines().skip(6).collect();
        assert_eq!(
            last[1], "| 2 | 20 | 9 | 3.25 | 1.50 | – | 1.00 | 2.00 | 50.00 | 1 | within | 24.50 | s-2 |  |",
            "{page}"
        );
        assert!(last[2].contains("| > drain | 1 | past | 24.50 | s-4 |"), "{page}");
    }
}
