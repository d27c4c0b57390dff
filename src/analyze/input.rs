//! Finds the files of runs: rows as CSV or Parquet, one file or a part a host, and manifests.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Where runs are recorded.
pub const RESULTS: &str = "results";

/// Why a file cannot be analyzed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{}: {source}; name a run's rows, as in `cargo run --bin analyze results/<run>.csv`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a file of rows at all.
    #[error("{}: {what}", path.display())]
    NotRows {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// One line is not a row.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, the header being 1.
        line: usize,
        /// What is wrong, and what to do.
        what: String,
    },
}

/// The files of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its name: that of its files without their ending, and without what stands after `@`.
    pub name: String,
    /// Rows: one file, or a part a host; none when only the manifest is left.
    pub rows: Vec<PathBuf>,
    /// Manifests that are there.
    pub manifests: Vec<PathBuf>,
}

impl Recorded {
    /// Whether its rows are parts that must be joined.
    pub fn is_parted(&self) -> bool {
        self.rows.iter().any(|path| is_part(path))
    }

    /// Bytes of its rows.
    pub fn bytes(&self) -> u64 {
        self.rows.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
    }
}

fn not_rows(path: &Path, what: impl Into<String>) -> Error {
    Error::NotRows { path: path.to_owned(), what: what.into() }
}

/// The runs of the files that are named, or every run in `results/`; sorted by name.
///
/// # Errors
/// A file that is named twice, is not there, or has an ending that no record has; two runs of one name.
pub fn find(named: Vec<PathBuf>) -> Result<Vec<Recorded>, Error> {
    if named.is_empty() {
        return in_directory(Path::new(RESULTS));
    }
    if let [pattern] = &named[..]
        && let Some(directory) = unmatched(pattern)
    {
        return in_directory(directory);
    }
    let mut seen = BTreeMap::new();
    for path in &named {
        let place = path.canonicalize().map_err(|source| Error::Unreadable { path: path.clone(), source })?;
        if seen.insert(place, path).is_some() {
            return Err(not_rows(path, "is named twice; name each file once"));
        }
    }
    grouped(named)
}

/// The directory of `results/*.csv` when no file is named so and the shell left the pattern as it was: the runs that are
/// there in another format are meant.
fn unmatched(pattern: &Path) -> Option<&Path> {
    let matches_rows = ["*.csv", "*.parquet", "*.json"].iter().any(|name| pattern.ends_with(name));
    (matches_rows && !pattern.exists()).then(|| pattern.parent()).flatten()
}

/// Every run in a directory.
///
/// # Errors
/// There is none.
pub fn in_directory(directory: &Path) -> Result<Vec<Recorded>, Error> {
    let none = || not_rows(directory, "no recorded run is here; `cargo run --bin experiment` records one");
    let files = fs::read_dir(directory).map_err(|_| none())?.filter_map(|entry| Some(entry.ok()?.path()));
    let runs = grouped(files.filter(|path| ending(path).is_some() && path.is_file()).collect())?;
    if runs.is_empty() { Err(none()) } else { Ok(runs) }
}

/// What a file holds, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Rows,
    Manifest,
}

fn ending(path: &Path) -> Option<Ending> {
    match path.extension()?.to_str()? {
        "csv" | "parquet" => Some(Ending::Rows),
        "json" => Some(Ending::Manifest),
        _ => None,
    }
}

/// Endings of files that hold another file, packed.
const PACKED: [&str; 8] = ["gz", "zst", "bz2", "xz", "lz4", "zip", "br", "7z"];

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_part(path: &Path) -> bool {
    stem(path).contains('@')
}

fn grouped(files: Vec<PathBuf>) -> Result<Vec<Recorded>, Error> {
    let mut runs: BTreeMap<String, Recorded> = BTreeMap::new();
    for path in files {
        if path.is_dir() {
            return Err(not_rows(&path, "is a directory; name the files in it, as in `results/*.csv`"));
        }
        let Some(ending) = ending(&path) else {
            let packed = path.extension().is_some_and(|ending| PACKED.iter().any(|packed| ending == *packed));
            let cure = if packed { "unpack it first" } else { "name a run's rows or its manifest" };
            return Err(not_rows(&path, format!("is neither .csv nor .parquet nor .json; {cure}")));
        };
        let name = stem(&path).split('@').next().unwrap_or_default().to_owned();
        let run = runs.entry(name.clone()).or_insert_with(|| Recorded { name, rows: vec![], manifests: vec![] });
        match ending {
            Ending::Rows => run.rows.push(path),
            Ending::Manifest => run.manifests.push(path),
        }
    }
    for run in runs.values_mut() {
        beside(run);
        check_one_run(run)?;
    }
    Ok(runs.into_values().collect())
}

/// Adds what was not named and lies beside: the manifests of rows, or the rows of a manifest.
fn beside(run: &mut Recorded) {
    let exists = |path: &PathBuf| path.is_file();
    if run.rows.is_empty() {
        let endings = ["parquet", "csv"];
        let rows =
            run.manifests.iter().filter_map(|path| endings.map(|e| path.with_extension(e)).into_iter().find(exists));
        run.rows = rows.collect();
    }
    let manifests = run.rows.iter().map(|path| path.with_extension("json"));
    let whole = run.rows.iter().map(|path| path.with_file_name(format!("{}.json", run.name)));
    run.manifests.extend(manifests.chain(whole).filter(exists));
    // The same file may be named in two ways.
    for files in [&mut run.rows, &mut run.manifests] {
        files.sort_by_key(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
        files.dedup_by_key(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
    }
}

fn check_one_run(run: &Recorded) -> Result<(), Error> {
    if run.name.is_empty() {
        let path = run.rows.iter().chain(&run.manifests).next().cloned().unwrap_or_default();
        return Err(not_rows(&path, "names no run before its `@`; a part is named `<run>@<instance>.csv`"));
    }
    let mut whole = run.manifests.iter().filter(|path| !is_part(path));
    if let (Some(one), Some(other)) = (whole.next(), whole.next()) {
        let what = format!(
            "and {} are both manifests of the run `{}`: two runs of one name, or one run twice; rename one with its rows, or \
             name only one",
            other.display(),
            run.name
        );
        return Err(not_rows(one, what));
    }
    let [first, second, ..] = &run.rows[..] else { return Ok(()) };
    if let Some(whole) = run.rows.iter().find(|path| !is_part(path)) {
        let other = if whole == first { second } else { first };
        let what = format!(
            "and {} are both rows of the run `{}`: two runs of one name, or one run twice; \
                            rename one with its manifest, or name only one",
            other.display(),
            run.name
        );
        return Err(not_rows(whole, what));
    }
    if let Some(pair) = run.rows.windows(2).find(|pair| stem(&pair[0]) == stem(&pair[1])) {
        let what = format!("and {} are the same part of the run `{}`; name only one", pair[1].display(), run.name);
        return Err(not_rows(&pair[0], what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            fs::create_dir_all(directory.path().join(file).parent().unwrap()).unwrap();
            fs::write(directory.path().join(file), "x").unwrap();
        }
        directory
    }

    fn named(directory: &tempfile::TempDir, files: &[&str]) -> Result<Vec<Recorded>, Error> {
        find(files.iter().map(|file| directory.path().join(file)).collect())
    }

    fn files(run: &Recorded) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        run.rows.iter().chain(&run.manifests).map(name).collect()
    }

    #[test]
    fn a_run_is_its_rows_and_its_manifest() {
        let directory =
            directory(&["a.csv", "a.json", "b@0.csv", "b@1.parquet", "b@0.json", "b.json", "c.json", "d.txt"]);
        let runs = in_directory(directory.path()).unwrap();
        let found: Vec<_> = runs.iter().map(files).collect();
        assert_eq!(
            found,
            [vec!["a.csv", "a.json"], vec!["b@0.csv", "b@1.parquet", "b.json", "b@0.json"], vec!["c.json"],]
        );
        assert_eq!((runs[0].is_parted(), runs[1].is_parted()), (false, true));
        assert_eq!(named(&directory, &["a.csv"]).unwrap(), runs[..1]);
        assert_eq!(named(&directory, &["a.json"]).unwrap(), runs[..1], "a manifest brings its rows");
        assert_eq!(named(&directory, &["a.csv", "a.json"]).unwrap(), runs[..1]);
        assert_eq!(named(&directory, &["*.csv"]).unwrap(), runs, "a pattern that the shell found no file for");
    }

    #[test]
    fn all_that_this_repository_has_recorded_are_runs() {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(RESULTS);
        let runs = in_directory(&results).unwrap();
        for run in &runs {
            assert!(Manifest::of(&run.name, &run.manifests).is_ok(), "{run:?}: `analyze` without arguments reads it");
        }
    }

    #[test]
    fn what_cannot_be_one_run_is_told() {
        let directory = directory(&[
            "a.csv",
            "a.parquet",
            "sub/a.csv",
            "@1.csv",
            "x/r@1.csv",
            "y/r@1.csv",
            "n.txt",
            "n.csv.gz",
            "m.json",
            "sub/m.json",
        ]);
        let told = |files: &[&str]| named(&directory, files).unwrap_err().to_string();
        assert!(told(&["a.csv", "a.csv"]).contains("named twice"));
        assert!(told(&["a.csv", "a.parquet"]).contains("both rows of the run `a`"));
        assert!(told(&["a.csv", "sub/a.csv"]).contains("rename one"));
        assert!(told(&["m.json", "sub/m.json"]).contains("both manifests of the run `m`"));
        assert!(told(&["x/r@1.csv", "y/r@1.csv"]).contains("same part"));
        assert!(told(&["@1.csv"]).contains("names no run"));
        assert!(told(&["none.csv"]).contains("No such file"));
        let none = find(vec![directory.path().join("sub/none/*.csv")]).unwrap_err().to_string();
        assert!(none.contains("no recorded run is here"), "{none}");
        assert!(told(&["n.txt"]).contains("neither .csv nor"));
        assert!(told(&["n.csv.gz"]).ends_with("unpack it first"));
        assert!(told(&["sub"]).contains("is a directory"));
        assert!(in_directory(&directory.path().join("none")).unwrap_err().to_string().contains("no recorded run"));
    }
}
