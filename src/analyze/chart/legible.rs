//! Every chart from data like a run's, looked at by programs: files, words, and what degenerate data does.
//! `cargo test --workspace --lib -- chart::legible --ignored` with `CHARTS=<directory>` draws them for people.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::{
    Chart, DeviationBars, Error, LoadLatency, OverTime, PairHeat, PercentileCurve, StageBands,
    any_data::any_charts,
    samples::{all, curves, load},
    scene::{SIZE, Scene, Shape, Text},
};

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
            let written = text.text.replace('&', "&amp;").replace('>', "&gt;").replace('\'', "&apos;");
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
