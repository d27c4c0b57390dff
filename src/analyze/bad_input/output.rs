//! Places that cannot be written, readers that go away.

use std::{fs, io::ErrorKind};

use super::{Case, Closed, csv, lines};
use crate::program::{DONE, FAILED};

fn case() -> Case {
    Case::new(&[("a.csv", &csv(&lines(20)))])
}

#[test]
fn an_output_directory_that_is_none_is_told_before_anything_is_read_or_printed() {
    let case = case();
    case.write("out", b"a file");
    for only in ["tables", "charts", "report"] {
        let said = case.analyze(&["a.csv"], &["--only", only]);
        let held = "out is a file and would have to be a directory: move it away";
        assert_eq!((said.code, said.err.contains(held), &*said.out), (FAILED, true, ""), "{said:?}");
        assert_eq!(said.err.matches("ot a directory").count(), 1, "a cause is told once: {said:?}");
    }
    case.says(&["a.csv"], &["--only", "d2-d5"], &["| D2     |"]);
}

#[test]
fn an_output_directory_that_may_not_be_written() {
    // Root may write anywhere but here.
    let case = case();
    std::os::unix::fs::symlink("/proc/self", case.path("out")).unwrap();
    let said = case.analyze(&["a.csv"], &[]);
    assert_eq!((said.code, &*said.out, said.err.lines().count()), (FAILED, "", 1), "{said:?}");
    assert!(said.err.contains("out: cannot be written (") && said.err.contains("write elsewhere"), "{said:?}");
}

#[test]
fn readers_that_go_away_have_read_enough() {
    let case = case();
    let (code, err) = case.printing(&["a.csv"], &[], &mut Closed(ErrorKind::BrokenPipe));
    assert_eq!((code, err.starts_with("Wrote ")), (DONE, true), "{err}");
    assert!(case.path("out/tables/a.md").exists() && case.path("out/report.html").exists());
    let (code, err) = case.printing(&["a.csv"], &[], &mut Closed(ErrorKind::StorageFull));
    assert_eq!((code, err.lines().count()), (FAILED, 1));
    assert!(err.starts_with("error: the tables could not be printed: "), "{err}");
}

#[test]
fn splicing_needs_a_marked_block_before_anything_else() {
    let case = case();
    for (bytes, held) in [
        (&b"# Notes\n"[..], "README.md: holds no marked block; insert these two lines"),
        (b"<!-- analyze -->\n", "must hold `<!-- analyze -->` once and"),
        (b"\xff\n", "line 1 is not UTF-8; name a Markdown file"),
    ] {
        case.write("README.md", bytes);
        let path = case.path("README.md");
        let said = case.analyze(&["a.csv"], &["--splice", path.to_str().unwrap()]);
        assert_eq!((said.code, &*said.out, case.written().len()), (FAILED, "", 0), "{said:?}");
        assert!(said.err.contains(held), "{said:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "the file is as it was");
    }
    let gone = case.analyze(&["a.csv"], &["--splice", "/none.md"]);
    assert_eq!(gone.err.matches("No such file").count(), 1, "a cause is told once: {gone:?}");
    assert_eq!(case.written().len(), 0);
}
