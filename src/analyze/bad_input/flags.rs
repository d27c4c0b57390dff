//! Flags that name what is not there. What no command line may say is tested where it is parsed, in `arguments`.

use super::{Case, csv, lines, manifest};
use crate::program::{DONE, FAILED};

fn case() -> Case {
    let manifest = manifest(20, "");
    let files = ["a", "b", "old/c"].map(|name| [format!("{name}.csv"), format!("{name}.json")]);
    let case = Case::new(&[("empty/x.txt", b"")]);
    for [rows, about] in &files {
        case.write(rows, &csv(&lines(20)));
        case.write(about, manifest.as_bytes());
    }
    case
}

fn fails(case: &Case, flags: &[&str], held: &str) {
    let said = case.analyze(&["a.csv", "b.csv"], flags);
    assert_eq!((said.code, &*said.out, case.written().len()), (FAILED, "", 0), "{said:?}");
    assert!(said.err.contains(held) && said.err.lines().count() == 1, "{held} in {said:?}");
}

#[test]
fn sides_that_are_not_there() {
    let case = case();
    fails(
        &case,
        &["--compare", "a", "none"],
        "--compare none: no run of that variant or name is among those given (v)",
    );
    fails(&case, &["--compare", "a", "a"], "--compare a: is named twice");
    fails(&case, &["--compare", "a", "v"], "--compare v: the run a is on both sides");
    for directory in ["empty", "missing"] {
        let path = case.path(directory);
        let baseline = path.to_str().unwrap();
        let held = format!("{directory}: no recorded run is here");
        fails(&case, &["--baseline", baseline, "--max-regression", "10%"], &held);
    }
    let itself = case.home.path().to_str().unwrap();
    fails(&case, &["--baseline", itself, "--max-regression", "10%"], "the run a is on both sides");
}

#[test]
fn one_run_against_one_cannot_be_decided() {
    let case = case();
    let old = case.path("old");
    let flags = ["--baseline", old.to_str().unwrap(), "--max-regression", "10%", "--only", "tables"];
    let said = case.analyze(&["a.csv"], &flags);
    assert!(said.code == 5 && said.out.contains("annot decide"), "{said:?}");
}

#[test]
fn a_variant_without_a_baseline_is_said() {
    let case = case();
    case.write("w.csv", &csv(&lines(20)));
    case.write("w.json", manifest(20, "").replace(r#""v""#, r#""w""#).as_bytes());
    let old = case.path("old");
    let flags = ["--baseline", old.to_str().unwrap(), "--max-regression", "10%", "--only", "tables"];
    let said = case.analyze(&["a.csv", "w.csv"], &flags);
    assert!(said.out.contains("old has no run of it, so nothing is decided about it"), "{said:?}");
}

#[test]
fn an_invalid_run_is_a_finding_and_no_error() {
    let case = case();
    case.write("a.json", manifest(21, "").as_bytes());
    for only in ["tables", "d2-d5"] {
        let said = case.analyze(&["a.csv"], &["--only", only]);
        let held = "**INVALID**: the ledger says rows 21, the rows say 20";
        assert!(said.code == DONE && said.out.contains(held), "{said:?}");
    }
}
