//! Latencies before, during and after each fault of a run, and how long it took until all was as before.
//!
//! All are of scheduled → stored, over planned events. An event belongs to *during* when it was on its way at any moment
//! of the fault, so also one that was sent just before; to *before* when it was stored by then, and to *after* when it was
//! scheduled later. Both reach as far as the fault's neighbours in time, or the window; what the next fault caught on its
//! way is that one's.
//!
//! An event is late past 100 ms, or past the 99.9th percentile of *before* where that is larger. A fault is over, for
//! those who wait for events, at the moment from which for [`CALM_US`] (or to the end of *after*, if that comes first) no
//! event is late on its way. Events that were never stored are counted, and do not put that off: they are over as well.

use shasta_model::{
    manifest::fault::{Figures, Period, Record},
    percentile::{Distribution, round_2},
    slo::SLO_US,
};

/// How long it must stay calm before a fault is over, in µs.
pub const CALM_US: i64 = 5_000_000;

/// What the figures need of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it was due, µs of the Unix epoch.
    pub scheduled_us: i64,
    /// When it was stored; none when it never was.
    pub stored_us: Option<i64>,
}

impl Event {
    fn latency_us(self) -> Option<i64> {
        Some(self.stored_us? - self.scheduled_us)
    }
}

/// Fills in the figures of all faults of a run; `window_us` is its measured window, µs of the Unix epoch.
pub fn fill(records: &mut [Record], events: &[Event], window_us: [i64; 2]) {
    let spans: Vec<[i64; 2]> = records.iter().map(|record| [record.start_us, record.end_us]).collect();
    for (nth, record) in records.iter_mut().enumerate() {
        let [start_us, end_us] = spans[nth];
        let others = || spans.iter().enumerate().filter(|(other, _)| *other != nth).map(|(_, span)| *span);
        let before_us = others().map(|[_, end_us]| end_us).filter(|end| *end <= start_us).max();
        let next_us = others().map(|[start_us, _]| start_us).filter(|start| *start >= end_us).min();
        let from_us = before_us.unwrap_or(i64::MIN).max(window_us[0]);
        let to_us = next_us.unwrap_or(i64::MAX).min(window_us[1]);
        record.figures = Some(of([start_us, end_us], events, &Reach { from_us, to_us, next_us }));
    }
}

/// How far a fault reaches among its neighbours: events scheduled in `from_us..to_us`, and when the next one begins.
struct Reach {
    from_us: i64,
    to_us: i64,
    next_us: Option<i64>,
}

impl Reach {
    fn has(&self, event: &Event) -> bool {
        // One that was on its way in good time when the next fault began belongs to that one.
        let is_of_next = self.next_us.is_some_and(|next_us| {
            event.stored_us.is_none_or(|stored_us| stored_us >= next_us) && next_us - event.scheduled_us < SLO_US
        });
        (self.from_us..self.to_us).contains(&event.scheduled_us) && !is_of_next
    }
}

fn of([start_us, end_us]: [i64; 2], events: &[Event], reach: &Reach) -> Figures {
    let (mut before, mut during, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for event in events.iter().filter(|event| reach.has(event)) {
        let stored_before = event.stored_us.is_some_and(|stored| stored < start_us);
        if stored_before && event.scheduled_us < start_us {
            before.push(*event);
        } else if event.scheduled_us <= end_us {
            during.push(*event);
        } else {
            after.push(*event);
        }
    }
    let usual = distribution(&before).percentile_ms(99.9).value.as_ms().filter(|ms| ms.is_finite()).unwrap_or(0.0);
    let late_us = SLO_US.max((usual * 1000.0) as i64);
    let over_us = over([start_us, end_us], during.iter().chain(&after), late_us, reach.to_us);
    let since = |us: i64| over_us.map(|over| (over - us).max(0) as f64 / 1000.0);
    Figures {
        before: period(&before),
        during: period(&during),
        after: period(&after),
        late_ms: round_2(late_us as f64 / 1000.0),
        disturbed_ms: since(start_us),
        recovered_ms: since(end_us),
    }
}

/// The moment after the fault from which no event is late on its way for [`CALM_US`], or until `to`. None when it has not
/// come by then.
fn over<'a>(
    [start_us, end_us]: [i64; 2],
    events: impl Iterator<Item = &'a Event>,
    late_us: i64,
    to: i64,
) -> Option<i64> {
    // When each becomes late, and when it is stored after all.
    let late = |event: &Event| {
        let (from_us, stored_us) = (event.scheduled_us + late_us, event.stored_us?);
        (stored_us > from_us).then_some((from_us, stored_us))
    };
    let mut late: Vec<(i64, i64)> = events.filter_map(late).collect();
    late.sort_unstable();
    let mut over_us = start_us;
    for (from_us, stored_us) in late {
        if from_us - over_us.max(end_us) > CALM_US {
            break;
        }
        over_us = over_us.max(stored_us);
    }
    (over_us < to).then_some(over_us)
}

fn distribution(events: &[Event]) -> Distribution {
    Distribution::of(events.iter().map(|event| event.latency_us()))
}

fn period(events: &[Event]) -> Period {
    let all = distribution(events);
    Period {
        n: all.n(),
        mean_ms: all.mean_ms(),
        sd_ms: all.sd_ms(),
        min_ms: all.min_ms(),
        p50_ms: all.median_ms(),
        p9999_ms: all.percentile_ms(99.99).value,
        max_ms: all.max_ms(),
        over_slo: all.over_slo(),
        lost: all.missing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shasta_model::percentile::Value;

    const S: i64 = 1_000_000;

    /// An event every 10 ms over 40 s, stored after 5 ms; those scheduled while Redis is away, from 10 s to 12 s, are
    /// stored at 12.5 s.
    fn events() -> Vec<Event> {
        let event = |n: i64| {
            let scheduled_us = n * 10_000;
            let away = (10 * S..12 * S).contains(&scheduled_us);
            Event { scheduled_us, stored_us: Some(if away { 12_500_000 } else { scheduled_us + 5_000 }) }
        };
        (0..4_000).map(event).collect()
    }

    fn record(start_us: i64, end_us: i64) -> Record {
        Record { end_us, ..Record::new("kill redis".into(), start_us, false) }
    }

    fn figures(records: &mut [Record], events: &[Event]) -> Vec<Figures> {
        fill(records, events, [0, 40 * S]);
        records.iter().map(|record| record.figures.clone().unwrap()).collect()
    }

    #[test]
    fn before_during_after_and_over() {
        let found = &figures(&mut [record(10 * S, 12 * S)], &events())[0];
        // The one due at 12 s exactly was on its way when the fault ended.
        assert_eq!([found.before.n, found.during.n, found.after.n], [1_000, 201, 2_799]);
        assert_eq!([found.before.over_slo, found.during.over_slo, found.after.over_slo], [0, 200, 0]);
        assert_eq!(found.during.max_ms, Value::Finite(2_500.0));
        assert_eq!(found.during.p50_ms, Value::Finite(1_500.0));
        // NumPy: x = np.append(12.5 - np.arange(1000, 1200) * 0.01, 0.005) * 1000; x.mean(), x.std(), x.min()
        assert_eq!([found.during.mean_ms, found.during.min_ms].map(|ms| ms.to_string()), ["1497.54", "5.00"]);
        assert_eq!(found.during.sd_ms.to_string(), "585.50");
        assert_eq!((found.late_ms, found.disturbed_ms, found.recovered_ms), (100.0, Some(2_500.0), Some(500.0)));
    }

    #[test]
    fn an_event_on_its_way_belongs_to_during() {
        let mut all = events();
        // Due 20 ms before the fault, and caught by it.
        all[998].stored_us = Some(12_500_000);
        let found = &figures(&mut [record(10 * S, 12 * S)], &all)[0];
        assert_eq!((found.before.n, found.during.n, found.during.max_ms), (999, 202, Value::Finite(2_520.0)));
        // In a fault of a moment, only such events are.
        let found = &figures(&mut [record(5 * S + 2_000, 5 * S + 2_000)], &events())[0];
        assert_eq!((found.before.n, found.during.n), (500, 1));
        assert_eq!((found.disturbed_ms, found.recovered_ms), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn what_was_never_stored_is_lost_and_over() {
        let mut all = events();
        all[1_100].stored_us = None;
        let found = &figures(&mut [record(10 * S, 12 * S)], &all)[0];
        assert_eq!((found.during.lost, found.after.lost, found.during.max_ms), (1, 0, Value::PastDrain));
        assert_ne!(found.during.mean_ms, Value::Empty, "of those that were stored");
        assert_eq!(found.recovered_ms, Some(500.0));
    }

    #[test]
    fn a_late_event_after_calm_is_another_story_and_one_at_the_end_is_not_over() {
        let mut all = events();
        all[3_000].stored_us = Some(31 * S);
        let found = &figures(&mut [record(10 * S, 12 * S)], &all)[0];
        assert_eq!((found.recovered_ms, found.after.over_slo), (Some(500.0), 1));
        for event in &mut all[1_200..] {
            event.stored_us = Some(event.scheduled_us + S);
        }
        let found = &figures(&mut [record(10 * S, 12 * S)], &all)[0];
        assert_eq!((found.disturbed_ms, found.recovered_ms), (None, None));
    }

    #[test]
    fn each_of_several_reaches_to_its_neighbours() {
        let mut records = [record(10 * S, 12 * S), record(20 * S, 21 * S), record(30 * S, 30 * S)];
        let found = figures(&mut records, &events());
        assert_eq!(found.iter().map(|figures| figures.before.n).collect::<Vec<_>>(), [1_000, 800, 900]);
        assert_eq!(found.iter().map(|figures| figures.after.n).collect::<Vec<_>>(), [799, 899, 999]);

        // Events that the second one catches are its own, and not late by the first.
        let mut all = events();
        for event in &mut all[1_995..2_100] {
            event.stored_us = Some(21_500_000);
        }
        let found = figures(&mut [record(10 * S, 12 * S), record(20 * S, 21 * S)], &all);
        assert_eq!((found[0].after.n, found[0].recovered_ms), (794, Some(500.0)));
        assert_eq!((found[1].before.n, found[1].during.n, found[1].during.over_slo), (795, 106, 105));
    }

    #[test]
    fn what_was_slow_before_is_not_late_after() {
        let slow = |n: i64| Event { scheduled_us: n * 10_000, stored_us: Some(n * 10_000 + 300_000) };
        let all: Vec<_> = (0..4_000).map(slow).collect();
        let found = &figures(&mut [record(10 * S, 12 * S)], &all)[0];
        assert_eq!((found.late_ms, found.disturbed_ms), (300.0, Some(0.0)));
    }
}
