//! Charts of data that no run should have.

use proptest::prelude::*;

use super::{
    BatchRate, BatchSeries, Bucket, Chart, Curve, DeviationBars, Deviations, Figure, LoadLatency, LoadRun, LoadSeries,
    OverTime, PairHeat, PercentileCurve, Second, Span, StageBands,
};

/// Latencies of every kind: everyday ones, none, endless, zero, negative, tiny and huge.
fn any_ms() -> impl Strategy<Value = f64> {
    let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 100.0, 1e-300, 1e300, f64::MAX, f64::MIN];
    prop_oneof![3 => 0.001..1e5f64, 2 => prop::sample::select(odd.to_vec()), 1 => Just(7.0)]
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9.-]{0,12}", 1 => "[A-Z]{60,200}", 1 => Just("<a & \"b\"> \u{7} 漢字 → ∞".to_owned())]
}

/// Two latencies, a count, and another latency: the stuff of all charts.
type Odd = (f64, f64, u64, f64);

/// One of each chart, over the same odd data.
pub fn any_charts() -> impl Strategy<Value = Vec<Box<dyn Chart>>> {
    let odds = prop::collection::vec((any_ms(), any_ms(), 0..30u64, any_ms()), 0..40);
    let names = prop::collection::vec(any_name(), 0..30);
    (any_name(), any_name(), odds, 1..6usize, names).prop_map(|(title, caption, odds, split, names)| {
        let parts: Vec<(&[Odd], &String)> = odds.chunks(split * 3).zip(names.iter().cycle()).collect();
        let mut charts = over_parts(&title, &caption, &parts);
        charts.push(over_time(&title, &caption, &odds, split));
        charts.push(Box::new(PairHeat {
            title: title.clone(),
            caption: caption.clone(),
            figure: title.clone(),
            sources: names.clone(),
            destinations: names.iter().take(split).cloned().collect(),
            figures_ms: odds.iter().map(|odd| vec![Some(odd.0), few(odd).then_some(odd.1)]).collect(),
            few: odds.iter().map(|odd| vec![few(odd)]).collect(),
        }));
        let bucket = |odd: &Odd| Bucket { from: odd.0, to: odd.1, events: odd.2, means_ms: vec![odd.3, odd.0] };
        charts.push(Box::new(StageBands { title, caption, stages: names, buckets: odds.iter().map(bucket).collect() }));
        charts
    })
}

fn few(odd: &Odd) -> bool {
    odd.2.is_multiple_of(2)
}

fn over_parts(title: &str, caption: &str, parts: &[(&[Odd], &String)]) -> Vec<Box<dyn Chart>> {
    let (title, caption) = (title.to_owned(), caption.to_owned());
    let curve = |&(part, name): &(&[Odd], &String)| Curve {
        name: name.clone(),
        n: part[0].2,
        points: part.iter().map(|odd| (odd.0, odd.1)).collect(),
    };
    let figure =
        |odd: &Odd| few(odd).then_some(Figure { median_ms: odd.0, min_ms: odd.1, max_ms: odd.3, few: odd.2 > 20 });
    let set = |&(part, name): &(&[Odd], &String)| Deviations {
        name: name.clone(),
        published: few(&part[0]),
        figures: [0, 1, 2, 3].map(|d| part.get(d).and_then(figure)),
    };
    let run = |odd: &Odd| LoadRun { load: odd.0, p9999_ms: odd.1, few: few(odd) };
    let series =
        |&(part, name): &(&[Odd], &String)| LoadSeries { name: name.clone(), runs: part.iter().map(run).collect() };
    let rates = |&(part, name): &(&[Odd], &String)| BatchSeries {
        name: name.clone(),
        points: part.iter().map(|odd| (odd.0, odd.1)).collect(),
    };
    vec![
        Box::new(BatchRate {
            title: title.clone(),
            caption: caption.clone(),
            series: parts.iter().map(rates).collect(),
        }),
        Box::new(PercentileCurve {
            title: title.clone(),
            caption: caption.clone(),
            curves: parts.iter().map(curve).collect(),
        }),
        Box::new(DeviationBars {
            title: title.clone(),
            caption: caption.clone(),
            sets: parts.iter().map(set).collect(),
        }),
        Box::new(LoadLatency {
            title: title.clone(),
            caption: caption.clone(),
            load: title,
            latency: caption,
            series: parts.iter().map(series).collect(),
        }),
    ]
}

fn over_time(title: &str, caption: &str, odds: &[Odd], faults: usize) -> Box<dyn Chart> {
    let second = |odd: &Odd| Second { at_s: odd.2 as f64, p50_ms: odd.0, p99_ms: odd.1, max_ms: odd.3 };
    let fault = |odd: &Odd| Span { what: caption.to_owned(), from_s: odd.0, to_s: odd.1 };
    Box::new(OverTime {
        title: title.to_owned(),
        caption: caption.to_owned(),
        window_s: odds.first().map_or(0.0, |odd| odd.0),
        seconds: odds.iter().map(second).collect(),
        faults: odds.iter().take(faults).map(fault).collect(),
        rebalances_s: odds.iter().map(|odd| odd.0).collect(),
        hiccups_s: odds.iter().map(|odd| odd.1).collect(),
    })
}
