//! Runs that carry one name and are of different experiments: they are never one arm, wherever arms are made.

use serde_json::{Value, json};

use super::{Case, Said, csv, lines, manifest};
use crate::{
    identity::tests::{fields, merge},
    program::{DONE, FAILED},
};

/// A directory of runs of `goal`, each with these fields on top of what all have.
fn case(runs: &[(&str, Value)]) -> Case {
    let case = Case::new(&[]);
    for (name, over) in runs {
        let mut manifest: Value = serde_json::from_str(&manifest(20, "")).unwrap();
        merge(&mut manifest, fields(json!({"run": name})));
        merge(&mut manifest, over.clone());
        case.write(&format!("{name}.csv"), &csv(&lines(20)));
        case.write(&format!("{name}.json"), manifest.to_string().as_bytes());
    }
    case
}

fn flag(name: &str, value: &str, setting: Value) -> Value {
    json!({"command_line": ["experiment", name, value], "variant": setting})
}

fn partitions(n: u64) -> Value {
    flag("--partitions", &n.to_string(), json!({"partitions": n}))
}

fn tables(case: &Case, files: &[&str], flags: &[&str]) -> Said {
    case.analyze(files, &[flags, &["--only", "tables", "--format", "markdown"]].concat())
}

const POOLED: &str = "Independent runs of one variant";

#[test]
fn runs_of_one_experiment_are_pooled() {
    let case =
        case(&[("a", json!({"seed": 1, "variant": {"seed": 1}})), ("b", json!({"seed": 2, "variant": {"seed": 2}}))]);
    let said = tables(&case, &["a.csv", "b.csv"], &[]);
    assert!(said.out.contains(POOLED) && said.out.contains("\n| goal |          0 |         2 |"), "{said:?}");
    assert!(!said.out.contains("not pooled"), "{said:?}");
}

#[test]
fn runs_with_other_settings_or_of_another_place_are_not() {
    for (over, held) in [
        (partitions(256), "they differ in partitions (24, 256)."),
        (json!({"variant": {"bytes": 2048}}), "they differ in bytes (2048, not recorded)."),
        (json!({"host": {"cpu": "6502"}}), "they differ in machine (2 × 6502, 2 × Z80)."),
        (json!({"security": {"redis": {"tls": true}}}), "they differ in security (not recorded, redis.tls true)."),
        (json!({"substrate": "external"}), "they differ in substrate (external, local)."),
    ] {
        let case = case(&[("a", json!({})), ("b", over)]);
        let said = tables(&case, &["a.csv", "b.csv"], &[]);
        assert!(!said.out.contains(POOLED), "{said:?}");
        let held = format!("`goal` names 2 experiments here, which are not pooled: {held}");
        assert!(said.out.contains("## Runs that are not pooled\n") && said.out.contains(&held), "{held} {said:?}");
    }
}

#[test]
fn what_was_changed_is_in_titles_tables_and_charts() {
    let case = case(&[("a", json!({})), ("b", partitions(256)), ("c", partitions(256))]);
    let said = tables(&case, &["a.csv", "b.csv", "c.csv"], &[]);
    for held in
        ["## a\n", "\n## b (goal, partitions 256)\n", "variant `goal`, partitions 256", "\n| goal, partitions 256 |"]
    {
        assert!(said.out.contains(held), "{held} in {}", said.out);
    }
    let deviations = case.analyze(&["b.csv"], &["--only", "d2-d5"]).out;
    assert!(deviations.starts_with("## b (goal, partitions 256)\n"), "{deviations}");
    let json = case.analyze(&["a.csv", "b.csv"], &["--only", "tables", "--format", "json"]).out;
    assert!(json.contains(r#""title": "b (goal, partitions 256)""#) && json.contains("names 2 experiments"), "{json}");
    assert_eq!(case.analyze(&["a.csv", "b.csv"], &["--only", "report"]).code, DONE);
    let chart = |name: &str| std::fs::read_to_string(case.path(&format!("out/charts/{name}.svg"))).unwrap();
    assert!(chart("b-percentiles").contains("goal, partitions 256") && !chart("a-percentiles").contains("partitions"));
    assert!(chart("percentiles").contains("b (goal, partitions 256)"));
    let page = std::fs::read_to_string(case.path("out/report.html")).unwrap();
    assert!(page.contains("names 2 experiments here"), "{page}");
}

#[test]
fn loads_of_different_experiments_are_different_curves() {
    let rate = |rate: f64, bytes: u64| json!({"variant": {"rate": rate, "bytes": bytes, "workers": 1}});
    let case = case(&[("a", rate(1.0, 512)), ("b", rate(2.0, 512)), ("c", rate(4.0, 2048))]);
    assert_eq!(case.analyze(&["a.csv", "b.csv", "c.csv"], &["--only", "charts"]).code, DONE);
    let chart = std::fs::read_to_string(case.path("out/charts/load.svg")).unwrap();
    for series in ["1 workers, 24 partitions, bytes 512", "1 workers, 24 partitions, bytes 2048"] {
        assert!(chart.contains(series), "{series}");
    }
}

#[test]
fn the_first_run_of_a_newcomer_is_not_pooled_with_the_recorded_one() {
    let recorded = json!({"host": {"cpu": "AMD EPYC"}, "versions": {"git_revision": "216b4680025dd"}});
    let case = case(&[("results/goal-1", recorded), ("results/goal-2", json!({}))]);
    let said = tables(&case, &["results/*.csv"], &[]);
    assert!(said.code == DONE && !said.out.contains(POOLED), "{said:?}");
    assert!(
        said.out.contains("they differ in machine (2 × AMD EPYC, 2 × Z80), harness revision (216b46800, 012345678)")
    );
}

#[test]
fn runs_without_a_manifest_are_pooled_with_nobody() {
    let case = case(&[("goal-1", json!({})), ("goal-2", json!({}))]);
    for name in ["goal-3", "goal-4"] {
        case.write(&format!("{name}.csv"), &csv(&lines(20)));
    }
    let all = ["goal-1.csv", "goal-2.csv", "goal-3.csv", "goal-4.csv"];
    let said = tables(&case, &all, &[]).out;
    assert!(said.contains("\n| goal |          0 |         2 |"), "{said}");
    let held = "Nothing says which settings `goal-3`, `goal-4` had, so they are pooled with no other run of `goal`.";
    assert!(said.contains(held), "{said}");
    assert!(!tables(&case, &all[2..], &[]).out.contains(POOLED));
}

#[test]
fn a_campaign_keeps_its_arms_and_names_machines() {
    let of = |cpu: &str| json!({"host": {"cpu": cpu}, "command_line": ["experiment", "--campaign", "x/tail.toml"]});
    let case = case(&[("a", of("Z80")), ("b", of("6502")), ("c", json!({}))]);
    let said = tables(&case, &["a.csv", "b.csv", "c.csv"], &[]).out;
    assert!(said.contains("\n| goal, campaign tail |          0 |         2 |"), "{said}");
    let held = "The runs of `goal, campaign tail` are each of one campaign, and differ in machine (2 × Z80, 2 × 6502).";
    assert!(said.contains(held) && said.contains("they differ in campaign (none, tail), machine"), "{said}");
}

#[test]
fn sides_are_paired_by_settings_and_what_else_differs_is_named() {
    let new = |over: Value| {
        let mut new = json!({"versions": {"git_revision": "fedcba9876"}, "variant": {"acks": "all"}});
        merge(&mut new, over);
        new
    };
    let case = case(&[
        ("old/a", json!({})),
        ("old/b", partitions(256)),
        ("new/c", new(json!({}))),
        ("new/d", new(partitions(12))),
        ("new/e", new(partitions(256))),
    ]);
    let [old, dir] = ["old", "new"].map(|name| case.path(name).to_str().unwrap().to_owned());
    let said = tables(&case, &["old/a.csv"], &["--compare", &old, &dir]).out;
    for held in [
        format!("\n`goal in {dir}` against `goal in {old}`: "),
        format!("\n`goal, partitions 256 in {dir}` against `goal, partitions 256 in {old}`: "),
        "The two differ in acks (not recorded, all), harness revision (012345678, fedcba987).".to_owned(),
        "Compared with nothing, since no other side has their settings: `goal, partitions 12`.".to_owned(),
    ] {
        assert!(said.contains(&held), "{held} in {said}");
    }
    let said = tables(&case, &["new/*.csv"], &["--baseline", &old, "--max-regression", "10%"]);
    assert_eq!(said.code, 5, "{said:?}");
    for held in [
        format!("| goal, partitions 256 in {old} "),
        "The two differ in acks (not recorded, all), harness revision (012345678, fedcba987).".to_owned(),
        format!(
            "**goal, partitions 12**: {old} has no run of it (runs of `goal` there differ in acks (all, not recorded), partitions (12, 24)"
        ),
    ] {
        assert!(said.out.contains(&held), "{held} in {}", said.out);
    }
    let said = tables(&case, &["new/d.csv"], &["--baseline", &old, "--max-regression", "10%"]);
    let held = "has runs of goal; goal, partitions 256, and those given are of goal, partitions 12 (runs of `goal` there differ in";
    assert!(said.code == FAILED && said.err.contains(held), "{said:?}");
}

#[test]
fn an_arm_is_named_by_its_title_and_a_name_of_several_is_refused() {
    let case = case(&[("a", json!({})), ("b", partitions(256)), ("c", json!({"variant_name": "p24"}))]);
    let all = ["a.csv", "b.csv", "c.csv"];
    let said = tables(&case, &all, &["--compare", "goal", "goal, partitions 256"]).out;
    assert!(
        said.contains("The two differ in partitions (24, 256).") && said.contains("| goal, partitions 256 "),
        "{said}"
    );
    let case = self::case(&[("a", partitions(12)), ("b", partitions(256)), ("c", json!({"variant_name": "p24"}))]);
    let said = tables(&case, &all, &["--compare", "goal", "p24"]);
    let held =
        "--compare: goal stands for goal, partitions 12; goal, partitions 256, and none of these has the settings";
    assert!(said.code == FAILED && said.err.contains(held), "{said:?}");
}
