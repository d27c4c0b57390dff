//! What is done beside the actor, so that it never waits: snapshots, audits, connecting, and waiting for room.

use std::sync::Arc;

use super::{Key, ReaderActor};
use crate::{
    ReaderError, Snapshot, StreamId,
    connections::{Inbox, Link},
};

/// Snapshots that are read at a time.
const SNAPSHOTS_MAX: usize = 4;

/// What has been done; the number says which connection it was for.
pub(super) enum Job {
    Connected(Result<(Box<Link>, Arc<Inbox>), ReaderError>),
    Snapshot(u64, Key, Result<Snapshot, ReaderError>),
    Audit(u64, Vec<(Key, StreamId)>, Result<Vec<Result<StreamId, ReaderError>>, ReaderError>),
    /// A follower, by its number, has room again.
    Room(Key, u64),
    SnapshotPauseOver(Key),
}

impl ReaderActor {
    pub(super) fn start_jobs(&mut self) {
        let Some(bulk) = self.link.as_ref().map(Link::bulk) else { return };
        let epoch = self.epoch;
        while self.snapshots_running < SNAPSHOTS_MAX
            && let Some(key) = self.to_snapshot.pop_front()
        {
            let Some(followed) = self.tags.get(&key) else { continue };
            let (keys, bulk) = (followed.keys.clone(), bulk.clone());
            self.snapshots_running += 1;
            self.jobs.spawn(async move { Job::Snapshot(epoch, key, bulk.snapshot(&keys).await) });
        }
        self.start_audit(bulk);
    }

    pub(super) fn finish_job(&mut self, job: Job) {
        let lag = self.options.lag;
        match job {
            Job::Connected(Ok((link, inbox))) => self.connected(*link, inbox),
            Job::Connected(Err(error)) => {
                tracing::debug!("{error}");
                self.connect();
            }
            Job::SnapshotPauseOver(key) => self.to_snapshot.push_back(key),
            Job::Room(key, id) => self.update(&key, |followed| followed.resume(id, lag)),
            Job::Snapshot(epoch, key, read) => {
                self.snapshots_running -= 1;
                self.update(&key, |followed| followed.start(read.as_ref(), lag));
                match read {
                    Ok(_) => self.enqueue(&key),
                    Err(error) if error.is_broken() && epoch == self.epoch => self.disconnect(&error),
                    Err(_) => {}
                }
            }
            Job::Audit(epoch, asked, versions) => {
                self.auditing = false;
                match versions {
                    _ if epoch != self.epoch => {}
                    Ok(versions) => self.compare(asked, versions),
                    Err(error) if error.is_broken() => self.disconnect(&error),
                    Err(_) => {}
                }
            }
        }
    }
}
