//! One round of reading: the next entries of some streams in one round trip.

use super::ReaderActor;
use crate::StreamId;

/// Streams that are read in one round trip.
const ROUND_TAGS: usize = 200;
/// Bytes that one round trip should bring at most; the entries' sizes are guessed from those before.
const ROUND_BYTES: usize = 16 << 20;
/// Entries of one stream in one round trip.
const ENTRIES_MAX: usize = 200;

impl ReaderActor {
    pub(super) async fn read_round(&mut self) {
        let Some(link) = &mut self.link else { return };
        let round = self.to_read.len().min(ROUND_TAGS);
        if round == 0 {
            return;
        }
        let mut from = Vec::with_capacity(round);
        for key in self.to_read.drain(..round) {
            let Some(followed) = self.tags.get_mut(&key) else { continue };
            followed.listed = false;
            if followed.cursor == StreamId::MAX {
                continue; // Another program has filled the stream up: nothing can come after.
            }
            let count = (ROUND_BYTES / round / followed.entry_bytes).clamp(1, ENTRIES_MAX);
            from.push((key, followed.cursor, count));
        }
        let answers = match link.read(&from).await {
            Ok(answers) => answers,
            // Everything is read again over the next connection.
            Err(error) => return self.disconnect(&error),
        };
        let lag = self.options.lag;
        for ((key, _, count), answer) in from.into_iter().zip(answers) {
            match answer {
                Ok(entries) => {
                    let whole = entries.len() < count;
                    self.update(&key, |followed| followed.take(&entries, whole, lag));
                    if !whole {
                        self.enqueue(&key);
                    } else if entries.is_empty() {
                        // Told of a change, but there is none: perhaps one has gone.
                        self.to_audit.push_back(key);
                    }
                }
                Err(error) if error.is_broken() => return self.disconnect(&error),
                // Told of it again by the audit, if by nothing else.
                Err(error) if error.is_transient() => self.to_audit.push_back(key),
                Err(error) => self.update(&key, |followed| followed.fail(&error, lag)),
            }
        }
    }
}
