//! Reading a manifest, which may be of any version, of another program, damaged, or no manifest at all.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Manifest, SCHEMA_VERSION};

/// A second of a run takes some 250 bytes, and a manifest is read into memory whole: enough for a run of ten days.
const BYTES_MAX: u64 = 256 << 20;

/// Why a manifest cannot be read. What to do about it depends on who wants to read it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is missing, or the system does not give it.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a manifest.
    #[error("{}: not a manifest of a run ({source})", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// It is larger than a manifest can be.
    #[error("{}: has more than {} MiB, and no manifest of a run has", path.display(), BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the harness has written it.
    #[error(
        "{}: is a manifest of schema version {version}, and this program reads versions up to {SCHEMA_VERSION}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

impl Manifest {
    /// Reads the manifest of a run.
    ///
    /// # Errors
    /// It cannot be read, is none, or is of a later version.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        let mut text = Vec::new();
        File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut text)).map_err(unreadable)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(ReadError::TooLarge { path: path.to_owned() });
        }
        let read = parse::<Self>(&text);
        // What a later version means by its keys is not known here, even where it can be read.
        let version = match &read {
            Ok(manifest) => u64::from(manifest.schema_version),
            Err(_) => parse::<Version>(&text).map_or(0, |version| version.schema_version),
        };
        if version > u64::from(SCHEMA_VERSION) {
            return Err(ReadError::Newer { path: path.to_owned(), version });
        }
        read.map_err(|source| ReadError::Malformed { path: path.to_owned(), source })
    }
}

#[derive(Deserialize)]
struct Version {
    schema_version: u64,
}

fn parse<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).map(|Object(read)| read)
}

/// What is read from an object alone: a struct would be read from a list as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the manifest of a run")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Keys(std::marker::PhantomData)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What the first manifests of other programs have at least.
    fn least() -> Value {
        let counts = [
            "planned",
            "sent",
            "unsent",
            "acked",
            "failed",
            "maybe",
            "acked_consumed",
            "lost",
            "maybe_consumed",
            "maybe_unseen",
            "consumed",
            "stored",
            "set_aside",
            "unstored",
            "rows",
            "duplicates",
            "foreign",
            "warm",
            "zero",
            "negative",
            "late",
        ];
        let mut ledger: serde_json::Map<_, _> = counts.map(|name| (name.to_owned(), json!(0))).into_iter().collect();
        ledger.insert("valid".to_owned(), json!(true));
        json!({ "run": "r", "ledger": ledger })
    }

    fn read(text: &str) -> Result<Manifest, ReadError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.json");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path)
    }

    fn with(key: &str, value: Value) -> Result<Manifest, ReadError> {
        let mut manifest = least();
        manifest[key] = value;
        read(&manifest.to_string())
    }

    #[test]
    fn what_an_early_manifest_lacks_is_not_known() {
        let manifest = read(&least().to_string()).unwrap();
        assert_eq!((manifest.schema_version, manifest.run.as_str(), manifest.ledger.valid), (1, "r", true));
        assert_eq!((manifest.window_us, manifest.conduct.runs_before, manifest.overrides), (None, None, None));
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = with("harness", json!({ "seconds": { "at_us": [7], "work_us": [2.5] } })).unwrap();
        let written = serde_json::to_string(&manifest).unwrap();
        assert!(written.starts_with(r#"{"schema_version":1,"run":"r","#), "{written}");
        assert_eq!(serde_json::to_string(&read(&written).unwrap()).unwrap(), written);
    }

    #[test]
    fn a_later_version_is_refused_whatever_it_has() {
        for more in [json!(null), json!({ "run": 7, "ledger": "elsewhere" })] {
            let mut manifest = least();
            if let Value::Object(fields) = more {
                fields.into_iter().for_each(|(key, value)| manifest[key] = value);
            }
            manifest["schema_version"] = json!(SCHEMA_VERSION + 1);
            let said = read(&manifest.to_string()).unwrap_err().to_string();
            assert!(said.contains("r.json: is a manifest of schema version 2, and"), "{said}");
            assert!(said.ends_with("reads versions up to 1"), "{said}");
        }
        assert!(matches!(with("schema_version", json!(1u64 << 40)), Err(ReadError::Newer { .. })));
    }

    #[test]
    fn what_a_run_is_judged_by_must_have_its_shape_and_the_rest_need_not() {
        for key in
            ["run", "ledger", "interrupted", "caveats", "latencies", "window_us", "variant", "host", "schema_version"]
        {
            let said = with(key, json!("7 odd")).map_or_else(|error| error.to_string(), |_| String::new());
            assert_eq!(said.contains("r.json: not a manifest of a run (invalid type"), key != "run", "{key}: {said}");
        }
        for key in [
            "verdict_kind",
            "planned",
            "conduct",
            "lateness",
            "harness",
            "machine_before",
            "clock",
            "faults",
            "verification",
            "set_aside",
            "refusals",
            "undecodable",
            "warnings",
            "overrides",
            "clients",
            "cluster",
            "topic",
            "command_line",
            "versions",
            "security",
        ] {
            for odd in [json!("x"), json!(-1), json!([[]]), json!({ "a": 1 }), Value::Null] {
                assert!(with(key, odd.clone()).is_ok(), "{key} {odd}");
            }
        }
        for odd in ["", "null", "[]", "7", "{", r#"{"run":"r"}"#] {
            assert!(matches!(read(odd), Err(ReadError::Malformed { .. })), "{odd}");
        }
    }

    #[test]
    fn faults_and_rebalances_are_read_one_by_one() {
        let faults = json!([{ "start_us": 5, "done": "x" }, { "what": "no time" }, 7, { "start_us": 5, "end_us": 9 }]);
        let times: Vec<_> =
            with("faults", faults).unwrap().faults.iter().map(|fault| (fault.start_us, fault.end_us)).collect();
        assert_eq!(times, [(5, 5), (5, 9)]);
        let conduct =
            json!({ "cores": "of a later version", "waited": 3, "rebalances": [{ "at_us": 4 }, { "worker": 1 }] });
        let conduct = with("conduct", conduct).unwrap().conduct;
        assert_eq!((conduct.cores, conduct.waited, conduct.rebalances.len()), (None, 3, 1));
    }
}
