//! Files that are whole or not there: written beside their place and renamed into it, so that nobody reads half a page
//! and a failure leaves the old one.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tempfile::NamedTempFile;

/// Why a file was not written; what stood in its place stands there still.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{}: cannot be written ({}); {}", path.display(), plain(source), advice(path, source))]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory or a device would be replaced.
    #[error("{}: is no file, so it is not replaced; remove it, or write to another place", path.display())]
    NoFile {
        /// What stands there.
        path: PathBuf,
    },
}

/// What the system said, for errors that name the file themselves.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { source, .. } => source,
            Error::NoFile { .. } => Self::other("is no file, so it is not replaced"),
        }
    }
}

/// Writes a file, and the directories above it where they are missing. A file that is replaced keeps its permissions;
/// a symbolic link stays one, and the file that it names is replaced.
///
/// # Errors
/// The system refuses, or a directory or a device has the place.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Prepared::new(path, bytes)?.place()
}

/// A value in JSON on one line, as it is written to a file.
///
/// # Errors
/// It cannot be JSON.
pub fn json_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// An unnamed file beside `path`, to be filled and then moved there; readable by all that may read any new file.
///
/// # Errors
/// The system refuses.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".unfinished-");
    // A temporary file is for its owner's eyes only unless told otherwise; the umask still applies to this.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}

/// Finds out whether files can be written below a directory, and leaves nothing behind; the directory need not be there yet.
///
/// # Errors
/// The system refuses.
pub fn check_directory(directory: &Path) -> Result<(), Error> {
    let refused = |source| Error::Refused { path: directory.to_owned(), source };
    let above = directory.ancestors().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let there = above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(refused(io::ErrorKind::NotADirectory.into()));
    }
    tempfile::tempfile_in(there).map(drop).map_err(refused)
}

/// A file that is written beside its place and not yet there; it is gone when this is dropped. Several files that belong
/// together are all prepared before the first is placed.
#[derive(Debug)]
pub struct Prepared {
    path: PathBuf,
    target: PathBuf,
    file: NamedTempFile,
}

impl Prepared {
    /// Writes the bytes beside `path`, as [`write()`] does.
    ///
    /// # Errors
    /// The system refused, or a directory or a device has the place.
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let before = fs::metadata(&target).ok();
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            return Err(Error::NoFile { path: path.to_owned() });
        }
        let path = path.to_owned();
        match filled(&target, before, bytes) {
            Ok(file) => Ok(Self { path, target, file }),
            Err(source) => Err(Error::Refused { path, source }),
        }
    }

    /// Puts the file into its place.
    ///
    /// # Errors
    /// The system refused.
    pub fn place(self) -> Result<(), Error> {
        let Self { path, target, file } = self;
        file.persist(target).map(drop).map_err(|error| Error::Refused { path, source: error.error })
    }

    /// Puts the file into its place, if that is free.
    ///
    /// # Errors
    /// A file is there already, or the system refused.
    pub fn place_new(self) -> Result<(), Error> {
        let Self { path, target, file } = self;
        file.persist_noclobber(target).map(drop).map_err(|error| Error::Refused { path, source: error.error })
    }
}

fn filled(target: &Path, before: Option<fs::Metadata>, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut file = beside(target)?;
    file.write_all(bytes)?;
    if let Some(before) = before {
        file.as_file().set_permissions(before.permissions())?;
    }
    Ok(file)
}

/// What the system said, without the temporary file's name, which says nothing to anyone.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path ").next().unwrap_or(&text).to_owned()
}

fn advice(path: &Path, error: &io::Error) -> String {
    let in_the_way = path.ancestors().find(|above| above.is_file());
    match (in_the_way, error.kind()) {
        (Some(file), _) => {
            format!("{} is a file and would have to be a directory: move it away, or write elsewhere", file.display())
        }
        (None, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            "make its directory writable, or write elsewhere".to_owned()
        }
        (None, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => "free some space".to_owned(),
        _ => "check its directory, or write elsewhere".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_comes_with_its_directories_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tables/run.md");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let taken = Prepared::new(&path, b"three").unwrap().place_new().unwrap_err();
        assert_eq!(io::Error::from(taken).kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("file"), home.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        let fresh = home.path().join("fresh");
        write(&fresh, b"").unwrap();
        fs::write(home.path().join("usual"), "").unwrap();
        let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("fresh"), mode("usual"), "others may read it as they may read any new file");
    }

    #[test]
    fn errors_name_the_path_and_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let said = |path: &Path| write(path, b"").unwrap_err().to_string();
        let directory = said(home.path());
        assert!(directory.contains(&*home.path().to_string_lossy()) && directory.contains("is no file"), "{directory}");
        fs::write(home.path().join("file"), "").unwrap();
        let below = said(&home.path().join("file/tables/run.md"));
        assert!(below.contains("file is a file and would have to be a directory"), "{below}");
        check_directory(&home.path().join("new/one")).unwrap();
        assert!(!home.path().join("new").exists(), "a check leaves nothing behind");
        let file = check_directory(&home.path().join("file/one")).unwrap_err().to_string();
        assert!(file.contains("file is a file and would have to be a directory"), "{file}");
        let gone = check_directory(Path::new("/proc/self/none")).unwrap_err().to_string();
        assert!(gone.starts_with("/proc/self/none: cannot be written (") && !gone.contains("at path"), "{gone}");
        let denied = Error::Refused { path: "/x/run.md".into(), source: io::ErrorKind::PermissionDenied.into() };
        assert!(denied.to_string().ends_with("make its directory writable, or write elsewhere"), "{denied}");
    }
}
