//! The proof that a follower misses nothing: each change names the one before it.

use super::{Delta, Gap, Reason, StreamId, content::Entry};

/// Where a follower is in a tag's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    at: StreamId,
}

/// What an entry of the stream is to a follower.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The change that comes next.
    Next(&'a Delta),
    /// It has that already.
    Known,
    /// Something is missing in between.
    Broken(Gap),
}

impl Chain {
    /// Behind a snapshot of `version`.
    pub fn new(version: StreamId) -> Self {
        Self { at: version }
    }

    /// The last change that the follower has.
    pub fn at(self) -> StreamId {
        self.at
    }

    /// Takes the next entry of the stream.
    pub fn step<'a>(&mut self, entry: &'a Entry) -> Step<'a> {
        let delta = match entry {
            Ok(delta) => delta,
            Err((id, problem)) => return Step::Broken(self.gap(Some(*id), Reason::Foreign(problem.clone()))),
        };
        if delta.id <= self.at {
            return Step::Known;
        }
        if self.at != StreamId::ZERO && delta.id.generation != self.at.generation {
            return Step::Broken(self.gap(Some(delta.previous), Reason::Generation));
        }
        if delta.previous != self.at {
            let reason = if delta.previous < self.at { Reason::Rewound } else { Reason::Trimmed };
            return Step::Broken(self.gap(Some(delta.previous), reason));
        }
        self.at = delta.id;
        Step::Next(delta)
    }

    /// The gap, if there is one, after a reading to the stream's end that began when the tag was at `version` at least.
    pub fn reached(self, version: StreamId) -> Option<Gap> {
        (self.at < version).then(|| self.gap(Some(version), Reason::Trimmed))
    }

    /// The gap, if there is one, of a follower whose tag is at `version`, read after the follower had come to `was`.
    pub fn audited(self, was: StreamId, version: StreamId) -> Option<Gap> {
        (version < was && version < self.at).then(|| self.gap(Some(version), Reason::Rewound))
    }

    /// A gap at this place.
    pub fn gap(self, found: Option<StreamId>, reason: Reason) -> Gap {
        Gap { expected: self.at, found, reason }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Snapshot;

    fn id(generation: u64, position: u64) -> StreamId {
        StreamId { generation, position }
    }

    fn delta(id: StreamId, previous: StreamId, name: u64) -> Entry {
        Ok(Delta { id, previous, name: format!("n{}", name % 5), data: name.to_string().into() })
    }

    #[test]
    fn each_break_has_its_reason() {
        let at = |position| Chain::new(id(2, position));
        let reason = |mut chain: Chain, entry: Entry| match chain.step(&entry) {
            Step::Broken(gap) => Some(gap.reason),
            _ => None,
        };
        assert_eq!(reason(at(5), delta(id(2, 9), id(2, 5), 0)), None);
        assert_eq!(reason(at(5), delta(id(2, 4), id(2, 3), 0)), None);
        assert_eq!(reason(at(5), delta(id(2, 9), id(2, 8), 0)), Some(Reason::Trimmed));
        assert_eq!(reason(at(5), delta(id(2, 9), id(2, 4), 0)), Some(Reason::Rewound));
        assert_eq!(reason(at(5), delta(id(2, 9), StreamId::ZERO, 0)), Some(Reason::Rewound));
        assert_eq!(reason(at(5), delta(id(3, 1), id(2, 5), 0)), Some(Reason::Generation));
        assert_eq!(reason(at(5), Err((id(9, 9), "theirs".into()))), Some(Reason::Foreign("theirs".into())));
        assert_eq!(reason(Chain::new(StreamId::ZERO), delta(id(3, 1), StreamId::ZERO, 0)), None);
        assert_eq!(at(5).reached(id(2, 6)).unwrap().reason, Reason::Trimmed);
        assert_eq!(at(5).audited(id(2, 5), id(2, 4)).unwrap().reason, Reason::Rewound);
        // The answer is older than what the follower has got meanwhile.
        assert_eq!(at(5).audited(id(2, 3), id(2, 4)), None);
    }

    proptest! {
        /// A tag changes, its stream is trimmed, read in pieces and again from places that were passed: whenever the
        /// follower is at the tag's version, its state is the tag's.
        #[test]
        fn any_interleaving_of_changes_and_reads_reproduces_the_snapshot(
            steps in prop::collection::vec((0u8..6, 1usize..6), 1..120),
        ) {
            let (mut truth, mut stream, mut next) = (Snapshot::default(), Vec::<Entry>::new(), 1);
            let (mut own, mut chain) = (Snapshot::default(), Chain::new(StreamId::ZERO));
            for (kind, count) in steps {
                match kind {
                    // Changes; other tags of the partition take offsets in between.
                    0..=2 => for _ in 0..count {
                        next += 1 + (next % 3);
                        let entry = delta(id(1, next), truth.version, next);
                        truth.apply(entry.as_ref().unwrap());
                        stream.push(entry);
                    },
                    3 => drop(stream.drain(..count.min(stream.len()))),
                    _ => {
                        // Kind 5 reads from a place that was passed.
                        let from = if kind == 5 { StreamId::ZERO } else { chain.at() };
                        let read: Vec<_> =
                            stream.iter().filter(|entry| entry.as_ref().unwrap().id > from).take(count).collect();
                        let whole = read.len() < count;
                        let mut lost = None;
                        for entry in read {
                            match chain.step(entry) {
                                Step::Next(delta) => own.apply(delta),
                                Step::Known => {}
                                Step::Broken(gap) => { lost = Some(gap); break }
                            }
                        }
                        if lost.is_none() && whole {
                            lost = chain.reached(truth.version);
                        }
                        if lost.is_some() {
                            own = truth.clone();
                            chain = Chain::new(own.version);
                        } else if whole {
                            prop_assert_eq!(&own, &truth);
                        }
                    }
                }
                prop_assert_eq!(own.version, chain.at());
                if own.version == truth.version {
                    prop_assert_eq!(&own, &truth);
                }
            }
        }
    }
}
