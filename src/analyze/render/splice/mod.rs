//! Tables in a file that people write: what stands between two markers is replaced, every other byte is kept.
//!
//! ```text
//! <!-- analyze: cargo run -\-bin analyze -\- results/run.csv -\-splice README.md -->
//!
//! | Metric | Median | …
//!
//! <!-- /analyze -->
//! ```

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use shasta_model::{
    atomic_file,
    marked_block::{Marker, markers},
};

/// Ends the block; on a line of its own.
const CLOSING: &str = "<!-- /analyze -->";

/// Why a file was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is missing, a directory, or not readable.
    #[error("{}: cannot be read ({source}); name a Markdown file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not text.
    #[error("{}: line {line} is not UTF-8; name a Markdown file", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// There is no marked block.
    #[error("{}: holds no marked block; insert these two lines where the tables shall stand:\n<!-- analyze -->\n{CLOSING}", path.display())]
    NoBlock {
        /// The file.
        path: PathBuf,
    },
    /// There are several blocks, or half of one.
    #[error("{}: must hold `<!-- analyze -->` once and `{CLOSING}` once after it, outside of code fences, but has {found}", path.display())]
    NotOneBlock {
        /// The file.
        path: PathBuf,
        /// The markers and their lines.
        found: String,
    },
    /// The new block would end itself early.
    #[error("the tables hold a line that is a marker or an open code fence; they would not be found again")]
    BlockWithMarker,
    /// The command has no form on one line.
    #[error("an argument of the command holds a line break: {0:?}; rename what it names")]
    Command(String),
    /// The new file was not written.
    #[error(transparent)]
    Write(#[from] atomic_file::Error),
}

/// Replaces the marked block of a Markdown file by `block` (Markdown), and writes the command that made it, as a shell
/// reads it, into the opening marker. A file that would not change is not written.
pub fn splice(path: &Path, block: &str, command: &[String]) -> Result<(), Error> {
    let text = text_of(path)?;
    let spliced = spliced(path, &text, block, &quoted(command)?)?;
    if spliced != text {
        atomic_file::write(path, spliced.as_bytes())?;
    }
    Ok(())
}

/// Whether the file has the one block that [`splice`] replaces.
///
/// # Errors
/// It has not, or is no text.
pub fn check(path: &Path) -> Result<(), Error> {
    the_block(path, &text_of(path)?).map(drop)
}

fn text_of(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let whole = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + whole.iter().filter(|&&byte| byte == b'\n').count();
        Error::NotText { path: path.to_owned(), line }
    })
}

fn spliced(path: &Path, text: &str, block: &str, command: &str) -> Result<String, Error> {
    let old = the_block(path, text)?;
    let newline = if text[..old.end].ends_with("\r\n") { "\r\n" } else { "\n" };
    let mut new = format!("<!-- analyze: {command} -->{newline}{newline}");
    let block = block.trim_matches(['\r', '\n']);
    for line in block.lines() {
        new += line;
        new += newline;
    }
    if !block.is_empty() {
        new += newline;
    }
    let spliced = [&text[..old.start], &new, &text[old.end..]].concat();
    let found = the_block(path, &spliced).is_ok_and(|found| found == (old.start..old.start + new.len()));
    if found { Ok(spliced) } else { Err(Error::BlockWithMarker) }
}

/// From the opening marker to the line of the closing one.
fn the_block(path: &Path, text: &str) -> Result<Range<usize>, Error> {
    match markers(text, opening, |line| line == CLOSING).as_slice() {
        [] => Err(Error::NoBlock { path: path.to_owned() }),
        [open, close] if open.opens && !close.opens => Ok(open.at..close.line_at),
        markers => {
            let name = |marker: &Marker| if marker.opens { "<!-- analyze -->" } else { CLOSING };
            let found: Vec<String> =
                markers.iter().map(|marker| format!("`{}` on line {}", name(marker), marker.line)).collect();
            Err(Error::NotOneBlock { path: path.to_owned(), found: found.join(", ") })
        }
    }
}

/// `<!-- analyze -->`, or with a colon and whatever command.
fn opening(comment: &str) -> bool {
    let inside = comment.strip_prefix("<!-- analyze").and_then(|rest| rest.strip_suffix("-->"));
    inside.is_some_and(|inside| !inside.contains("-->") && (inside.trim().is_empty() || inside.starts_with(':')))
}

/// Arguments as a shell takes them, without two hyphens in a row, which no HTML comment may hold: `-\-bin` is `--bin`.
fn quoted(arguments: &[String]) -> Result<String, Error> {
    let quoted = |argument: &String| {
        if argument.contains(['\n', '\r']) {
            return Err(Error::Command(argument.clone()));
        }
        let bare = |c: char| c.is_alphanumeric() || "-._/:=,@%+".contains(c);
        let (open, hyphen) = if argument.chars().all(bare) { ("", "\\-") } else { ("'", "'\\-'") };
        let mut text = String::from(open);
        let mut before = ' ';
        for c in argument.chars() {
            match c {
                '-' if before == '-' => text += hyphen,
                '\'' => text += "'\\''",
                c => text.push(c),
            }
            before = c;
        }
        text += open;
        Ok(if text.is_empty() { "''".to_owned() } else { text })
    };
    Ok(arguments.iter().map(quoted).collect::<Result<Vec<_>, _>>()?.join(" "))
}

#[cfg(test)]
mod tests;
