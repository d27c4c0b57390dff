//! Every chart from data like a run's, looked at by programs: files, words, and what degenerate data does.
//! `cargo test --workspace --lib -- chart::legible --ignored` with `CHARTS=<directory>` draws them for people.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::{
    Bucket, Chart, Curve, DeviationBars, Deviations, Error, Figure, LoadLatency, LoadRun, LoadSeries, OverTime,
    PairHeat, PercentileCurve, Second, Span, StageBands, percentile_curve,
    scene::{SIZE, Scene, Shape, Text},
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

fn curves() -> PercentileCurve {
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
        let name = if k % 2 == 0 { format!("published variant-{k}") } else { format!("run-{k}-20261125T072845Z") };
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

fn load() -> LoadLatency {
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

fn all() -> Vec<(&'static str, Box<dyn Chart>)> {
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

fn texts(scene: &Scene) -> Vec<&Text> {
    scene.shapes.iter().filter_map(|shape| if let Shape::Text(text) = shape { Some(text) } else { None }).collect()
}

/// No word leaves the canvas, is smaller than can be read, or covers another.
fn illegible(scene: &Scene) -> Option<String> {
    let texts = texts(scene);
    for (k, text) in texts.iter().enumerate() {
        let (from, to) = text.bounds();
        if from.0 < 0.0 || from.1 < 0.0 || to.0 > SIZE.0 || to.1 > SIZE.1 {
            return Some(format!("off the canvas: {text:?}"));
        }
        if text.size < 14.0 {
            return Some(format!("too small: {text:?}"));
        }
        let covers = |other: &&&Text| {
            let (a, b) = other.bounds();
            from.0 + 1.0 < b.0 && a.0 + 1.0 < to.0 && from.1 + 1.0 < b.1 && a.1 + 1.0 < to.1
        };
        if let Some(other) = texts[..k].iter().find(covers) {
            return Some(format!("{text:?} covers {other:?}"));
        }
    }
    None
}

#[test]
fn words_are_on_the_canvas_and_apart() {
    for (stem, chart) in all() {
        assert_eq!(illegible(&chart.scene()), None, "{stem}");
    }
}

#[test]
#[ignore = "draws for people, into the directory that CHARTS names"]
fn draw_for_people() {
    let directory = std::env::var("CHARTS").expect("CHARTS names a directory");
    for (stem, chart) in all() {
        chart.draw(Path::new(&directory), stem).unwrap();
    }
}

#[test]
fn both_files_are_whole_and_say_what_they_show() {
    let directory = tempfile::tempdir().unwrap();
    for (stem, chart) in all() {
        chart.draw(directory.path(), stem).unwrap();
        let png = fs::read(directory.path().join(format!("{stem}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 5000, "{stem}: {}", png.len());
        assert_eq!(png[16..24], *b"\0\0\x04\xb0\0\0\x02\xbc", "1200 × 700");
        let svg = fs::read_to_string(directory.path().join(format!("{stem}.svg"))).unwrap();
        assert!(
            svg.starts_with("<svg width=\"1200\" height=\"700\" role=\"img\"") && svg.ends_with("</svg>\n"),
            "{stem}"
        );
        assert!(svg.len() < 1_500_000, "{stem}: {} bytes", svg.len());
        for text in texts(&chart.scene()) {
            let written = text.text.replace('&', "&amp;").replace('>', "&gt;");
            assert!(svg.contains(&format!(">\n{written}\n</text>")), "{stem} lacks {written}");
        }
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2 * all().len(), "nothing unfinished is left");
    let svg = fs::read_to_string(directory.path().join("percentile-curve.svg")).unwrap();
    for words in [
        "<title>Latency by percentile",
        "laptop-20261125T064322Z scheduled → stored",
        "SLO",
        "99.999",
        "latency, ms",
        "▲",
    ] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("taken");
    fs::write(&file, "").unwrap();
    let error = load().draw(&file, "load").unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }) && error.to_string().contains("taken"), "{error}");
    // The second file has no place: neither is left.
    fs::create_dir(directory.path().join(".load.svg")).unwrap();
    fs::create_dir(directory.path().join("load.png")).unwrap();
    assert!(load().draw(directory.path(), "load").is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn nothing_at_all_is_drawn_as_nothing() {
    let empty: [Box<dyn Chart>; 6] = [
        Box::new(PercentileCurve::default()),
        Box::new(DeviationBars::default()),
        Box::new(OverTime::default()),
        Box::new(PairHeat::default()),
        Box::new(StageBands::default()),
        Box::new(LoadLatency::default()),
    ];
    let directory = tempfile::tempdir().unwrap();
    for chart in empty {
        assert_eq!(illegible(&chart.scene()), None);
        chart.draw(directory.path(), "empty").unwrap();
    }
}

#[test]
fn what_is_not_where_it_belongs_is_said() {
    let mut chart = curves();
    assert!(chart.scene().caption.contains("past the drain") && chart.scene().caption.contains("Dashed"));
    chart.curves.truncate(1);
    assert!(!chart.scene().caption.contains("past the drain") && !chart.scene().caption.contains("lower edge"));
    chart.curves[0].points[0].1 = -3.0;
    assert!(chart.scene().caption.contains("lower edge"));
}

/// Latencies of every kind: everyday ones, none, endless, zero, negative, tiny and huge.
fn any_ms() -> impl Strategy<Value = f64> {
    let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 100.0, 1e-300, 1e300, f64::MAX, f64::MIN];
    prop_oneof![3 => 0.001..1e5f64, 2 => prop::sample::select(odd.to_vec()), 1 => Just(7.0)]
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9.-]{0,12}", 1 => "[A-Z]{60,200}", 1 => Just("<a & \"b\"> \u{7} 漢字 → ∞".to_owned())]
}

fn any_charts() -> impl Strategy<Value = Vec<Box<dyn Chart>>> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_data_makes_a_legible_scene(charts in any_charts()) {
        for chart in charts {
            let scene = chart.scene();
            prop_assert_eq!(illegible(&scene), None);
        }
    }
}

proptest! {
    // Each draws six charts of 3.4 million px.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_data_is_drawn(charts in any_charts()) {
        let directory = tempfile::tempdir().unwrap();
        for chart in charts {
            prop_assert!(chart.draw(directory.path(), "any").is_ok());
        }
    }
}
