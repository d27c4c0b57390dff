//! What can be wrong with a variant, said so that it can be put right.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::find;

/// A variant does not load. Each message names the file and line, or the flag, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum VariantError {
    /// No such name in `experiments/`.
    #[error("there is no variant `{name}`{}; there are: {}; a file of your own is given as a path (./{name}.toml)", or_was_it(.nearest), .known.join(", "))]
    Unknown {
        /// Name asked for.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A variant extends a name that has no file.
    #[error("{at}: there is no `{name}` to extend{}; it must be the name of a variant beside this file or in experiments/", or_was_it(.nearest))]
    Extends {
        /// File and line.
        at: Origin,
        /// Name asked for.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
    },
    /// Variants that extend each other.
    #[error("these variants extend each other in a circle: {}; remove one `extends`", .0.join(" → "))]
    Cycle(Vec<String>),
    /// The file cannot be read.
    #[error("cannot read the variant {path}: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not. (Not a `source`: it is part of the message.)
        reason: io::Error,
    },
    /// The file is far larger than any variant.
    #[error("{path} is over {bytes_max} bytes, too large for a variant; is it the right file?", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Largest size that is read.
        bytes_max: u64,
    },
    /// The file is not TOML.
    #[error("{at}: not TOML: {message}")]
    Syntax {
        /// File and line.
        at: Origin,
        /// The parser's message.
        message: String,
    },
    /// The file's name cannot name a run.
    #[error("{path}: a variant's file name names its runs, so use only letters, digits, `.`, `_` and `-`", path = .0.display())]
    FileName(PathBuf),
    /// A key that is no setting.
    #[error("{at}: there is no setting `{key}`{}", or_was_it(.nearest))]
    UnknownKey {
        /// File and line.
        at: Origin,
        /// The key.
        key: String,
        /// The most similar setting.
        nearest: Option<String>,
    },
    /// A setting has a value of the wrong type, out of range, or at odds with another.
    #[error("{setting}: must be {must}")]
    Wrong {
        /// Where it was set and to what: `experiments/x.toml:12: rate = -1`, or `--rate -1`.
        setting: String,
        /// What would be right.
        must: String,
    },
    /// Settings that no layer gives.
    #[error("{path} lacks {}: set them, or extend a variant that does (extends = \"_base\")", .keys.join(", "), path = .path.display())]
    Missing {
        /// The variant's file.
        path: PathBuf,
        /// The settings.
        keys: Vec<&'static str>,
    },
}

impl VariantError {
    /// Of what serde says where it finds a key that it does not know: "unknown field `a`, expected one of `b`, `c`".
    pub(crate) fn unknown_key(path: &Path, line: usize, said: &str) -> Option<Self> {
        let (key, known) = said.strip_prefix("unknown field `")?.rsplit_once("`, expected ")?;
        // Every other piece between backquotes is a name.
        let nearest = find::nearest(key, known.split('`').skip(1).step_by(2));
        Some(Self::UnknownKey { at: Origin::File { path: path.into(), line }, key: find::shorten(key), nearest })
    }
}

fn or_was_it(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |name| format!(" (did you mean `{name}`?)"))
}

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file, at a line counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// On the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Flag => f.write_str("command line"),
        }
    }
}
