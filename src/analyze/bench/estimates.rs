//! Criterion's estimates of one run, as it leaves them in a directory a bench, and as one small file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What Criterion measured is not there, or is not Criterion's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a directory cannot be read.
    #[error("{}: {source}; run the benches first, as scripts/bench does", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what Criterion writes.
    #[error("{}: not as Criterion writes it ({source}); remove the directory and run the benches again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is nothing at all.
    #[error("{}: no bench has been run into it; `cargo bench -- --test` measures nothing", .0.display())]
    Empty(PathBuf),
}

/// One bench.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// What is measured.
    pub group: String,
    /// How it is done.
    pub function: String,
    /// What is varied: a size, a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Time of one iteration in ns: the median.
    pub median_ns: f64,
    /// Bounds of its 95 % interval within this run.
    pub within_ns: [f64; 2],
    /// Events, rows or the like that one iteration handles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<u64>,
    /// Bytes that one iteration handles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// All that one run of the benches left.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Benches by group, in the order of their names.
    pub benches: Vec<Bench>,
    /// What each bench program noted beside: `substrate-kafka`, `allocations`.
    pub notes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Named {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Bench {
    /// `group/function/value`, as Criterion has it.
    pub fn id(&self) -> String {
        let value = self.value.as_ref().map_or_else(String::new, |value| format!("/{value}"));
        format!("{}/{}{value}", self.group, self.function)
    }

    /// Time for one element (or for the iteration, where it has none) in ns: median, and its interval.
    pub fn each_ns(&self) -> [f64; 3] {
        let count = self.elements.unwrap_or(1).max(1) as f64;
        [self.median_ns, self.within_ns[0], self.within_ns[1]].map(|ns| ns / count)
    }
}

impl Run {
    /// Reads everything below Criterion's directory.
    ///
    /// # Errors
    /// What is missing or malformed, with its path.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let mut run = Self::default();
        for path in entries(directory)? {
            if path.is_dir() {
                run.take(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                run.notes.insert(name, parsed(&path)?);
            }
        }
        if run.benches.is_empty() {
            return Err(Error::Empty(directory.to_owned()));
        }
        run.benches.sort_by(|a, b| {
            (&a.group, &a.function, order(a))
                .partial_cmp(&(&b.group, &b.function, order(b)))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        Ok(run)
    }

    fn take(&mut self, directory: &Path) -> Result<(), Error> {
        let newest = directory.join("new");
        if newest.join("benchmark.json").exists() {
            self.benches.push(bench(&newest)?);
            return Ok(());
        }
        entries(directory)?.iter().filter(|path| path.is_dir()).try_for_each(|path| self.take(path))
    }

    /// The bench of this name.
    pub fn bench(&self, id: &str) -> Option<&Bench> {
        self.benches.iter().find(|bench| bench.id() == id)
    }
}

/// Numbers by their size, before words.
fn order(bench: &Bench) -> (u64, String) {
    let value = bench.value.clone().unwrap_or_default();
    (value.parse().unwrap_or(u64::MAX), value)
}

fn bench(directory: &Path) -> Result<Bench, Error> {
    let named: Named = parsed(&directory.join("benchmark.json"))?;
    let Estimate { point_estimate, confidence_interval } =
        parsed::<Estimates>(&directory.join("estimates.json"))?.median;
    let count = |kind: &str| named.throughput.as_ref().and_then(|throughput| throughput.get(kind)).copied();
    Ok(Bench {
        median_ns: point_estimate,
        within_ns: [confidence_interval.lower_bound, confidence_interval.upper_bound],
        elements: count("Elements"),
        bytes: count("Bytes"),
        group: named.group_id,
        function: named.function_id.unwrap_or_default(),
        value: named.value_str,
    })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Unreadable { path: directory.to_owned(), source };
    let found = fs::read_dir(directory).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> =
        found.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

fn parsed<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Error::Malformed { path: path.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Leaves a bench in a directory as Criterion does.
    pub fn leave(directory: &Path, id: [&str; 3], median_ns: f64, elements: u64) {
        let newest = directory.join(id[0]).join(id[1]).join(id[2]).join("new");
        fs::create_dir_all(&newest).unwrap();
        let value = (!id[2].is_empty()).then_some(id[2]);
        let named = serde_json::json!({
            "group_id": id[0], "function_id": id[1], "value_str": value, "throughput": { "Elements": elements },
            "full_id": id.join("/"), "directory_name": id.join("/"), "title": id.join("/"),
        });
        fs::write(newest.join("benchmark.json"), named.to_string()).unwrap();
        let interval = |low: f64, high: f64| serde_json::json!({ "confidence_level": 0.95, "lower_bound": low, "upper_bound": high });
        let interval = interval(median_ns * 0.9, median_ns * 1.1);
        let estimate =
            serde_json::json!({ "confidence_interval": interval, "point_estimate": median_ns, "standard_error": 1.0 });
        let estimates = serde_json::json!({ "mean": estimate, "median": estimate, "slope": null });
        fs::write(newest.join("estimates.json"), estimates.to_string()).unwrap();
    }

    #[test]
    fn what_criterion_leaves_is_found_and_sorted() {
        let directory = tempfile::tempdir().unwrap();
        for (value, ns) in [("64", 640.0), ("1024", 9_000.0), ("4", 50.0)] {
            leave(directory.path(), ["store", "script", value], ns, value.parse().unwrap());
        }
        leave(directory.path(), ["store", "clock", ""], 30.0, 1);
        fs::write(directory.path().join("allocations.json"), r#"{"encode":0.0}"#).unwrap();
        fs::create_dir(directory.path().join("report")).unwrap();
        let run = Run::read(directory.path()).unwrap();
        let ids: Vec<_> = run.benches.iter().map(Bench::id).collect();
        assert_eq!(ids, ["store/clock", "store/script/4", "store/script/64", "store/script/1024"]);
        assert_eq!(run.bench("store/script/64").unwrap().each_ns(), [10.0, 9.0, 11.0]);
        assert_eq!(run.notes["allocations"]["encode"], 0.0);
        let kept: Run = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
        assert_eq!(kept, run);
    }

    #[test]
    fn nothing_and_nonsense_are_told_by_their_path() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Run::read(&directory.path().join("none")), Err(Error::Unreadable { .. })));
        assert!(matches!(Run::read(directory.path()), Err(Error::Empty(_))));
        leave(directory.path(), ["store", "script", "4"], 1.0, 4);
        fs::write(directory.path().join("store/script/4/new/estimates.json"), "{}").unwrap();
        let told = Run::read(directory.path()).unwrap_err().to_string();
        assert!(told.contains("estimates.json") && told.contains("median"), "{told}");
    }
}
