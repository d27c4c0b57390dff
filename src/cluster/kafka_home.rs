//! The pinned Kafka and the Java that runs it: found and checked before anything starts.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{ClusterError, error::file_error};
use crate::machine::process::{self, find_program};

/// The version that `scripts/setup` installs and every local cluster runs.
pub const KAFKA_VERSION: &str = "4.1.1";
const JAVA_MIN: u32 = 17;

/// Where programs, jars and temporary directories are.
#[derive(Debug, Clone)]
pub struct Site {
    /// Kafka's jars.
    pub libs: PathBuf,
    /// Where to look for `java` and `redis-server`; none for the `PATH` of this process.
    pub path: Option<std::ffi::OsString>,
    /// Where temporary directories are made.
    pub temp: PathBuf,
}

impl Site {
    /// This machine, as `SHASTA_KAFKA_LIBS`, `XDG_CACHE_HOME`, `HOME`, `PATH` and `TMPDIR` say.
    pub fn from_env() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).unwrap_or_default();
        let libs =
            set("SHASTA_KAFKA_LIBS").unwrap_or_else(|| cache().join(format!("shasta/kafka-{KAFKA_VERSION}/libs")));
        Self { libs, path: None, temp: std::env::temp_dir() }
    }

    /// The program of this name.
    pub(super) fn program(&self, name: &str, package: &'static str) -> Result<PathBuf, ClusterError> {
        Ok(find_program(name, self.path.as_deref()).ok_or_else(|| process::missing(name, package))?)
    }
}

/// A Java that is new enough.
#[derive(Debug, Clone)]
pub(super) struct Java {
    pub(super) program: PathBuf,
    /// The first line of `java -version`.
    pub(super) version: String,
}

impl Java {
    pub(super) fn find(site: &Site) -> Result<Self, ClusterError> {
        let program = site.program("java", "openjdk-17-jre-headless")?;
        // In a group of its own, so that a terminal's Ctrl-C does not pass for a broken Java.
        let asked = Command::new(&program).arg("-version").process_group(0).output();
        let output = asked.map_err(file_error(&program, "run"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let version = text.lines().find(|line| line.contains("version")).unwrap_or("of an unknown version").to_owned();
        match major(&version) {
            Some(major) if major >= JAVA_MIN => Ok(Self { program, version }),
            _ => Err(ClusterError::OldJava { java: program, found: version, kafka: KAFKA_VERSION }),
        }
    }
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`, 8 of `java version "1.8.0_292"`.
fn major(version: &str) -> Option<u32> {
    let mut parts = version.split('"').nth(1)?.split(['.', '-', '+', '_']).map(str::parse);
    match parts.next()?.ok()? {
        1 => parts.next()?.ok(),
        major => Some(major),
    }
}

/// Refuses jars that are missing, of another version or not whole.
pub(super) fn check_jars(libs: &Path) -> Result<(), ClusterError> {
    let wrong = |problem: String| ClusterError::Jars { dir: libs.to_path_buf(), problem, kafka: KAFKA_VERSION };
    let entries = fs::read_dir(libs).map_err(|error| wrong(format!("no Kafka jars ({error})")))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let jars: Vec<PathBuf> = files.filter(|path| path.extension() == Some(OsStr::new("jar"))).collect();
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    for part in ["kafka_2.13", "kafka-clients", "kafka-server"] {
        let of =
            |jar: &PathBuf| Some(name(jar).strip_prefix(part)?.strip_prefix('-')?.strip_suffix(".jar")?.to_owned());
        let versions: Vec<String> =
            jars.iter().filter_map(of).filter(|v| v.starts_with(|c: char| c.is_ascii_digit())).collect();
        match versions.as_slice() {
            [version] if version == KAFKA_VERSION => {}
            [] => return Err(wrong(format!("{part}-{KAFKA_VERSION}.jar is missing"))),
            found => return Err(wrong(format!("{part} is there as {}", found.join(" and ")))),
        }
    }
    match jars.iter().find(|jar| !is_zip(jar)) {
        Some(jar) => Err(wrong(format!("{} is not a jar file", name(jar)))),
        None => Ok(()),
    }
}

fn is_zip(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"PK\x03\x04"
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn site(path: &Path) -> Site {
        Site { path: Some(path.into()), ..Site::from_env() }
    }

    #[test]
    fn java_is_missing_or_old_or_good() {
        let dir = tempfile::tempdir().unwrap();
        let text = Java::find(&site(dir.path())).unwrap_err().to_string();
        assert!(text.contains("`java` is not on PATH") && text.contains("scripts/setup"), "{text}");

        let java = dir.path().join("java");
        for (said, good) in [("1.8.0_292", false), ("11.0.2", false), ("17.0.15", true), ("25-ea", true)] {
            fs::write(&java, format!("#!/bin/sh\necho 'openjdk version \"{said}\"' >&2\n")).unwrap();
            fs::set_permissions(&java, fs::Permissions::from_mode(0o755)).unwrap();
            match Java::find(&site(dir.path())) {
                Ok(_) => assert!(good, "{said}"),
                Err(error) => assert!(!good && error.to_string().contains(said), "{error}"),
            }
        }
    }

    #[test]
    fn wrong_jars_are_named_with_their_directory() {
        let dir = tempfile::tempdir().unwrap();
        let expect = |problem: &str| {
            let text = check_jars(dir.path()).unwrap_err().to_string();
            assert!(text.contains(problem) && text.contains("scripts/setup"), "{text}");
            assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
        };
        let jar = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        expect("kafka_2.13-4.1.1.jar is missing");
        jar("kafka_2.13-3.9.1.jar", b"PK\x03\x04");
        expect("kafka_2.13 is there as 3.9.1");
        fs::remove_file(dir.path().join("kafka_2.13-3.9.1.jar")).unwrap();
        for part in ["kafka_2.13", "kafka-clients", "kafka-server", "kafka-server-common"] {
            jar(&format!("{part}-{KAFKA_VERSION}.jar"), b"PK\x03\x04");
        }
        check_jars(dir.path()).unwrap();
        jar("log4j-core-2.24.3.jar", b"<html>");
        expect("log4j-core-2.24.3.jar is not a jar file");
        assert!(check_jars(Path::new("/nonexistent")).unwrap_err().to_string().contains("/nonexistent"));
    }
}
