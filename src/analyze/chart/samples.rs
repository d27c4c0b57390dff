//! Charts of data like a run's, for tests and for people who look at them.

use super::{
    Bucket, Chart, Curve, DeviationBars, Deviations, Figure, LoadLatency, LoadRun, LoadSeries, OverTime, PairHeat,
    PercentileCurve, Second, Span, StageBands, percentile_curve,
};

const CAPTION: &str = "Run goal-20261125T072845Z on local processes, n = 600,000 planned events in 600 s, 4 pairs.";

/// A latency like those of a run: a body around `base_ms` and a tail that grows tenfold over four nines.
fn latency_ms(base_ms: f64, p: f64) -> f64 {
    let nines = -(1.0 - p / 100.0).log10();
    base_ms * (0.2 + nines.powf(0.8) * 2.4)
}

/// 0 to 1, the same for the same k.
fn noise(k: u64) -> f64 {
    (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24)
}

/// Three curves, one of which leaves.
pub fn curves() -> PercentileCurve {
    let curve = |name: &str, n, base, lost_from: f64| {
        let value = |p| if p >= lost_from { f64::INFINITY } else { latency_ms(base, p) };
        Curve {
            name: name.to_owned(),
            n,
            points: percentile_curve::percentiles(n).into_iter().map(|p| (p, value(p))).collect(),
        }
    };
    PercentileCurve {
        title: "Latency by percentile: goal-20261125T072845Z".to_owned(),
        caption: CAPTION.to_owned(),
        curves: vec![
            curve("goal-20261125T072845Z scheduled → stored", 600_000, 8.0, 100.0),
            curve("goal-20261125T072845Z before_publish → consumed (as published)", 600_000, 5.0, 100.0),
            curve("laptop-20261125T064322Z scheduled → stored", 120_000, 20.0, 99.995),
        ],
    }
}

fn bars(sets: usize) -> DeviationBars {
    let set = |k: usize| {
        let figure = |d: usize| {
            let median_ms = 18.0 * 5_f64.powi(d as i32) * (0.3 + noise((k * 4 + d) as u64));
            Some(Figure { median_ms, min_ms: median_ms * 0.4, max_ms: median_ms * 2.5, few: d == 3 })
        };
        let name =
            if k.is_multiple_of(2) { format!("published variant-{k}") } else { format!("run-{k}-20261125T072845Z") };
        Deviations { name, published: k.is_multiple_of(2), figures: [0, 1, 2, 3].map(figure) }
    };
    DeviationBars {
        title: "D2–D5 beside the published ones".to_owned(),
        caption: CAPTION.to_owned(),
        sets: (0..sets).map(set).collect(),
    }
}

fn over_time(seconds: u64) -> OverTime {
    let second = |k: u64| {
        let stall = if k % 97 == 40 || (200..225).contains(&k) { 12.0 } else { 1.0 };
        let p50_ms = 5.0 + 2.0 * noise(k);
        let p99_ms = (18.0 + 14.0 * noise(k + 7)) * stall;
        let max_ms = if k == 212 { f64::INFINITY } else { p99_ms * (1.1 + noise(k + 3)) };
        Second { at_s: k as f64, p50_ms, p99_ms, max_ms }
    };
    let fault = |what: &str, from_s, to_s| Span { what: what.to_owned(), from_s, to_s };
    OverTime {
        title: "Latency over time: goal-20261125T072845Z, scheduled → stored".to_owned(),
        caption: CAPTION.to_owned(),
        window_s: seconds as f64,
        seconds: (0..seconds).filter(|k| !(400..410).contains(k)).map(second).collect(),
        faults: vec![
            fault("broker 2 killed", 200.0, 225.0),
            fault("worker w1 killed", 205.0, 207.0),
            fault("Redis paused for 2 s", 590.0, 592.0),
        ],
        rebalances_s: vec![211.0, 228.5],
        hiccups_s: vec![40.0, 137.0, 138.0, 234.0, 500.0],
    }
}

fn heat(sources: usize, destinations: usize) -> PairHeat {
    let figure = |s: usize, d: usize| match (s + d * 7) % 61 {
        13 if sources > 2 => None,
        17 if sources > 2 => Some(f64::INFINITY),
        _ => Some(30.0 * (1.0 + noise((s * 31 + d) as u64)) * if d == 5 { 20.0 } else { 1.0 }),
    };
    PairHeat {
        title: "D4 of each pair: goal-20261125T072845Z".to_owned(),
        caption: CAPTION.to_owned(),
        figure: "D4: p99.99 − median".to_owned(),
        sources: (0..sources).map(|s| format!("p{s}")).collect(),
        destinations: (0..destinations).map(|d| format!("w{d}")).collect(),
        figures_ms: (0..sources).map(|s| (0..destinations).map(|d| figure(s, d)).collect()).collect(),
        few: (0..sources).map(|s| (0..destinations).map(|d| s == d).collect()).collect(),
    }
}

fn stages() -> StageBands {
    let ps = [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0];
    let bucket = |ends: &[f64]| {
        let total = latency_ms(8.0, (ends[0] + ends[1].min(99.9995)) / 2.0);
        let events = (600_000.0 * (ends[1] - ends[0]) / 100.0).round() as u64;
        let grows = ends[0] / 100.0;
        Bucket {
            from: ends[0],
            to: ends[1],
            events,
            means_ms: vec![0.4, total * (0.9 - 0.5 * grows) - 0.4, total * (0.1 + 0.45 * grows), total * 0.05 * grows],
        }
    };
    StageBands {
        title: "What the latency consists of: goal-20261125T072845Z".to_owned(),
        caption: CAPTION.to_owned(),
        stages: ["schedule wait", "Kafka", "store", "read"].map(str::to_owned).to_vec(),
        buckets: ps.windows(2).map(bucket).collect(),
    }
}

/// Two engines at rising loads.
pub fn load() -> LoadLatency {
    let series = |name: &str, knee: f64, runs: u64| {
        let run = |k: u64| {
            let load = 250.0 * (1 + k / 4) as f64;
            let p9999_ms = 12.0 / (1.0 - (load / knee).min(0.99)).powf(1.3) * (0.8 + 0.4 * noise(k + knee as u64));
            let p9999_ms = if load > knee { f64::INFINITY } else { p9999_ms };
            LoadRun { load, p9999_ms, few: k / 4 == 0 }
        };
        LoadSeries { name: name.to_owned(), runs: (0..runs).map(run).collect() }
    };
    LoadLatency {
        title: "Tail latency over load".to_owned(),
        caption: CAPTION.to_owned(),
        load: "events/s".to_owned(),
        latency: "p99.99 of scheduled → stored, ms".to_owned(),
        series: vec![series("engine rskafka", 2600.0, 40), series("engine librdkafka", 2100.0, 36)],
    }
}

/// Every chart, the sizes that differ most.
pub fn all() -> Vec<(&'static str, Box<dyn Chart>)> {
    vec![
        ("percentile-curve", Box::new(curves())),
        ("bars-2", Box::new(bars(2))),
        ("bars-20", Box::new(bars(20))),
        ("over-time", Box::new(over_time(600))),
        ("over-time-6h", Box::new(over_time(21_600))),
        ("heat-1x2", Box::new(heat(1, 2))),
        ("heat-1x4", Box::new(heat(1, 4))),
        ("heat-8x8", Box::new(heat(8, 8))),
        ("heat-128x24", Box::new(heat(128, 24))),
        ("stages", Box::new(stages())),
        ("load", Box::new(load())),
    ]
}
