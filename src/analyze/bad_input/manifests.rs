//! Damaged manifests.

use std::fs::File;

use proptest::prelude::*;
use serde_json::Value;

use super::{Case, csv, lines, manifest};
use crate::program::DONE;

fn beside(manifest: &[u8]) -> Case {
    Case::new(&[("a.csv", &csv(&lines(20))), ("a.json", manifest)])
}

#[test]
fn what_is_no_manifest() {
    let whole = manifest(20, "");
    for (text, held) in [
        (&whole.as_bytes()[..whole.len() / 2], "EOF while parsing"),
        (b"", "EOF while parsing"),
        (b"null", "invalid type: null"),
        (b"[]", "invalid type: sequence"),
        (b"{\"run\":\"\xff\"}", "invalid unicode"),
        ("[".repeat(100_000).as_bytes(), "invalid type: sequence"),
        (br#"{"run":"a"}"#, "missing field `ledger`"),
        (
            whole.replace(r#""sent":20"#, r#""sent":-1"#).as_bytes(),
            "invalid value: integer `-1`, expected u64 at line 1",
        ),
        (whole.replace(r#""sent":20"#, r#""sent":"20""#).as_bytes(), "invalid type: string \"20\""),
        (whole.replace(r#""run":"a""#, r#""run":5"#).as_bytes(), "invalid type: integer `5`"),
        (manifest(20, r#""window_us":"x","#).as_bytes(), "invalid type: string \"x\""),
    ] {
        let held = ["a.json: not a manifest of a run (", held, "move it away to analyze the rows without it"];
        beside(text).refuses(&["a.csv"], &held);
    }
}

#[test]
fn a_manifest_of_a_later_version_needs_a_newer_analyze() {
    for more in [r#""schema_version":2,"#, r#""schema_version":2,"caveats":"elsewhere","#] {
        let held =
            ["a.json: is a manifest of schema version 2, and this program reads versions up to 1; use a newer analyze"];
        beside(manifest(20, more).as_bytes()).refuses(&["a.csv"], &held);
    }
    beside(manifest(20, r#""schema_version":1,"#).as_bytes()).says(&["a.csv"], &[], &["| D2     |"]);
}

#[test]
fn a_huge_manifest_is_not_read_whole() {
    let case = beside(b"");
    // A hole: no disk is used.
    File::create(case.path("a.json")).unwrap().set_len(1 << 40).unwrap();
    case.refuses(&["a.csv"], &["a.json: has more than 256 MiB, and no manifest of a run has"]);
}

#[test]
fn windows_and_times_at_the_ends_of_time() {
    let [least, most] = [i64::MIN, i64::MAX];
    let fault = format!(r#""faults":[{{"what":"x","start_us":{least},"end_us":{most}}}],"#);
    let second = format!(r#""harness":{{"seconds":{{"at_us":[{most},{least}],"hiccup_ms_max":[0,1e308]}}}},"#);
    for window in [[least, most], [most, least], [0, most], [least, 0], [0, 1]] {
        let more = format!(r#""window_us":{window:?},{fault}{second}"#);
        beside(manifest(20, &more).as_bytes()).says(&["a.csv"], &[], &["| D2     |"]);
    }
}

/// Everything that `analyze` reads of a manifest.
fn rich() -> Value {
    let more = r#""interrupted":false,"window_us":[1700000000000000,1700000001000000],"started":"2026-01-01T00:00:00Z",
        "seed":7,"substrate":"local","host":{"cpu":"x","cores":2,"memory_bytes":1},"variant":{"published":"8p-1pps",
        "connections":1.0,"rate":20.0,"workers":1,"partitions":1,"instances":1,"duration":"1s"},
        "faults":[{"what":"f","start_us":1700000000001000,"end_us":1700000000002000}],
        "conduct":{"rebalances":[{"worker":0,"at_us":1700000000003000}]},
        "harness":{"seconds":{"at_us":[1700000001000000],"foreign_cores":[0.1],"steal_cores":[0.0],"cpu_pressure":[0.5],
        "hiccup_ms_max":[9.5],"written_mb":[50.0]}},"topic":{"partitions":[{"id":0,"leader":1}]},"latencies":{"headlines":[{"name":"x","n":20,
        "over_slo":0,"percentiles":[{"percentile":50.0,"ms":1.5,"samples_past":10}],"max_ms":2.0}]},"#;
    serde_json::from_str(&manifest(20, more)).unwrap()
}

/// The places of all values, as JSON pointers.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| self::places(value, &format!("{at}/{name}"), places))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(k, value)| self::places(value, &format!("{at}/{k}"), places))
        }
        _ => {}
    }
    places.push(at.to_owned());
}

fn odd() -> impl Strategy<Value = Value> {
    let numbers = [0, 1, -1, i64::MAX, i64::MIN, 1 << 53].map(Value::from);
    let words = ["", "> drain", "<b>|`*", "8p-1pps"].map(Value::from);
    let others =
        [Value::Null, true.into(), u64::MAX.into(), 1e308.into(), (-1e308).into(), 0.5.into(), Value::Array(vec![])];
    prop::sample::select([&numbers[..], &words, &others].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn odd_values_are_told_or_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), odd()), 1..4), alone in any::<bool>()) {
        let mut value = rich();
        for (at, odd) in changes {
            let mut all = Vec::new();
            places(&value, "", &mut all);
            *value.pointer_mut(&all[at.index(all.len())]).unwrap() = odd;
        }
        let case = beside(value.to_string().as_bytes());
        if alone {
            std::fs::remove_file(case.path("a.csv")).unwrap();
        }
        let said = case.analyze(&[if alone { "a.json" } else { "a.csv" }], &[]);
        prop_assert!(said.code == DONE || said.err.contains("a.json"), "{said:?}");
    }
}
