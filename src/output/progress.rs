//! What a person sees while a run goes on: one line that changes on a terminal, a line every 10 s elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::terminal::say;

const ELSEWHERE: Duration = Duration::from_secs(10);

/// Progress on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    printed: std::cell::Cell<Option<Instant>>,
}

impl Default for Progress {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is valid");
        let bar = || ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
        Self { bar: std::io::stderr().is_terminal().then(bar), printed: std::cell::Cell::new(None) }
    }
}

impl Progress {
    /// Something that happens once, and stays on the screen.
    pub fn step(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("  {text}")),
            None => say(text),
        }
    }

    /// How things stand; the next one takes its place. Call it about once a second.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                // Of one run in a row; the one before has cleared it.
                if bar.is_finished() {
                    bar.reset();
                }
                bar.set_message(text.to_owned());
                bar.tick();
            }
            None if self.printed.get().is_none_or(|printed| printed.elapsed() >= ELSEWHERE) => {
                say(text);
                self.printed.set(Some(Instant::now()));
            }
            None => {}
        }
    }

    /// Removes the changing line.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
