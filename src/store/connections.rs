//! A store's connections: found, found again, and what Redis still has of what it had told over them.

use std::collections::HashMap;

use redis::{ErrorKind, RedisError, RedisResult, Value};

use super::{SCRIPT, Store, Verdict, rights::missing};
use shasta_reader::topology::{self, Evicted, Primaries};

impl Store {
    pub(super) fn primaries(&mut self) -> RedisResult<&mut Primaries> {
        let lost = || RedisError::from((ErrorKind::Io, "Redis is away"));
        self.primaries.as_mut().ok_or_else(lost)
    }

    /// What Redis refuses, told: the rights that are missing, where it is these.
    pub fn refusal(&self, error: &RedisError) -> String {
        let nodes = self.primaries.as_ref().map_or(self.seeds.addresses(), |primaries| primaries.map().nodes());
        let missing = |node| missing(&self.seeds, node, false, self.settings.timeout).ok()?.told(self.seeds.user());
        let told = nodes.iter().find_map(|node| Some(format!("Redis {node}: {}", missing(node)?)));
        told.unwrap_or_else(|| format!("Redis refuses: {error}; check its user, password and rights"))
    }

    /// What an error means, and what to do.
    pub fn told(&self, error: &RedisError) -> String {
        topology::told(error, self.seeds.is_tls())
    }

    /// Whether Redis has evicted keys since this was last asked, or since the beginning; not where it may not be asked.
    pub fn has_evicted(&mut self) -> bool {
        let now = self.primaries.as_mut().and_then(Evicted::ask).map(|now| now.keys);
        let before = std::mem::replace(&mut self.evicted, now);
        matches!((before, now), (Some(before), Some(now)) if now > before)
    }

    pub(super) fn lose(&mut self, index: usize) {
        if let Some(primaries) = &mut self.primaries {
            primaries.lose(index);
        }
        self.outdated.get_or_insert(None);
    }

    /// Finds the primaries, or what has changed among them.
    pub(super) fn find(&mut self) -> RedisResult<()> {
        let hint = self.outdated.clone().flatten();
        let new = match &mut self.primaries {
            Some(primaries) => {
                // A connection that is made is new even when another then fails.
                primaries.refresh(hint.as_ref()).inspect_err(|_| self.doubt = true)?
            }
            None => {
                let primaries = self.primaries.insert(Primaries::connect(self.seeds.clone(), self.settings.timeout)?);
                (0..primaries.len()).collect()
            }
        };
        self.doubt |= !new.is_empty();
        for index in new {
            self.load(index)?;
        }
        (self.outdated, self.moving) = (None, HashMap::new());
        Ok(())
    }

    pub(super) fn load(&mut self, index: usize) -> RedisResult<()> {
        let loaded = match self.primaries()?.node(index) {
            Ok(node) => redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).exec(node),
            Err(error) => Err(error),
        };
        loaded.inspect_err(|_| self.lose(index))
    }

    /// Sees to it that there are connections, and compares what Redis has with what it had told, if there is doubt.
    pub(super) fn check_applied(&mut self) -> RedisResult<Verdict> {
        if self.outdated.is_some() || self.primaries.is_none() {
            self.find()?;
        }
        if !self.doubt {
            return Ok(Verdict::Intact);
        }
        let (generation, moving) = (self.settings.generation, &self.moving);
        let primaries = self.primaries.as_mut().expect("they were found");
        match self.told.compare(primaries, generation, moving) {
            Ok(verdict) => {
                self.doubt = false;
                Ok(verdict)
            }
            Err((broken, error)) => {
                if broken {
                    self.primaries = None;
                }
                self.outdated.get_or_insert(None);
                Err(error)
            }
        }
    }
}

/// The next answer; what the node tells unasked is passed over.
pub(super) fn answer(node: &mut redis::Connection) -> RedisResult<Value> {
    loop {
        match node.recv_response()? {
            Value::Push { .. } => {}
            value => return Ok(value),
        }
    }
}
