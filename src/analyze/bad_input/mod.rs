//! Bad input, as the program meets it: each case is a command line and what it says. Whatever fails is told with file
//! and line and what to do, and nothing is written then.

mod experiments;
mod files;
mod flags;
mod foreign;
mod manifests;
mod other_run;
mod output;
mod parquet;
mod rows;

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use tempfile::TempDir;

use crate::{
    arguments::Arguments,
    program::{self, Screen},
};
use shasta_model::columns::COLUMNS;

/// A directory with files, and the program.
struct Case {
    home: TempDir,
}

/// What the program said.
#[derive(Debug)]
struct Said {
    code: u8,
    out: String,
    err: String,
}

impl Case {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let case = Self { home: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(name, bytes)| case.write(name, bytes));
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// `analyze FLAGS FILES --out out`, the files being in the directory.
    fn analyze(&self, files: &[&str], flags: &[&str]) -> Said {
        let mut out = Vec::new();
        let (code, err) = self.printing(files, flags, &mut out);
        Said { code, out: String::from_utf8(out).unwrap(), err }
    }

    fn printing(&self, files: &[&str], flags: &[&str], out: &mut dyn Write) -> (u8, String) {
        let arguments = self.arguments(files, flags);
        let mut err = Vec::new();
        let mut screen = Screen { out, is_terminal: false, err: &mut err, bar: ProgressBar::hidden() };
        let code = program::run(&arguments, &mut screen);
        (code, String::from_utf8(err).unwrap())
    }

    fn arguments(&self, files: &[&str], flags: &[&str]) -> Arguments {
        let out = self.path("out").into_os_string();
        let before = [OsString::from("analyze"), "--out".into(), out].into_iter();
        let flags = flags.iter().map(OsString::from);
        let files = files.iter().map(|file| self.path(file).into_os_string());
        Arguments::checked(before.chain(flags).chain(["--".into()]).chain(files)).unwrap()
    }

    /// Which files there are below `out`.
    fn written(&self) -> Vec<PathBuf> {
        fn below(directory: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { below(&path, files) } else { files.push(path) }
            }
        }
        let mut files = Vec::new();
        below(&self.path("out"), &mut files);
        files
    }

    /// That the program fails with one line that holds all of this, and writes nothing; also when only D2–D5 are asked.
    fn refuses(&self, files: &[&str], held: &[&str]) {
        for only in ["tables", "report", "d2-d5"] {
            let said = self.analyze(files, &["--only", only]);
            assert_eq!((said.code, &*said.out, self.written().len()), (program::FAILED, "", 0), "{said:?}");
            assert_eq!(said.err.lines().count(), 1, "{said:?}");
            for held in held {
                assert!(said.err.contains(held), "{held} in {said:?}");
            }
        }
    }

    /// That it succeeds and says all of this; returns what it said.
    fn says(&self, files: &[&str], flags: &[&str], held: &[&str]) -> String {
        let said = self.analyze(files, flags);
        assert_eq!(said.code, program::DONE, "{said:?}");
        for held in held {
            assert!(said.out.contains(held), "{held} in {}", said.out);
        }
        said.out
    }
}

/// A CSV of these lines.
fn csv(lines: &str) -> Vec<u8> {
    format!("{}\n{lines}", COLUMNS.join(",")).into_bytes()
}

/// Lines of `n` sound events, ms apart, each 5 ms to its worker and 6 ms to the store.
fn lines(n: u64) -> String {
    (0..n)
        .map(|k| {
            let us = 1_700_000_000_000_000 + k * 1_000;
            let (consumed, stored) = (us + 5_000, us + 6_000);
            format!("p0,w0,0,0,0,{k},{k},{us},{us},{stored},{},{consumed},{stored},\n", us / 1000)
        })
        .collect()
}

/// A manifest of `n` events that all arrived; `more` fields stand before its ledger.
fn manifest(n: u64, more: &str) -> String {
    format!(
        r#"{{"run":"a","variant_name":"v",{more}"ledger":{{"planned":{n},"sent":{n},"unsent":0,"acked":{n},"failed":0,
        "maybe":0,"acked_consumed":{n},"lost":0,"maybe_consumed":0,"maybe_unseen":0,"consumed":{n},"stored":{n},
        "set_aside":0,"unstored":0,"rows":{n},"duplicates":0,"foreign":0,"warm":0,"zero":0,"negative":0,"late":0,
        "valid":true,"problems":[]}}}}"#
    )
}

/// A reader that goes away, or a full disk.
struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
