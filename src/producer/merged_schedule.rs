//! All connections' schedules of one thread, merged: which event is due next.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::event::schedule::Pace;

/// One event that the schedule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Connection that sends it.
    pub connection: u32,
    /// Number within the connection: 0, 1, 2 …
    pub sequence: u64,
    /// When it is to be sent, µs of the Unix epoch.
    pub scheduled_us: i64,
    /// A warm-up event: numbered on its own, never a row.
    pub warm: bool,
}

/// The events of some connections in a window, in the order of their times.
#[derive(Debug)]
pub struct Plan {
    start_us: i64,
    warm: bool,
    sequence_first: u64,
    offsets_us: Vec<(u32, Vec<u64>)>,
    next: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

impl Plan {
    /// The window of `pace.duration` that starts at `start_us`, for each of `connections`.
    pub fn window(pace: &Pace, seed: u64, connections: &[u32], start_us: i64) -> Self {
        Self::new(pace, seed, connections, start_us, false, 0)
    }

    /// The warm-up load that starts at `start_us`; sequences are the warm-up's own and start at `sequence_first`.
    pub fn warm_up(pace: &Pace, seed: u64, connections: &[u32], start_us: i64, sequence_first: u64) -> Self {
        Self::new(pace, !seed, connections, start_us, true, sequence_first)
    }

    fn new(pace: &Pace, seed: u64, connections: &[u32], start_us: i64, warm: bool, sequence_first: u64) -> Self {
        let offsets_us: Vec<_> =
            connections.iter().map(|&connection| (connection, pace.offsets_us(seed, connection))).collect();
        let firsts = offsets_us.iter().enumerate();
        let next = firsts.filter_map(|(i, (_, offsets))| Some(Reverse((*offsets.first()?, i, 0)))).collect();
        Self { start_us, warm, sequence_first, offsets_us, next }
    }

    /// Events in all.
    pub fn len(&self) -> u64 {
        self.offsets_us.iter().map(|(_, offsets)| offsets.len() as u64).sum()
    }

    /// Whether no event was planned at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the next event is due, µs of the Unix epoch.
    pub fn next_us(&self) -> Option<i64> {
        self.next.peek().map(|Reverse((offset, ..))| self.start_us + *offset as i64)
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<Due> {
        let mut top = self.next.peek_mut()?;
        let Reverse((offset_us, index, nth)) = *top;
        let (connection, offsets) = &self.offsets_us[index];
        match offsets.get(nth + 1) {
            // Replacing the top sifts it once, where pop and push would do it twice.
            Some(&offset) => *top = Reverse((offset, index, nth + 1)),
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
            }
        }
        Some(Due {
            connection: *connection,
            sequence: self.sequence_first + nth as u64,
            scheduled_us: self.start_us + offset_us as i64,
            warm: self.warm,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn merges_in_order_of_time_and_numbers_each_connection() {
        let pace = Pace { rate: 3.0, jitter: 0.5, duration: Duration::from_secs(5) };
        let mut plan = Plan::window(&pace, 1, &[4, 9], 1_000);
        assert_eq!(plan.len(), 30);
        let mut taken = Vec::new();
        while let Some(at_us) = plan.next_us() {
            let due = plan.take().unwrap();
            assert_eq!(due.scheduled_us, at_us);
            taken.push(due);
        }
        assert!(taken.is_sorted_by_key(|due| due.scheduled_us));
        for connection in [4, 9] {
            let own: Vec<_> = taken.iter().filter(|due| due.connection == connection).collect();
            let expected = pace.offsets_us(1, connection);
            assert!(own.iter().map(|due| due.sequence).eq(0..15));
            assert!(own.iter().map(|due| (due.scheduled_us - 1_000) as u64).eq(expected));
        }
        assert_eq!(plan.take(), None);
    }

    #[test]
    fn the_warm_up_has_its_own_times_and_numbers() {
        let pace = Pace { rate: 1.0, jitter: 0.5, duration: Duration::from_secs(3) };
        let (mut warm, mut window) = (Plan::warm_up(&pace, 1, &[0], 0, 1), Plan::window(&pace, 1, &[0], 0));
        let (first, other) = (warm.take().unwrap(), window.take().unwrap());
        assert!(first.warm && first.sequence == 1);
        assert_ne!(first.scheduled_us, other.scheduled_us);
    }
}
