//! How many rows a second does `analyze` read, by format and by size, beside polars alone on the same file? D2–D5 of each
//! (source, destination) pair, and the whole report.
//!
//! Polars alone is what this build of it has: its Parquet reader, and the quantiles of a group-by. Its CSV reader and its
//! lazy engine are not among the features, and switching them on would make every build minutes longer for this bench,
//! so CSV has nothing beside it here. `scripts/against-duckdb` holds both formats against DuckDB.

use std::{fmt::Write as _, fs, hint::black_box, path::Path, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use polars::prelude::*;
use shasta_analyze::{
    deviations,
    input::{self, Recorded},
    pairs::PAIR_PERCENTILES,
    run::{Options, Run},
};
use shasta_model::{
    columns::{AFTER_CONSUME_US, BEFORE_PUBLISH_US, COLUMNS, DESTINATION, PUBLISHED_TO_CONSUMED, SOURCE},
    percentile::Value,
};

// As in `analyze`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SOURCES: u64 = 8;
const WORKERS: u64 = 4;
const OPTIONS: Options = Options { latency: PUBLISHED_TO_CONSUMED, skip_bad_rows: false };

/// A number that looks random and depends on its argument alone.
fn scattered(k: u64) -> u64 {
    let word = k.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}

/// Numbers of the host and of the worker, and the integers but for the last, which is always missing.
type Line = (u64, u64, [i64; 11]);

/// Row `k` of a run of 1,000 producers.
fn row(k: u64) -> Line {
    let (producer, partition) = (k % 1_000, k % 1_000 % 24);
    let scheduled = 1_795_591_769_000_000 + k * 100 + scattered(k) % 1_000;
    // Long-tailed: one event in a thousand is some ten times slower.
    let latency = 1_500 + scattered(k + 7) % 3_000 + if scattered(k + 3).is_multiple_of(1_000) { 40_000 } else { 0 };
    let before = scheduled + 40;
    let numbers = [
        producer,
        producer,
        partition,
        k / 24,
        k / 1_000,
        scheduled,
        before,
        before + latency / 2,
        (scheduled + latency / 3) / 1_000,
        before + latency,
        before + latency + 500,
    ];
    (producer % SOURCES, partition % WORKERS, numbers.map(|number| number as i64))
}

fn csv(rows: u64) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for k in 0..rows {
        let (source, destination, numbers) = row(k);
        write!(text, "p{source},w{destination}").expect("a String takes every write");
        numbers.iter().for_each(|number| write!(text, ",{number}").expect("a String takes every write"));
        text.push_str(",\n");
    }
    text
}

fn parquet(rows: u64, path: &Path) {
    let all: Vec<_> = (0..rows).map(row).collect();
    let names = |column: &str, name: &dyn Fn(&Line) -> String| {
        Column::new(column.into(), all.iter().map(name).collect::<Vec<_>>())
    };
    let mut columns = vec![
        names(COLUMNS[0], &|(source, _, _)| format!("p{source}")),
        names(COLUMNS[1], &|(_, destination, _)| format!("w{destination}")),
    ];
    for (nth, &column) in COLUMNS[2..13].iter().enumerate() {
        columns.push(Column::new(column.into(), all.iter().map(|(_, _, numbers)| numbers[nth]).collect::<Vec<_>>()));
    }
    columns.push(Column::new(COLUMNS[13].into(), vec![None::<i64>; all.len()]));
    let mut frame = DataFrame::new(all.len(), columns).expect("all columns are of one length");
    let file = fs::File::create(path).expect("the temporary directory can be written");
    ParquetWriter::new(file)
        .with_compression(ParquetCompression::Zstd(None))
        .with_row_group_size(Some(1 << 20))
        .finish(&mut frame)
        .expect("the temporary directory can be written");
}

/// Quantiles of each pair, by polars alone; ms, one frame a percentile.
#[expect(deprecated, reason = "what is to be used instead is in the lazy engine, which this build does not have")]
fn by_polars(path: &Path) -> Vec<DataFrame> {
    let columns = [SOURCE, DESTINATION, BEFORE_PUBLISH_US, AFTER_CONSUME_US].map(str::to_owned).to_vec();
    let file = fs::File::open(path).expect("it was written here");
    let mut frame = ParquetReader::new(file).with_columns(Some(columns)).finish().expect("it was written here");
    let column = |name: &str| frame.column(name).expect("it was asked for").as_materialized_series().clone();
    let us = (&column(AFTER_CONSUME_US) - &column(BEFORE_PUBLISH_US)).expect("both are integers");
    let ms = us.cast(&DataType::Float64).expect("integers are numbers") / 1_000.0;
    frame.with_column(Column::from(ms.with_name("ms".into()))).expect("it is as long as the others");
    let groups = frame.group_by([SOURCE, DESTINATION]).expect("both are columns").select(["ms"]);
    let quantile = |p: f64| groups.quantile(p / 100.0, QuantileMethod::Linear).expect("they are numbers");
    PAIR_PERCENTILES.into_iter().map(quantile).collect()
}

/// The largest and smallest median of the pairs, in ms: enough to see that both read the same.
fn medians(run: &Run) -> (f64, f64) {
    let pairs = &run.measured.as_ref().expect("there are rows").pairs;
    assert_eq!(pairs.pairs.len(), (SOURCES * WORKERS / 4) as usize, "producers of a host meet every fourth worker");
    let ms = |value: Value| value.as_ms().expect("there are pairs");
    (ms(pairs.medians().min), ms(pairs.medians().max))
}

fn recorded(path: &Path) -> Recorded {
    input::find(vec![path.to_owned()]).expect("it was written here").remove(0)
}

fn rows_per_second(criterion: &mut Criterion) {
    let test = std::env::args().any(|argument| argument == "--test") || !std::env::args().any(|a| a == "--bench");
    let directory = tempfile::tempdir().expect("the temporary directory can be written");
    for (group, whole) in [("analyze, D2–D5", false), ("analyze, whole report", true)] {
        let mut group = criterion.benchmark_group(group);
        group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
        let sizes: &[u64] = if test { &[10_000] } else { &[100_000, 1_000_000] };
        for &rows in sizes {
            group.throughput(Throughput::Elements(rows));
            let path = |ending: &str| directory.path().join(format!("rows-{rows}.{ending}"));
            fs::write(path("csv"), csv(rows)).expect("the temporary directory can be written");
            parquet(rows, &path("parquet"));
            let runs = ["csv", "parquet"]
                .map(|ending| Run::load(&recorded(&path(ending)), &OPTIONS, &|_| ()).expect("it was written here"));
            assert_eq!(medians(&runs[0]), medians(&runs[1]));
            for ending in ["csv", "parquet"] {
                let recorded = recorded(&path(ending));
                group.bench_function(BenchmarkId::new(ending, rows), |bencher| {
                    bencher.iter(|| match whole {
                        true => drop(black_box(Run::load(&recorded, &OPTIONS, &|_| ()).expect("it can be read"))),
                        false => drop(black_box(deviations::of(&recorded, &OPTIONS, &|_| ()).expect("it can be read"))),
                    });
                });
            }
            if !whole {
                let first = by_polars(&path("parquet")).remove(0);
                let ms = first.columns().last().expect("the quantile comes last").as_materialized_series().clone();
                let ms: Vec<f64> = ms.f64().expect("it is in ms").iter().flatten().collect();
                let (min, max) =
                    (ms.iter().copied().fold(f64::INFINITY, f64::min), ms.iter().copied().fold(0.0, f64::max));
                let ours = medians(&runs[1]);
                // Polars interpolates in another order, which the last digit shows.
                assert!((min - ours.0).abs().max((max - ours.1).abs()) < 1e-9, "{min} to {max}, not {ours:?}");
                group.bench_function(BenchmarkId::new("parquet, polars alone", rows), |bencher| {
                    bencher.iter(|| by_polars(&path("parquet")));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, rows_per_second);
criterion_main!(benches);
