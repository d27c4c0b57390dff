//! The sample of real rows in `notebooks-data/` gives what NumPy makes of it: the figures that `scripts/sample` prints.

use std::path::Path;

use crate::{
    input,
    run::{Options, Run},
    spread::Spread,
};
use shasta_model::{
    columns::PUBLISHED_TO_CONSUMED,
    percentile::{PERCENTILES, Value, round_2},
};

fn sample(file: &str) -> Run {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../notebooks-data").join(file);
    let recorded = input::find(vec![path]).unwrap();
    Run::load(&recorded[0], &Options { latency: PUBLISHED_TO_CONSUMED, skip_bad_rows: false }, &|_| ()).unwrap()
}

fn ms(value: Value) -> f64 {
    round_2(value.as_ms().unwrap())
}

#[test]
fn percentiles_and_deviations_are_those_of_numpy() {
    let run = sample("sample-goal.parquet");
    assert!(run.manifest.is_none() && run.unfit().unwrap().starts_with("no manifest"));
    let measured = run.measured.unwrap();
    assert_eq!((measured.rows, measured.repeated, measured.pairs.unplaced), (19_992, 0, 0));
    let headlines = measured.headlines.each_ref().map(|latencies| {
        assert_eq!((latencies.n(), latencies.missing(), latencies.over_slo()), (19_992, 0, 0));
        let figures = PERCENTILES.map(|p| ms(latencies.percentile_ms(p).value));
        [&figures[..], &[ms(latencies.max_ms())]].concat()
    });
    let numpy = [
        [6.02, 12.35, 33.65, 48.05, 52.06, 56.87, 57.83],
        [5.14, 11.01, 31.12, 45.52, 51.71, 56.35, 57.51],
        [4.81, 10.51, 30.84, 44.40, 51.66, 56.32, 57.46],
    ];
    assert_eq!(headlines, numpy);
    let samples: Vec<(u64, f64)> =
        measured.pairs.pairs.iter().map(|pair| (pair.latencies.n(), ms(pair.latencies.median_ms()))).collect();
    assert_eq!(samples, [(5087, 4.81), (5198, 4.72), (5024, 4.82), (4683, 4.93)]);
    let deviations = measured.pairs.metrics(&measured.pooled).map(|metric| {
        let Spread { median, mean, sd, max, min } = metric.spread;
        [median, mean, sd, max, min].map(ms)
    });
    let numpy = [
        [25.52, 26.14, 1.16, 28.14, 25.37],
        [38.74, 39.12, 1.12, 41.00, 38.01],
        [44.94, 45.59, 2.57, 49.73, 42.76],
        [45.93, 46.87, 3.39, 52.36, 43.27],
    ];
    assert_eq!(deviations, numpy);
}

#[test]
fn the_lines_to_read_are_the_first_of_them() {
    assert_eq!(sample("sample-goal-head.csv").measured.unwrap().rows, 300);
}
