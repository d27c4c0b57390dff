//! Files that are no files of rows, named in odd ways, or at odds with each other.

use std::{cell::RefCell, fs::OpenOptions, io::Write, os::unix::fs::symlink, sync::Mutex};

use super::{Case, csv, lines, manifest};
use crate::{
    arguments::Only,
    input,
    program::FAILED,
    row::Row,
    scan::{self, Shared, Sink, names::Directory},
};

fn rows() -> Vec<u8> {
    csv(&lines(20))
}

#[test]
fn a_directory_a_fifo_and_nothing() {
    Case::new(&[("a.csv/b.csv", &rows())]).refuses(&["a.csv"], &["a.csv: is a directory; name the files in it"]);
    Case::new(&[]).refuses(&["a.csv"], &["a.csv: No such file or directory", "name a run's rows"]);
    Case::new(&[("a.txt", b"")]).refuses(&["a.txt"], &["a.txt: is neither .csv nor .parquet nor .json"]);
    let device = std::path::Path::new("/dev/null");
    let case = Case::new(&[]);
    symlink(device, case.path("a.csv")).unwrap();
    case.refuses(&["a.csv"], &["a.csv: is no regular file"]);
}

#[test]
fn a_gzip() {
    let gzip = [b"\x1f\x8b\x08\0", &rows()[..]].concat();
    Case::new(&[("a.csv", &gzip)]).refuses(&["a.csv"], &["a.csv, line 1: is gzip; unpack it with `gunzip`"]);
    Case::new(&[("a.csv.gz", &gzip)])
        .refuses(&["a.csv.gz"], &["a.csv.gz: is neither .csv nor .parquet nor .json; unpack it first"]);
}

#[test]
fn the_same_file_twice() {
    let case = Case::new(&[("a.csv", &rows()), ("d/x", b"")]);
    symlink("a.csv", case.path("b.csv")).unwrap();
    for other in ["a.csv", "./a.csv", "d/../a.csv", "b.csv"] {
        case.refuses(&["a.csv", other], &["a.csv: is named twice; name each file once".trim_start_matches("a.csv")]);
    }
}

#[test]
fn two_runs_of_one_name() {
    let case = Case::new(&[("x/a.csv", &rows()), ("y/a.csv", &rows())]);
    case.refuses(&["x/a.csv", "y/a.csv"], &["x/a.csv: and ", "y/a.csv are both rows of the run `a`", "rename one"]);
    let part = |variant: &str| manifest(20, "").replace(r#""v""#, &format!("{variant:?}"));
    let [one, other] = ["v", "another"].map(part);
    let files =
        [("a@0.csv", &rows()[..]), ("a@0.json", one.as_bytes()), ("a@1.csv", &rows()), ("a@1.json", other.as_bytes())];
    Case::new(&files).refuses(
        &["a@0.csv", "a@1.csv"],
        &["a@1.json: has another variant than ", "a@0.json, so they are parts of two runs"],
    );
}

#[test]
fn rows_without_a_manifest_and_a_manifest_without_rows() {
    let case = Case::new(&[("a.csv", &rows()), ("b.json", manifest(20, "").as_bytes())]);
    let held = ["**no manifest**", "no verdict: no manifest, so nothing says that these rows are all", "| D2     |"];
    case.says(&["a.csv"], &[], &held);
    case.says(&["b.json"], &[], &["**no rows**, only the manifest", "planned 20 = sent 20"]);
    case.says(&["b.json"], &["--only", "d2-d5"], &["Only the manifest is there, and D2–D5 need the rows."]);
}

#[test]
fn a_run_that_fails_hides_no_other_and_nothing_is_made_of_the_rest() {
    let case = Case::new(&[("a.csv", &rows()), ("b.csv", b""), ("c.csv", b"x\n")]);
    let said = case.analyze(&["a.csv", "b.csv", "c.csv"], &[]);
    assert_eq!((said.code, said.err.lines().count(), case.written().len()), (FAILED, 2, 0), "{said:?}");
}

#[test]
fn no_runs_at_all() {
    let case = Case::new(&[("results/x.txt", b"")]);
    for pattern in ["results/*.csv", "results/*.parquet", "none/*.csv"] {
        case.refuses(&[pattern], &["no recorded run is here; `cargo run --bin experiment` records one"]);
    }
    assert!(input::in_directory(&case.path("results")).is_err(), "as without a file's name");
    assert!(case.arguments(&[], &[]).makes(Only::Report) && case.arguments(&[], &[]).files.is_empty());
}

#[derive(Debug)]
struct Nothing;

impl Sink for Nothing {
    fn add(&mut self, _: &Row, _: u16) -> std::io::Result<()> {
        Ok(())
    }

    fn merge(&mut self, _: Self) -> std::io::Result<()> {
        Ok(())
    }
}

/// While the file is read, before its last part.
fn changed(change: impl FnOnce(&std::fs::File) + Send) -> String {
    let case = Case::new(&[("a.csv", &csv(&lines(200_000)))]);
    let (path, directory) = (case.path("a.csv"), Directory::default());
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let change = Mutex::new(RefCell::new(Some(change)));
    let shared = Shared {
        directory: &directory,
        sink: &|| Ok(Nothing),
        skip_bad_rows: false,
        columns: &shasta_model::columns::COLUMNS,
    };
    let progress = |_| {
        if let Some(change) = change.lock().unwrap().take() {
            change(&file);
        }
    };
    scan::file(&path, &shared, &progress).unwrap_err().to_string()
}

#[test]
fn a_file_that_changes_while_it_is_read() {
    for error in [changed(|mut file| file.write_all(b"p0").unwrap()), changed(|file| file.set_len(1_000_000).unwrap())]
    {
        assert!(error.contains("a.csv: changed while it was read; wait until the run has ended"), "{error}");
    }
}
