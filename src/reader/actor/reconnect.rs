//! The connection is given up when it fails, and made again, with pauses that grow.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{ReaderActor, jobs::Job};
use crate::{
    ReaderError,
    connections::{Inbox, Link},
};

pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

impl ReaderActor {
    /// Gives the connection up, and makes another.
    pub(super) fn disconnect(&mut self, error: &ReaderError) {
        if self.link.take().is_none() {
            return;
        }
        tracing::warn!("{error}; connecting again");
        self.published.send_replace(None);
        self.epoch += 1;
        if self.connected_at.elapsed() > BACKOFF_MAX {
            self.backoff = BACKOFF_MIN;
        }
        self.connect();
    }

    pub(super) fn connect(&mut self) {
        let (seeds, map, options, pause) =
            (self.seeds.clone(), Arc::clone(&self.map), self.options.clone(), self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.jobs.spawn(async move {
            sleep(pause).await;
            let inbox = Arc::<Inbox>::default();
            let linked = Link::connect(&seeds, &map, &options, &inbox).await;
            Job::Connected(linked.map(|link| (Box::new(link), inbox)))
        });
    }

    pub(super) fn connected(&mut self, link: Link, inbox: Arc<Inbox>) {
        tracing::info!("Redis answers again");
        self.published.send_replace(Some(link.bulk()));
        self.map = Arc::clone(link.map());
        self.link = Some(link);
        self.connected_at = Instant::now();
        self.inbox = inbox;
        self.recheck_all();
    }
}
