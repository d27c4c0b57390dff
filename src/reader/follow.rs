//! The follower's end: a stream of events with a bound.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::sync::mpsc;

use super::{Event, Gap, actor::Command};

/// A tag's snapshot, then each of its changes: see [`Event`]. It ends only where [`super::Lag::End`] ends it, or with
/// the tokio runtime that the reader was connected in. Dropping it is all it takes to stop.
#[derive(Debug)]
pub struct Follow {
    pub(super) events: mpsc::Receiver<Event>,
    /// Why it ended, once it has.
    pub(super) end: Arc<OnceLock<Gap>>,
    pub(super) ended: bool,
    /// The actor works for as long as anybody holds one of these.
    pub(super) _actor: mpsc::Sender<Command>,
}

impl Follow {
    /// Waits for the next event; nothing is lost where the wait is given up.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Follow {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = ready!(self.events.poll_recv(context));
        Poll::Ready(event.or_else(|| {
            if std::mem::replace(&mut self.ended, true) {
                return None;
            }
            self.end.get().cloned().map(Event::Gap)
        }))
    }
}
