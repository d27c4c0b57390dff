//! What this program says on its standard streams. Nobody may be reading (`| head -1`), or the disk behind a stream may be
//! full: neither may end a run, which `println!` would do by its panic.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

/// A result could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("the output could not be printed: {0}")]
pub struct Unprinted(#[from] io::Error);

/// Says something on standard error. Where that is not possible, there is no other place to say so.
pub fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a result on standard output. A reader who has gone has seen enough: that is no error.
///
/// # Errors
/// Those of writing, but for a closed pipe: the disk is full.
pub fn print(text: impl fmt::Display) -> Result<(), Unprinted> {
    let mut out = io::stdout().lock();
    Ok(unless_gone(write!(out, "{text}").and_then(|()| out.flush()))?)
}

fn unless_gone(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether standard error takes colours: a terminal, and nobody has set NO_COLOR.
pub fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// An error with its causes, each said once: many repeat the one below them in their own text.
pub fn with_causes<'a>(errors: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut text = String::new();
    for error in errors.map(ToString::to_string) {
        if text.is_empty() {
            text = error;
        } else if !text.contains(&error) {
            text = format!("{text}: {error}");
        }
    }
    text
}

/// What a text says before what it quotes, such as the last lines of a log.
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_who_has_gone_is_no_error_and_a_full_disk_is() {
        assert!(unless_gone(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(unless_gone(Err(io::ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("the commit failed: {source}; try again")]
        struct Outer {
            source: io::Error,
        }
        let error = anyhow::Error::from(Outer { source: io::Error::other("not now") });
        assert_eq!(with_causes(error.chain()), "the commit failed: not now; try again");
        assert_eq!(
            with_causes(error.context("nothing was measured").chain()),
            "nothing was measured: the commit failed: not now; try again"
        );
    }
}
