//! The ten published load tests (`notebooks-data/published.csv`, compiled in); [`tables`] lays a run beside one.
//!
//! They were published without sample counts. A pair's samples are derived from the load: producers per instance × rate
//! × duration ÷ workers, which assumes that the workers shared each instance's events evenly. Had all events of a
//! producer gone to one worker instead, the smallest pair would hold rate × duration (43,200 or 21,600), and no
//! percentile but docker-4p-24w's D3 would cross the 10 samples past it that a ratio takes.

pub mod tables;

use std::sync::LazyLock;

use crate::spread::Spread;
use shasta_model::percentile::Value;

/// The tables, as they were published.
const FILE: &str = include_str!("../../../notebooks-data/published.csv");
/// The file's first line.
const HEADER: &str = "name,producers_per_instance,workers,rate_per_s,duration_h,broker_instance,heap_gb,assumed,metric,\
                      median,mean,sd,max,min";
/// The metrics, and of how many samples one lies past each.
const METRICS: [(&str, f64); 4] = [("D2", 100.0), ("D3", 1_000.0), ("D4", 10_000.0), ("D5", 100_000.0)];
/// EC2 instances that the published events came from; 8 more ran the workers.
pub const PRODUCING_INSTANCES: u64 = 128;

/// One published load test.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its name, which is also the name of the variant that repeats it.
    pub name: String,
    /// Connections on each producing instance.
    pub producers_per_instance: u64,
    /// Workers of the whole test.
    pub workers: u64,
    /// Events a second of each connection.
    pub rate_per_s: f64,
    /// Hours.
    pub duration_h: f64,
    /// Amazon MSK's broker.
    pub broker_instance: String,
    /// The brokers' heap; none where MSK's default was kept, which is not published.
    pub heap_gb: Option<u64>,
    /// The column that was not published and is assumed.
    pub assumed: Option<String>,
    /// D2 to D5 over the pairs, in ms.
    pub metrics: [Spread; 4],
}

/// What is wrong with a file of published tables.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("published.csv, line {line}: {what}")]
pub struct Error {
    /// Line, the header being 1.
    line: usize,
    /// What is wrong.
    what: String,
}

impl Published {
    /// Samples in each (producing instance, worker) pair, if the workers shared each instance's events evenly.
    pub fn samples_a_pair(&self) -> f64 {
        self.producers_per_instance as f64 * self.rate_per_s * self.duration_h * 3600.0 / self.workers as f64
    }

    /// How many of them lie past the percentile of metric `k`, D2 being 0: a derived count, so no whole number.
    pub fn samples_past(&self, k: usize) -> f64 {
        self.samples_a_pair() / METRICS[k].1
    }

    /// Connections of the whole test.
    pub fn connections(&self) -> u64 {
        self.producers_per_instance.saturating_mul(PRODUCING_INSTANCES)
    }
}

/// The ten tests, in the order of their file.
pub fn all() -> &'static [Published] {
    static ALL: LazyLock<Vec<Published>> =
        LazyLock::new(|| parse(FILE).expect("the file is compiled in, and a test has read it"));
    &ALL
}

/// The test of that name.
pub fn find(name: &str) -> Option<&'static Published> {
    all().iter().find(|published| published.name == name)
}

/// Reads a file of published tables; every line must be whole, and a test's four lines must agree on its load.
fn parse(text: &str) -> Result<Vec<Published>, Error> {
    let mut lines = text.lines().enumerate().map(|(k, line)| (k + 1, line));
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(Error { line: 1, what: format!("the header is not `{HEADER}`") });
    }
    let lines: Vec<(usize, &str)> = lines.collect();
    let mut tests: Vec<Published> = Vec::new();
    for four in lines.chunks(METRICS.len()) {
        let (first, _) = four[0];
        let parsed = four.iter().map(|&(line, text)| fields(text).map_err(|what| Error { line, what }));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = parsed.iter().map(|(_, metric, _)| metric.as_str()).collect();
        let [(test, _, d2), (second, _, d3), (third, _, d4), (fourth, _, d5)] = &parsed[..] else {
            return Err(Error { line: first, what: "a test without its four metrics".to_owned() });
        };
        if names != METRICS.map(|(name, _)| name) || [second, third, fourth].iter().any(|other| *other != test) {
            return Err(Error {
                line: first,
                what: "four lines that are not D2 to D5 of one test and load".to_owned(),
            });
        }
        if tests.iter().any(|earlier| earlier.name == test.name) {
            return Err(Error { line: first, what: format!("{} a second time", test.name) });
        }
        tests.push(Published { metrics: [*d2, *d3, *d4, *d5], ..test.clone() });
    }
    Ok(tests)
}

/// A line's test (without metrics), metric and figures.
fn fields(line: &str) -> Result<(Published, String, Spread), String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [name, producers, workers, rate, duration, broker, heap, assumed, metric, figures @ ..] = &fields[..] else {
        return Err(format!("{} fields", fields.len()));
    };
    let &[median, mean, sd, max, min] = figures else {
        return Err(format!("{} figures instead of 5", figures.len()));
    };
    let whole = |text: &str| text.parse().ok().filter(|&n: &u64| n > 0).ok_or(format!("`{text}` is no count above 0"));
    let positive = |text: &str| {
        let number = text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0);
        number.ok_or(format!("`{text}` is no number above 0"))
    };
    let ms = |text: &str| positive(text).map(Value::Finite);
    let test = Published {
        name: (*name).to_owned(),
        producers_per_instance: whole(producers)?,
        workers: whole(workers)?,
        rate_per_s: positive(rate)?,
        duration_h: positive(duration)?,
        broker_instance: (*broker).to_owned(),
        heap_gb: if heap.is_empty() { None } else { Some(whole(heap)?) },
        assumed: (!assumed.is_empty()).then(|| (*assumed).to_owned()),
        metrics: [Spread::over(&[]); 4],
    };
    let spread = Spread { median: ms(median)?, mean: ms(mean)?, sd: ms(sd)?, max: ms(max)?, min: ms(min)? };
    Ok((test, (*metric).to_owned(), spread))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUM: f64 = 581_994.02;

    fn ms(spread: &Spread) -> [f64; 5] {
        [spread.median, spread.mean, spread.sd, spread.max, spread.min].map(|value| value.as_ms().unwrap())
    }

    #[test]
    fn the_ten_tests_are_as_published() {
        assert_eq!(all().len(), 10);
        assert_eq!(ms(&find("8p-2pps").unwrap().metrics[0]), [37.0, 37.34, 0.81, 40.0, 35.0]);
        assert_eq!(ms(&find("4p-2pps-v2").unwrap().metrics[1]), [2496.11, 2612.54, 1715.5, 41508.18, 978.91]);
        assert_eq!(ms(&find("docker-4p-24w").unwrap().metrics[3]), [20300.27, 18921.16, 2803.21, 21505.16, 10891.0]);
        assert_eq!((find("gc64GB").unwrap().heap_gb, find("8xlarge").unwrap().heap_gb), (Some(64), None));
        // `awk -F, 'NR > 1 { for (k = 10; k <= 14; k++) s += $k } END { printf "%.2f", s }' notebooks-data/published.csv`
        let sum: f64 = all().iter().flat_map(|test| &test.metrics).flat_map(ms).sum();
        assert_eq!((sum * 100.0).round() / 100.0, SUM, "a digit was changed");
        for test in all() {
            for [median, mean, _, max, min] in test.metrics.iter().map(ms) {
                assert!(min <= median && median <= max && min <= mean && mean <= max, "{}", test.name);
            }
        }
    }

    #[test]
    fn samples_a_pair_follow_from_the_load() {
        let samples = |name: &str| find(name).unwrap().samples_a_pair();
        for name in ["8p-2pps", "8p-1pps", "8xlarge", "gc64GB"] {
            assert_eq!((samples(name), samples(name) / 10_000.0), (43_200.0, 4.32), "{name}");
        }
        let others = ["4p-2pps-v1", "16p-gc64GB", "4p-half-pps-gc64GB", "docker-4p-24w"].map(samples);
        assert_eq!(others, [21_600.0, 86_400.0, 10_800.0, 3_600.0]);
    }

    #[test]
    fn a_damaged_file_is_told_by_its_line() {
        let told = |from: &str, to: &str| parse(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(told("name,", "names,").contains("line 1: the header"));
        assert!(told("37.34", "3x").contains("line 2: `3x` is no number"));
        assert!(told("37.34", "NaN").contains("line 2: `NaN`"));
        assert!(told("37.34,", "").contains("line 2: 4 figures"));
        assert!(told(",8,8,2,6", ",8,0,2,6").contains("line 2: `0` is no count"));
        assert!(told("8p-2pps,8,8,2,6", "8p-2pps,8,8,2,7").contains("line 2: four lines"));
        assert!(told("4p-2pps-v1,", "8p-2pps,").contains("line 6: four lines"));
        assert!(told("D2", "D3").contains("line 2: four lines"));
        let short: Vec<&str> = FILE.lines().take(4).collect();
        assert!(parse(&short.join("\n")).unwrap_err().to_string().contains("without its four metrics"));
        assert_eq!(parse(&FILE.replace('\n', "\r\n")).unwrap(), all(), "as Git may check it out on Windows");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-z,.\n-]{0,200}") {
            let _ = parse(&format!("{HEADER}\n{text}"));
        }
    }
}
