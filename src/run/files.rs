//! The files of a run. Their names are taken before anything starts, and given back if nothing comes of it.
//! Rows are in CSV while the run goes on, and in the format that was asked for when it has ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Request, RunError};
use crate::output::{
    parquet_file::to_parquet,
    rows::{Format, Rows},
};

/// `<run>.csv` (or `.parquet`) and `<run>.json`, of a run that has just taken that name.
#[derive(Debug)]
pub(super) struct Files {
    run: String,
    rows_path: PathBuf,
    manifest_path: PathBuf,
    rows: Option<Rows>,
    /// Bytes of a file without rows.
    empty_bytes: u64,
}

impl Files {
    /// Takes the name that was asked for, or one made from variant and time.
    pub fn reserve(request: &Request) -> Result<Self, RunError> {
        let out = &request.out;
        fs::create_dir_all(out).map_err(|source| RunError::File { path: out.clone(), source })?;
        if let Some(run) = &request.run {
            let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if run.is_empty() || run.len() > 200 || !run.chars().all(valid) || run.starts_with('.') {
                return Err(RunError::Name(run.clone()));
            }
            return Self::take(out, run)?.ok_or_else(|| RunError::Exists(taken(out, run)));
        }
        let stamp = format!("{}-{}", request.name, Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
        let names = std::iter::once(stamp.clone()).chain((2..).map(|n| format!("{stamp}-{n}")));
        for run in names {
            if let Some(files) = Self::take(out, &run)? {
                return Ok(files);
            }
        }
        unreachable!("the names never end")
    }

    fn take(out: &Path, run: &str) -> Result<Option<Self>, RunError> {
        let rows_path = out.join(format!("{run}.csv"));
        let manifest_path = out.join(format!("{run}.json"));
        if manifest_path.exists() || out.join(format!("{run}.parquet")).exists() {
            return Ok(None);
        }
        match Rows::create(&rows_path) {
            Ok(rows) => {
                let empty_bytes = fs::metadata(&rows_path).map_or(0, |file| file.len());
                Ok(Some(Self { run: run.to_owned(), rows_path, manifest_path, rows: Some(rows), empty_bytes }))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(RunError::File { path: rows_path, source }),
        }
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    pub fn rows_path(&self) -> &Path {
        &self.rows_path
    }

    pub fn manifest_path(&self) -> &Path {
        &self.manifest_path
    }

    /// Name of the file of rows.
    pub fn rows_file(&self) -> String {
        self.rows_path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Brings the rows, all of them written, into `format`. Whatever goes wrong, the rows are where [`Self::rows_path`]
    /// says; returns what to tell about it.
    pub fn settle(&mut self, format: Format) -> Option<String> {
        if format == Format::Csv {
            return None;
        }
        let csv = self.rows_path.clone();
        let parquet = csv.with_extension("parquet");
        if let Err(error) = to_parquet(&csv, &parquet) {
            let (parquet, csv) = (parquet.display(), csv.display());
            return Some(format!("{parquet} could not be written, so the rows stay in {csv}: {error}"));
        }
        self.rows_path = parquet;
        let error = fs::remove_file(&csv).err()?;
        Some(format!(
            "{} holds the rows now, but {} could not be removed: {error}",
            self.rows_path.display(),
            csv.display()
        ))
    }

    /// Removes the rows, all of which have been read: only the manifest stays of the run.
    pub fn discard(&mut self) -> Option<String> {
        let error = fs::remove_file(&self.rows_path).err()?;
        Some(format!("{} could not be removed: {error}", self.rows_path.display()))
    }

    /// The open file of rows; whoever takes it writes it.
    pub fn take_rows(&mut self) -> Rows {
        self.rows.take().expect("the rows are taken once")
    }
}

/// The file that has the name of a run already.
fn taken(out: &Path, run: &str) -> PathBuf {
    let path = |extension| out.join(format!("{run}.{extension}"));
    [path("json"), path("parquet")].into_iter().find(|path| path.exists()).unwrap_or_else(|| path("csv"))
}

impl Drop for Files {
    fn drop(&mut self) {
        let measured = fs::metadata(&self.rows_path).is_ok_and(|file| file.len() > self.empty_bytes);
        if !measured && !self.manifest_path.exists() {
            // Nothing came of the run, so its name is free again.
            let _ = fs::remove_file(&self.rows_path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::Row;

    fn files(out: &Path) -> Files {
        let mut files = Files::take(out, "x.1").unwrap().unwrap();
        let mut rows = files.take_rows();
        rows.write(&Row { source: "p0".into(), ..Row::default() }).unwrap();
        rows.flush().unwrap();
        files
    }

    fn names(out: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn rows_end_in_the_format_asked_for_and_keep_their_name() {
        let out = tempfile::tempdir().unwrap();
        let mut files = files(out.path());
        assert_eq!((files.settle(Format::Csv), files.rows_file()), (None, "x.1.csv".into()));
        assert_eq!((files.settle(Format::Parquet), files.rows_file()), (None, "x.1.parquet".into()));
        drop(files);
        assert_eq!(names(out.path()), ["x.1.parquet"], "rows were measured, so they stay");
        assert!(Files::take(out.path(), "x.1").unwrap().is_none());
        assert_eq!(taken(out.path(), "x.1"), out.path().join("x.1.parquet"));
    }

    #[test]
    fn rows_that_cannot_be_converted_stay_as_they_are() {
        let out = tempfile::tempdir().unwrap();
        let mut files = files(out.path());
        fs::write(out.path().join("x.1.parquet"), "another's").unwrap();
        let trouble = files.settle(Format::Parquet).unwrap();
        assert!(trouble.contains("so the rows stay in") && trouble.contains("x.1.csv"), "{trouble}");
        assert_eq!(files.rows_file(), "x.1.csv");
        drop(files);
        assert_eq!(names(out.path()), ["x.1.csv", "x.1.parquet"]);
    }
}
