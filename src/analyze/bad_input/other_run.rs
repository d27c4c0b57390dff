//! Manifests that are not of the rows beside them, though their counts are those of the rows.

use serde_json::{Value, json};

use super::{Case, csv, lines, manifest};
use crate::{
    identity::tests::merge,
    program::{DONE, FAILED},
};
use shasta_model::columns::HEADLINES;

const N: u64 = 20;

/// The manifest that the run of [`lines`] would have written, with these fields on top.
fn recorded(over: Value) -> Vec<u8> {
    let line = |(name, ms): (&str, f64)| {
        let cells = [50.0, 99.99].map(|p| json!({"percentile": p, "ms": ms, "samples_past": 0}));
        json!({"name": name, "n": N, "missing": 0, "over_slo": 0, "percentiles": cells, "max_ms": ms})
    };
    let headlines: Vec<Value> =
        HEADLINES.map(|latency| latency.name).into_iter().zip([6.0, 5.0, 5.0]).map(line).collect();
    let mut fields: Value = serde_json::from_str(&manifest(N, "")).unwrap();
    let own = json!({
        "window_us": [1_700_000_000_000_000_u64, 1_700_000_001_000_000_u64], "latencies": {"headlines": headlines},
        "variant": {"connections": 1, "workers": 1, "instances": 1},
    });
    merge(&mut fields, own);
    merge(&mut fields, over);
    fields.to_string().into_bytes()
}

fn said(rows: &str, over: Value) -> String {
    let case = Case::new(&[("a.csv", &csv(rows)), ("a.json", &recorded(over))]);
    case.says(&["a.csv"], &["--only", "tables"], &[])
}

fn invalid(rows: &str, over: Value, held: &[&str]) {
    let said = said(rows, over);
    for held in [&["**INVALID**: ", "no verdict: INVALID"], held].concat() {
        assert!(said.contains(held), "{held} in {said}");
    }
    assert!(!said.contains("The ledger balances") && !said.contains("second -"), "{said}");
}

#[test]
fn rows_that_are_those_of_the_manifest() {
    let sound = "The ledger balances, and the rows agree with it.\n";
    let whole = said(&lines(N), json!({}));
    assert!(whole.contains(sound) && !whole.contains("INVALID"), "{whole}");
    assert!(said(&lines(N), json!({"run": "renamed with its rows"})).contains(sound));
    let alone = said(&lines(N), json!({"window_us": null, "latencies": {"headlines": []}}));
    assert!(alone.contains("agree with it. (It has no window and no percentiles to hold them against.)"), "{alone}");
}

#[test]
fn a_manifest_of_a_run_at_another_time() {
    let later = json!({"window_us": [1_700_000_034_000_000_u64, 1_700_000_035_000_000_u64], "run": "b"});
    let held = [
        "its rows lie outside of its manifest's window of 1 s: the first is scheduled 34.000 s before it begins, the last \
         33.981 s before it begins; so rows and manifest are not of one run (the manifest's is `b`)",
    ];
    invalid(&lines(N), later, &held);
    let earlier = json!({"window_us": [1_699_999_999_000_000_u64, 1_699_999_999_500_000_u64]});
    invalid(&lines(N), earlier, &["the first is scheduled 0.500 s after it ends, the last 0.519 s after it ends"]);
    let across = json!({"window_us": [1_700_000_000_010_000_u64, 1_700_000_001_000_000_u64]});
    invalid(&lines(N), across, &["the first is scheduled 0.010 s before it begins, the last 0.009 s after it begins"]);
}

#[test]
fn rows_with_other_percentiles() {
    let slower = lines(N).replace(",1700000000006000,", ",1700000000009000,");
    assert_ne!(slower, lines(N));
    let held = [
        "have been changed since: p99.99 of scheduled → stored 6.00 and 8.99 ms, max of scheduled → stored 6.00 and 9.00 ms",
    ];
    invalid(&slower, json!({}), &held);
    let mean = json!({"latencies": {"headlines": [{"name": HEADLINES[0].name, "n": N, "over_slo": 0, "mean_ms": 6.0001,
        "sd_ms": 0.0, "percentiles": [], "max_ms": 6.0}]}});
    invalid(&lines(N), mean, &["have been changed since: mean of scheduled → stored 6.0001 and 6 ms (what"]);
    let missing = json!({"latencies": {"headlines": [{"name": HEADLINES[0].name, "n": 21, "missing": 1, "over_slo": 3,
        "percentiles": [], "max_ms": "> drain"}]}});
    let held =
        ["n of scheduled → stored 21 and 20, without an end of scheduled → stored 1 and 0, events over the SLO of \
        scheduled → stored 3 and 0, …"];
    invalid(&lines(N), missing, &held);
    let case = Case::new(&[("a.csv", &csv(&lines(N).replace("005000,", "004000,"))), ("a.json", &recorded(json!({})))]);
    let held = ["**INVALID**: its rows are not those", "max of before_publish → consumed (as published)"];
    case.says(&["a.csv"], &["--only", "d2-d5"], &held);
}

#[test]
fn rows_with_names_that_the_variant_does_not_have() {
    let second = |from: &str, to: &str| lines(N).replacen(&format!("\n{from}"), &format!("\n{to}"), 1);
    invalid(&second("p0,w0,0", "p0,w1,0"), json!({}), &["has 1 workers, and a row has the destination `w1`"]);
    invalid(&second("p0,w0,0", "p7,w0,0"), json!({}), &["has 1 instances, and a row has the source `p7`"]);
    invalid(&second("p0,w0,0", "p0,host,0"), json!({}), &["has 1 workers, and its rows 2 names of a destination"]);
    invalid(&second("p0,w0,0", "p0,w0,9"), json!({}), &["has 1 connections, and a row is of producer 9"]);
}

#[test]
fn a_part_of_the_rows() {
    let cut: String = lines(N).split_inclusive('\n').take(19).collect();
    invalid(&cut, json!({}), &["the ledger says rows 20, the rows say 19"]);
    assert!(!said(&cut, json!({})).contains("its rows are not those"), "which goes without saying");
}

#[test]
fn parts_that_are_invalid_say_so_when_only_d2_to_d5_are_asked() {
    let part = lines(N);
    let files = [("a@0.csv", &csv(&part)[..]), ("a@0.json", &recorded(json!({"ledger": {"lost": 3}})))];
    let said = Case::new(&files).analyze(&["a@0.csv"], &["--only", "d2-d5"]);
    assert!(said.code == DONE && said.code != FAILED && said.out.contains("**INVALID**: acked is 20, but"), "{said:?}");
}
