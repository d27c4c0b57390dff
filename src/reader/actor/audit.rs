//! Audits: a tag's version in Redis against what was read, for tags in turn and for those that may have missed a change.

use std::{sync::Arc, time::Duration};

use super::{Key, ReaderActor, jobs::Job};
use crate::{ReaderError, StreamId, bulk::Bulk};

/// Tags whose version is asked for at once.
const AUDIT_TAGS: usize = 1_000;
/// How often some tags have their turn, where Redis tells of changes.
pub(super) const AUDIT_TICK: Duration = Duration::from_millis(100);

impl ReaderActor {
    /// Takes so many tags in turn that all are audited in the time that the options say.
    pub(super) fn audit_next(&mut self, period: Duration) {
        let Some(link) = &self.link else { return };
        let share = if link.told { period.as_secs_f64() / self.options.audit.as_secs_f64() } else { 1.0 };
        let count = (self.audit_rotation.len() as f64 * share).ceil() as usize;
        for _ in 0..count.min(self.audit_rotation.len()) {
            let Some(key) = self.audit_rotation.pop_front() else { break };
            self.update(&key, |_| ());
            if self.tags.contains_key(&key) {
                self.to_audit.push_back(Arc::clone(&key));
                self.audit_rotation.push_back(key);
            }
        }
    }

    /// Asks for the versions of the tags that are due, unless it is asking already.
    pub(super) fn start_audit(&mut self, bulk: Bulk) {
        if self.auditing || self.to_audit.is_empty() {
            return;
        }
        let epoch = self.epoch;
        let (mut asked, mut metas) = (Vec::new(), Vec::new());
        for key in self.to_audit.drain(..self.to_audit.len().min(AUDIT_TAGS)) {
            if let Some(followed) = self.tags.get(&key).filter(|followed| followed.is_live()) {
                asked.push((key, followed.reached()));
                metas.push(followed.keys.meta.clone());
            }
        }
        if !asked.is_empty() {
            self.auditing = true;
            self.jobs.spawn(async move { Job::Audit(epoch, asked, bulk.versions(&metas).await) });
        }
    }

    /// Reads on where a version is ahead of what was read.
    pub(super) fn compare(&mut self, asked: Vec<(Key, StreamId)>, versions: Vec<Result<StreamId, ReaderError>>) {
        let lag = self.options.lag;
        for ((key, was), version) in asked.into_iter().zip(versions) {
            match version {
                Ok(version) => {
                    let mut behind = false;
                    self.update(&key, |followed| behind = followed.audit(was, version, lag));
                    if behind {
                        self.enqueue(&key);
                    }
                }
                Err(error) if error.is_broken() => return self.disconnect(&error),
                // Its turn comes again, and what is in the stream is read all the same.
                Err(error) if error.is_transient() => {}
                Err(error) => self.update(&key, |followed| followed.fail(&error, lag)),
            }
        }
    }
}
