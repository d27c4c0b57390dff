//! What does the open-loop schedule add to an event? Making it, before the first event; taking the next one and reading
//! the clock, for each.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shasta::{
    event::schedule::Pace,
    machine::clock::{Anchor, Clock},
    producer::Plan,
};

const EVENTS: u64 = 10_000;

fn pace(connections: u32) -> Pace {
    Pace { rate: 1.0, jitter: 0.5, duration: Duration::from_secs(EVENTS / u64::from(connections)) }
}

fn make(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schedule");
    group.throughput(Throughput::Elements(EVENTS));
    for connections in [1, 1_000] {
        let (pace, all) = (pace(connections), (0..connections).collect::<Vec<_>>());
        assert_eq!(Plan::window(&pace, 1, &all, 0).len(), EVENTS);
        group.bench_function(BenchmarkId::new("make", connections), |bencher| {
            bencher.iter(|| Plan::window(&pace, 1, &all, 0));
        });
        group.bench_function(BenchmarkId::new("take", connections), |bencher| {
            let setup = || Plan::window(&pace, 1, &all, 0);
            let take = |mut plan: Plan| {
                let (mut last_us, mut taken) = (0, 0);
                while let Some(due) = plan.take() {
                    assert!(due.scheduled_us >= last_us);
                    last_us = due.scheduled_us;
                    taken += 1;
                }
                assert_eq!(taken, EVENTS);
            };
            bencher.iter_batched(setup, take, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn clock(criterion: &mut Criterion) {
    let clock = Clock::new(Anchor::read());
    assert!(clock.now_us() <= clock.now_us());
    let mut group = criterion.benchmark_group("schedule");
    group.throughput(Throughput::Elements(1));
    group.bench_function("clock", |bencher| bencher.iter(|| clock.now_us()));
    group.finish();
}

criterion_group!(benches, make, clock);
criterion_main!(benches);
