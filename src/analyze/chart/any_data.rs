//! Charts of data that no run should have.

use proptest::prelude::*;

use super::{
    Bucket, Chart, Curve, DeviationBars, Deviations, Figure, LoadLatency, LoadRun, LoadSeries, OverTime, PairHeat,
    PercentileCurve, Second, Span, StageBands,
};

/// Latencies of every kind: everyday ones, none, endless, zero, negative, tiny and huge.
fn any_ms() -> impl Strategy<Value = f64> {
    let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 100.0, 1e-300, 1e300, f64::MAX, f64::MIN];
    prop_oneof![3 => 0.001..1e5f64, 2 => prop::sample::select(odd.to_vec()), 1 => Just(7.0)]
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9.-]{0,12}", 1 => "[A-Z]{60,200}", 1 => Just("<a & \"b\"> \u{7} 漢字 → ∞".to_owned())]
}

/// One of each chart, over the same odd data.
pub fn any_charts() -> impl Strategy<Value = Vec<Box<dyn Chart>>> {
    let pairs = prop::collection::vec((any_ms(), any_ms(), 0..30u64, any_ms()), 0..40);
    (any_name(), any_name(), pairs, 0..6usize, prop::collection::vec(any_name(), 0..30)).prop_map(
        |(title, caption, pairs, split, names)| {
            let parts = || pairs.chunks(split.max(1) * 3).zip(names.iter().cycle());
            let few = |n: u64| n % 2 == 0;
            let points = |part: &[(f64, f64, u64, f64)]| part.iter().map(|pair| (pair.0, pair.1)).collect();
            let runs = |part: &[(f64, f64, u64, f64)]| {
                part.iter().map(|pair| LoadRun { load: pair.0, p9999_ms: pair.1, few: few(pair.2) }).collect()
            };
            let figure = |pair: &(f64, f64, u64, f64)| {
                few(pair.2).then_some(Figure { median_ms: pair.0, min_ms: pair.1, max_ms: pair.3, few: pair.2 > 20 })
            };
            let set = |(part, name): (&[(f64, f64, u64, f64)], &String)| Deviations {
                name: name.clone(),
                published: part.len() % 2 == 0,
                figures: [0, 1, 2, 3].map(|d| part.get(d).and_then(figure)),
            };
            let curve = |(part, name): (&[(f64, f64, u64, f64)], &String)| Curve {
                name: name.clone(),
                n: part[0].2,
                points: points(part),
            };
            let second = |pair: &(f64, f64, u64, f64)| Second {
                at_s: pair.2 as f64,
                p50_ms: pair.0,
                p99_ms: pair.1,
                max_ms: pair.3,
            };
            let fault = |pair: &(f64, f64, u64, f64)| Span { what: caption.clone(), from_s: pair.0, to_s: pair.1 };
            let bucket = |pair: &(f64, f64, u64, f64)| Bucket {
                from: pair.0,
                to: pair.1,
                events: pair.2,
                means_ms: vec![pair.3, pair.0],
            };
            let (title, caption) = (title.clone(), caption.clone());
            vec![
                Box::new(PercentileCurve {
                    title: title.clone(),
                    caption: caption.clone(),
                    curves: parts().map(curve).collect(),
                }) as Box<dyn Chart>,
                Box::new(DeviationBars {
                    title: title.clone(),
                    caption: caption.clone(),
                    sets: parts().map(set).collect(),
                }),
                Box::new(OverTime {
                    title: title.clone(),
                    caption: caption.clone(),
                    window_s: pairs.first().map_or(0.0, |pair| pair.0),
                    seconds: pairs.iter().map(second).collect(),
                    faults: pairs.iter().take(split).map(fault).collect(),
                    rebalances_s: pairs.iter().map(|pair| pair.0).collect(),
                    hiccups_s: pairs.iter().map(|pair| pair.1).collect(),
                }),
                Box::new(PairHeat {
                    title: title.clone(),
                    caption: caption.clone(),
                    figure: title.clone(),
                    sources: names.clone(),
                    destinations: names.iter().take(split).cloned().collect(),
                    figures_ms: pairs.iter().map(|pair| vec![Some(pair.0), few(pair.2).then_some(pair.1)]).collect(),
                }),
                Box::new(StageBands {
                    title: title.clone(),
                    caption: caption.clone(),
                    stages: names.clone(),
                    buckets: pairs.iter().map(bucket).collect(),
                }),
                Box::new(LoadLatency {
                    title: title.clone(),
                    caption: caption.clone(),
                    load: title.clone(),
                    latency: caption.clone(),
                    series: parts().map(|(part, name)| LoadSeries { name: name.clone(), runs: runs(part) }).collect(),
                }),
            ]
        },
    )
}
