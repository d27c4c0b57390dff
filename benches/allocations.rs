//! What does an event allocate on its way? Nothing, where buffers are kept: counted by this program's allocator, which is
//! why it is not part of the benches that take time. A count is exact, so there is nothing to repeat or to estimate.

mod harness;

use allocation_counter::measure;
use shasta::{
    event::{headers::Stamps, partitioner, payload::EventShape, schedule::Pace},
    machine::clock::{Anchor, Clock},
    output::rows::{Row, Rows},
    producer::Plan,
};

const EVENTS: u64 = 1_000;

/// What each step allocates, an event.
fn counts() -> [(&'static str, f64); 5] {
    let shape = EventShape::new(harness::BYTES, 1_000, 1, 16, 1).expect("512 bytes are enough");
    let (mut event, mut key, mut headers) =
        (Vec::with_capacity(1_024), Vec::with_capacity(64), Vec::with_capacity(256));
    let each = |mut step: Box<dyn FnMut(u64) + '_>| {
        measure(|| (0..EVENTS).for_each(&mut step)).count_total as f64 / EVENTS as f64
    };
    let kept = each(Box::new(|sequence| {
        [&mut event, &mut key, &mut headers].into_iter().for_each(Vec::clear);
        shape.append(7, sequence, &mut event);
        shape.append_partition_key(7, &mut key);
        assert!(partitioner::partition(&key, 24) < 24);
        stamps(sequence).each(|name, value| {
            headers.extend_from_slice(name.as_bytes());
            headers.extend_from_slice(value);
        });
        assert_eq!(event.len(), harness::BYTES);
    }));
    let fresh = each(Box::new(|sequence| {
        drop((shape.encode(7, sequence), shape.partition_key(7), stamps(sequence).headers()));
    }));
    let clock = Clock::new(Anchor::read());
    let pace = Pace { rate: 1.0, jitter: 0.5, duration: std::time::Duration::from_secs(EVENTS) };
    let mut plan = Plan::window(&pace, 1, &[0], 0);
    let schedule = each(Box::new(|_| assert!(plan.take().is_some_and(|due| due.scheduled_us < clock.now_us()))));
    let row = Row { source: "p0".into(), destination: "w0".into(), offset: Some(7), ..Row::default() };
    let mut line = Vec::with_capacity(256);
    let csv = each(Box::new(|_| {
        line.clear();
        row.append_csv(&mut line);
    }));
    let directory = tempfile::tempdir().expect("the temporary directory can be written");
    let mut rows = Rows::create(&directory.path().join("rows.csv")).expect("it can be written");
    rows.write(&row).expect("the disk has room");
    let write = each(Box::new(|_| rows.write(&row).expect("the disk has room")));
    [
        ("encode, key, partition and headers, kept buffers", kept),
        ("encode, key and headers, fresh", fresh),
        ("taking an event from the schedule", schedule),
        ("a row to CSV", csv),
        ("a row to its file", write),
    ]
}

fn stamps(sequence: u64) -> Stamps<'static> {
    let (run, source, producer) = ("goal", "p0", 7);
    Stamps { run, source, producer, sequence, scheduled_us: 1, before_publish_us: 2, warm: false }
}

fn main() {
    // `cargo bench` hands the same flags to all programs; of those for Criterion only this one says to do nothing.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let counts = counts();
    for (step, count) in counts {
        println!("{step:<60} {count} allocations an event");
        assert!(step.contains("fresh") || count == 0.0, "{step} allocates");
    }
    if !harness::test_mode() {
        let counts: serde_json::Map<_, _> = counts.into_iter().map(|(step, n)| (step.to_owned(), n.into())).collect();
        harness::note("allocations", &counts.into());
    }
}
