//! The log of this program and of its clients.

use std::io;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{cluster::throttle, output::terminal::colours};

/// Shows the log on standard error from now on.
pub fn show() {
    let shown = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colours())
        // It would say on standard error, with a panic, that standard error is closed.
        .log_internal_errors(false)
        .with_target(false)
        .with_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,rskafka=off".into()));
    // A program or test that has a log of its own keeps it.
    let _ = tracing_subscriber::registry().with(shown).with(throttle::listening()).try_init();
}
