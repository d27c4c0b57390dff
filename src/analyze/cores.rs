//! The same work in as many threads as there are cores.

use std::thread;

/// Cores of this machine.
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does the work once for each core, and returns what each has made of it; a panic in one is a panic here.
pub fn each<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count()).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
