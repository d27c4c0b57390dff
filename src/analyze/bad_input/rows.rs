//! Lines that are no rows, and rows that are odd.

use super::{Case, csv, lines, manifest};
use shasta_model::columns::COLUMNS;

fn a(bytes: &[u8]) -> Case {
    Case::new(&[("a.csv", bytes)])
}

/// Three rows, the second of which has been changed.
fn second(change: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let lines = lines(3);
    let lines: Vec<&str> = lines.lines().collect();
    let [first, third] = [lines[0], lines[2]].map(|line| format!("{line}\n").into_bytes());
    [csv(""), first, change(lines[1]), vec![b'\n'], third].concat()
}

#[test]
fn missing_columns() {
    let without = String::from_utf8(csv(&lines(2))).unwrap().replace("after_store_us,", "");
    a(without.as_bytes()).refuses(&["a.csv"], &["a.csv, line 1: lacks the column after_store_us;"]);
    let semicolons = without.replace(',', ";");
    a(semicolons.as_bytes()).refuses(&["a.csv"], &["a.csv, line 1: lacks the column after_store_us;"]);
    a(b"a;b\n1;2\n").refuses(&["a.csv"], &["a.csv, line 1: lacks the columns source, destination,"]);
}

#[test]
fn reordered_columns_are_found_by_name() {
    let reversed = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",") + "\n";
    let text = String::from_utf8(csv(&lines(50))).unwrap();
    let reordered: String = text.lines().map(reversed).collect();
    let flags = ["--only", "tables"];
    let usual = a(text.as_bytes()).says(&["a.csv"], &flags, &["| D2     |"]);
    let other = a(reordered.as_bytes()).says(&["a.csv"], &flags, &[]);
    let tables = |said: &str| said.split_once("| Latency").unwrap().1.to_owned();
    assert_eq!(tables(&usual), tables(&other));
}

#[test]
fn a_truncated_last_line_is_counted_apart() {
    let mut bytes = csv(&lines(3));
    bytes.truncate(bytes.len() - 9);
    for only in ["tables", "d2-d5"] {
        let held = ["2 rows", "1 last line of `", "a.csv` was cut off in its middle"];
        a(&bytes).says(&["a.csv"], &["--only", only], &held);
    }
    a(&bytes).says(&["a.csv"], &["--only", "tables"], &["no verdict: the rows end within a line"]);
}

#[test]
fn not_utf_8() {
    let bytes = second(|line| [b"p\xe9\xff", &line.as_bytes()[2..]].concat());
    // A name is looked at when it is new.
    a(&bytes).refuses(&["a.csv"], &["a.csv, line 3: is not UTF-8"]);
}

#[test]
fn a_number_past_i64() {
    let bytes = second(|line| line.replace(",w0,0,0,0,", ",w0,0,9223372036854775808,0,").into_bytes());
    a(&bytes)
        .refuses(&["a.csv"], &["a.csv, line 3: `tag` is `9223372036854775808`, which is no whole number of 64 bits"]);
    let bytes = second(|line| line.replacen(",1700000000001000,", ",9223372036854775807,", 1).into_bytes());
    a(&bytes).refuses(&["a.csv"], &["line 3: `scheduled_us` is 9223372036854775807, which is not a time"]);
}

#[test]
fn stamps_in_other_units() {
    let scaled = |columns: std::ops::Range<usize>, scale: &dyn Fn(i64) -> i64| {
        let scaled = |line: &str| {
            let field = |(k, text): (usize, &str)| match text.parse().ok().filter(|_| columns.contains(&k)) {
                Some(number) => scale(number).to_string(),
                None => text.to_owned(),
            };
            line.split(',').enumerate().map(field).collect::<Vec<_>>().join(",") + "\n"
        };
        csv(&lines(3).lines().map(scaled).collect::<String>())
    };
    let manifest = manifest(3, r#""window_us":[1700000000000000,1700000001000000],"#);
    let is = "a.csv, line 2: `scheduled_us` is 17";
    let [ms, ns] = ["milliseconds", "nanoseconds"].map(|unit| format!("which looks like {unit}, and the column is in"));
    for (rows, held) in [
        (scaled(7..10, &|us| us / 1_000), [is, &ms, "microseconds: multiply its values by 1,000"]),
        (scaled(7..13, &|us| us * 1_000), [is, &ns, "microseconds: divide its values by 1,000"]),
        (scaled(11..12, &|us| us / 1_000), ["`after_consume_us` is 17", &ms, "microseconds: multiply"]),
        (
            scaled(10..11, &|ms| ms * 1_000_000),
            ["`append_ms` is 17", &ns, "milliseconds: divide its values by 1,000,000"],
        ),
    ] {
        a(&rows).refuses(&["a.csv"], &held);
        Case::new(&[("a.csv", &rows), ("a.json", manifest.as_bytes())]).refuses(&["a.csv"], &held);
    }
}

#[test]
fn a_quote_that_does_not_end() {
    let bytes = second(|line| line.replace("p0,", "\"p0,").into_bytes());
    a(&bytes).refuses(&["a.csv"], &["a.csv, line 3: holds a quoted field that does not end on its line"]);
}

#[test]
fn numbers_that_are_not_whole_or_not_all_there() {
    let of = |number: &str| second(|line| line.replace(",1700000000001000,", &format!(",{number},")).into_bytes());
    let told = |number, held: &str| a(&of(number)).refuses(&["a.csv"], &["a.csv, line 3: `scheduled_us` is", held]);
    told("1700000000001000.5", "which is no whole number of 64 bits");
    told("1.7e+15", "of whose digits some may be lost; write it as a whole number in full");
    told("2023-11-14 22:13:20.001", "which is a date; write it as a whole number");
}

#[test]
fn empty_header_only_and_half_a_header() {
    a(b"").refuses(&["a.csv"], &["a.csv, line 1: is empty"]);
    a(&csv("")).refuses(&["a.csv"], &["a.csv: has a header and no rows"]);
    a(b"source,desti").refuses(&["a.csv"], &["a.csv, line 1: ends within its header"]);
    a(COLUMNS.join(",").as_bytes()).refuses(&["a.csv"], &["a.csv, line 1: ends within its header"]);
}

#[test]
fn duplicates_of_one_event() {
    let twice = lines(3) + lines(3).lines().nth(1).unwrap() + "\n";
    let held = ["**INVALID**: 1 row repeats the event", "no verdict: INVALID", "4 rows"];
    a(&csv(&twice)).says(&["a.csv"], &["--only", "tables"], &held);
}

#[test]
fn all_latencies_negative() {
    let line = |k: i64| format!("p0,w0,0,0,0,{k},{k},{0},{0},{0},,{1},{2},\n", 9_000 + k, 8_000 + k, 8_500 + k);
    let rows: String = (0..20).map(line).collect();
    let said = a(&csv(&rows)).says(&["a.csv"], &[], &["**All 60 latencies are negative**: the clocks"]);
    assert!(
        said.contains("| scheduled → stored                       |  20 |       0 | -0.50 | 0.00 | -0.50 | -0.50 |"),
        "{said}"
    );
}

#[test]
fn one_pair_with_one_sample() {
    let held = ["1 row;", "over 1 pair × 1 samples", "| D5     |  0.00† |", "The run has 1 event:"];
    a(&csv(&lines(1))).says(&["a.csv"], &[], &held);
}

#[test]
fn bad_rows_are_skipped_when_asked_and_shown() {
    let bytes = second(|_| b"p0,w0".to_vec());
    a(&bytes).refuses(&["a.csv"], &["a.csv, line 3: has 2 fields", "--skip-bad-rows"]);
    for only in ["tables", "d2-d5"] {
        let held = ["2 rows", "**1 bad line was skipped (line 3 has 2 fields, and the header 14: the line is damaged)"];
        let said = a(&bytes).says(&["a.csv"], &["--only", only, "--skip-bad-rows"], &held);
        assert!(!said.contains("--skip-bad-rows"), "no advice to do what was done: {said}");
    }
    a(&bytes).says(&["a.csv"], &["--skip-bad-rows", "--only", "tables"], &["no verdict: read with bad rows skipped"]);
    let case = a(&csv("x\ny\n"));
    let said = case.analyze(&["a.csv"], &["--skip-bad-rows"]);
    assert!(said.err.contains("holds no row: 2 bad lines were skipped (line 2 has 1 fields"), "{said:?}");
    assert_eq!((said.code, case.written().len()), (1, 0));
}
