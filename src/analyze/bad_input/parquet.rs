//! Damaged Parquet.

use polars::prelude::*;

use super::Case;
use crate::program::DONE;
use shasta_model::columns::COLUMNS;

/// `n` sound events, a column put in another's place or left out.
fn frame(n: u64, change: impl Fn(&str) -> Option<Column>) -> Vec<u8> {
    let number = |name: &str, k: u64| match name {
        "offset" | "sequence" => k as i64,
        "append_ms" => 1_700_000_000_000 + k as i64,
        "after_read_us" | "producer" | "tag" | "partition" => 0,
        "after_consume_us" | "after_store_us" => 1_700_000_000_000_000 + k as i64 * 1000 + 5000,
        _ => 1_700_000_000_000_000 + k as i64 * 1000,
    };
    let column = |name: &str| match name {
        "source" | "destination" => Column::new(name.into(), vec!["x"; n as usize]),
        _ => Column::new(name.into(), (0..n).map(|k| number(name, k)).collect::<Vec<i64>>()),
    };
    let columns = COLUMNS.into_iter().filter_map(|name| change(name).or_else(|| Some(column(name))));
    let columns: Vec<Column> = columns.filter(|column| !column.is_empty() || n == 0).collect();
    let mut frame = DataFrame::new(n as usize, columns).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    bytes
}

fn sound(n: u64) -> Vec<u8> {
    frame(n, |_| None)
}

fn a(bytes: &[u8]) -> Case {
    Case::new(&[("a.parquet", bytes)])
}

#[test]
fn a_sound_one_is_read() {
    a(&sound(40)).says(&["a.parquet"], &[], &["40 rows", "| D2     |"]);
}

#[test]
fn a_part_of_a_file() {
    let whole = sound(40);
    for end in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        a(&whole[..end])
            .refuses(&["a.parquet"], &["a.parquet: is not a whole Parquet file (", "copy or write it again"]);
    }
    a(b"source,destination\n").refuses(&["a.parquet"], &["a.parquet: is text, not Parquet; let its name end in .csv"]);
    a(b"ORC\0\0\0").refuses(&["a.parquet"], &["a.parquet: is ORC; write its rows as Parquet or CSV"]);
    let encrypted = [&whole[..whole.len() - 4], b"PARE"].concat();
    a(&encrypted).refuses(&["a.parquet"], &["a.parquet: is encrypted Parquet"]);
    Case::new(&[("a.csv", &whole)]).refuses(&["a.csv"], &["is Parquet; let its name end in .parquet"]);
    a(&sound(0)).refuses(&["a.parquet"], &["a.parquet: has a header and no rows"]);
}

#[test]
fn columns_that_are_missing_or_of_another_type() {
    let without = frame(9, |name| (name == "after_store_us").then(|| Column::new_empty(name.into(), &DataType::Int64)));
    a(&without).refuses(&["a.parquet"], &["a.parquet: lacks the column after_store_us"]);
    let typed = |column: &'static str, is: Column| frame(9, move |name| (name == column).then(|| is.clone()));
    let list = Series::new("before_publish_us".into(), vec![Series::new("".into(), [1_i64]); 9]);
    for (is, told) in
        [(Column::new("before_publish_us".into(), [true; 9]), "truth values"), (list.into_column(), "a nested type")]
    {
        let held = format!("a.parquet: has the column `before_publish_us` as {told}, and it must be whole numbers");
        a(&typed("before_publish_us", is)).refuses(&["a.parquet"], &[&held, "cast it and write the file again"]);
    }
    let held = "a.parquet: has the column `source` as truth values, and it must be text";
    a(&typed("source", Column::new("source".into(), [true; 9]))).refuses(&["a.parquet"], &[held]);
}

#[test]
fn values_that_are_no_whole_numbers() {
    let typed = |is: Column| frame(9, move |name| (name == "before_publish_us").then(|| is.clone()));
    let name = || "before_publish_us".into();
    for (is, told) in [
        (Column::new(name(), [1.5_f64; 9]), "`1.5`, which is no whole number of 64 bits; take the line out"),
        (Column::new(name(), [f64::INFINITY; 9]), "`inf`, which is no whole number of 64 bits"),
        (Column::new(name(), [1.7e15_f32; 9]), "`1699999998017536`, of whose digits some may be lost; write it"),
        (Column::new(name(), [u64::MAX; 9]), "`18446744073709551615`, which is no whole number of 64 bits"),
        (Column::new(name(), ["x"; 9]), "`x`, which is no whole number of 64 bits"),
    ] {
        a(&typed(is)).refuses(&["a.parquet"], &[&format!("a.parquet: row 1: `before_publish_us` is {told}")]);
    }
    let one = (0..9).map(|k| if k == 4 { 0.5 } else { 1.0 }).collect::<Vec<f64>>();
    let case = a(&typed(Column::new(name(), one)));
    for only in ["tables", "d2-d5"] {
        let held = ["8 rows", "1 bad row was skipped (row 5 `before_publish_us` is `0.5`"];
        case.says(&["a.parquet"], &["--only", only, "--skip-bad-rows"], &held);
    }
}

#[test]
fn rows_that_no_run_records() {
    let holes =
        |name: &str| Column::new(name.into(), (0..9).map(|k| (k != 4).then_some(k)).collect::<Vec<Option<i64>>>());
    let bytes = frame(9, |name| (name == "scheduled_us").then(|| holes(name)));
    let case = a(&bytes);
    let said = case.analyze(&["a.parquet"], &[]);
    assert!(said.code == 1 && said.err.contains("a.parquet: row 5: `scheduled_us` is empty"), "{said:?}");
    let held = ["8 rows", "1 bad row was skipped (row 5 `scheduled_us` is empty, and every planned event has one)"];
    case.says(&["a.parquet"], &["--skip-bad-rows"], &held);
}

/// The same flips each time: over some, one in thousands, polars asks for more memory than there is and the system ends
/// the program, which no library can catch.
#[test]
fn flipped_bits_are_told_or_do_no_harm() {
    let (whole, mut state, mut told) = (sound(40), 1_u64, 0);
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let case = a(&whole);
    for _ in 0..600 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            // Half of them in the footer, which says where everything is.
            let from = random(2) * bytes.len() / 2;
            let place = from + random(bytes.len() - from);
            bytes[place] ^= 1 << random(8);
        }
        case.write("a.parquet", &bytes);
        let said = case.analyze(&["a.parquet"], &["--only", "d2-d5"]);
        assert!(said.code == DONE || said.err.contains("a.parquet: "), "{said:?}");
        told += u32::from(said.code != DONE);
    }
    assert!((100..600).contains(&told), "{told}");
}
