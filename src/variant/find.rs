//! From the name of a variant to its file.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use super::VariantError;

/// Where names are looked up: in the current directory first, so that variants of one's own come before the project's.
const DIRECTORIES: [&str; 2] = ["experiments", concat!(env!("CARGO_MANIFEST_DIR"), "/experiments")];

/// The file that a name or a path means. A path is not looked at yet.
pub(super) fn path(name_or_path: &str) -> Result<PathBuf, VariantError> {
    if name_or_path.contains('/') || name_or_path.ends_with(".toml") {
        return Ok(name_or_path.into());
    }
    match in_directories(name_or_path, &[]) {
        Some(path) => Ok(path),
        None => {
            let known = names()?;
            let nearest = nearest(name_or_path, known.iter().map(String::as_str));
            Err(VariantError::Unknown { name: shorten(name_or_path), nearest, known })
        }
    }
}

/// The file that `extends` means: beside the file that says it, else in the usual directories.
pub(super) fn extended(name: &str, from: &Path) -> Option<PathBuf> {
    in_directories(name, &[from.parent().unwrap_or(Path::new(""))])
}

fn in_directories(name: &str, first: &[&Path]) -> Option<PathBuf> {
    let directories = first.iter().copied().chain(DIRECTORIES.map(Path::new));
    let paths = directories.map(|directory| directory.join(format!("{name}.toml")));
    if is_plain(name) { paths.into_iter().find(|path| path.is_file()) } else { None }
}

/// Names of all variants that can be run, sorted. A file whose name starts with `_` is only there to be extended.
pub(super) fn names() -> Result<Vec<String>, VariantError> {
    Ok(all_names()?.into_iter().filter(|name| !name.starts_with('_')).collect())
}

/// Names of all that can be extended.
pub(super) fn all_names() -> Result<BTreeSet<String>, VariantError> {
    let mut names = BTreeSet::new();
    for directory in DIRECTORIES {
        let failed = |reason| VariantError::Read { path: directory.into(), reason };
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let file = entry.map_err(failed)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".toml"));
            names.extend(name.filter(|name| is_plain(name)).map(String::from));
        }
    }
    Ok(names)
}

/// The variant's name: its file's stem.
pub(super) fn stem(path: &Path) -> Result<String, VariantError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_plain(stem));
    stem.map(String::from).ok_or_else(|| VariantError::FileName(path.into()))
}

/// Whether the text can name a file, a run and a topic alike.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (1..=200).contains(&name.len()) && name.chars().all(plain) && !matches!(name, "." | "..")
}

/// The most similar of some names, if any is similar enough to be what was meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let similarity = |other: &str| strsim::jaro_winkler(name, other);
    let best = known.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) >= 0.7).then(|| best.to_string())
}

/// Text of any length made fit for a message of one line.
pub(super) fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut short: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '�' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all() {
        let error = path("8xlrge").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no variant `8xlrge` (did you mean `8xlarge`?); there are: 16p-gc64GB, "),
            "{error}"
        );
        assert!(path("zzz").unwrap_err().to_string().starts_with("there is no variant `zzz`; there are: "));
        assert!(path("").is_err() && path(&"x".repeat(9999)).is_err() && path("lap top\n").is_err());
    }

    #[test]
    fn files_to_be_extended_are_found_but_not_listed() {
        assert!(path("_base").is_ok());
        assert!(names().unwrap().iter().all(|name| !name.starts_with('_')));
    }

    #[test]
    fn messages_stay_one_short_line() {
        assert_eq!(shorten("a\nb"), "a�b");
        assert_eq!(shorten(&"ä".repeat(101)), "ä".repeat(100) + "…");
    }
}
