//! Why the tail of a run is as it is: stalls, stages, places and coincidences, as far as rows and manifest can tell.
//!
//! Nothing here reads a file: whoever scans the rows hands over the slowest of them ([`Input::tail`]), counts of all
//! ([`Totals`], [`Stages`]) and the manifest's [`Events`]. In the order in which it is worked out: [`tail`] clumps late
//! rows into stalls, [`level`] counts them past each percentile with an [`interval`], [`episode`] describes each stall
//! by what its events share ([`shared`], against [`chance`]) and what coincides with it ([`coincide`]), [`attribution`]
//! parts the time into [`stage`]s and a [`busy`] worker's share, [`halves`] compares the window's, and [`words`] and
//! [`tables`] say it.

pub mod attribution;
pub mod bands;
mod beside;
pub mod busy;
mod cells;
pub mod chance;
pub mod coincide;
pub mod episode;
pub mod events;
pub mod halves;
pub mod interval;
pub mod level;
pub mod shared;
pub mod stage;
pub mod tables;
pub mod tail;
pub mod totals;
pub mod words;

pub use self::{
    bands::bands,
    events::Events,
    level::Level,
    stage::Stages,
    tables::{blocks, levels as past},
    totals::Totals,
    words::of as paragraph,
};

use crate::row::{Names, Row};

use self::{
    attribution::Attribution,
    busy::Batches,
    coincide::Hiccups,
    episode::Episode,
    events::Second,
    halves::Halves,
    shared::{Bases, Share},
    tail::{Late, Tail},
    totals::{PLACES, Place},
};

/// Stalls that are described one by one, the longest waits first.
pub const EPISODES_SHOWN: usize = 10;
/// Seconds that are listed, those with the most late events first.
const SECONDS_SHOWN: usize = 5;

/// What is known of a run.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The rows with the largest scheduled → stored, those without an end first of all; all of them, or the largest K.
    pub tail: &'a [Row],
    /// All rows of the run: what the percentiles are of.
    pub n: u64,
    /// Names of sources and workers.
    pub names: &'a Names,
    /// Counts of all rows.
    pub totals: &'a Totals,
    /// Sums over all rows, by how late they were.
    pub stages: &'a Stages,
    /// What the manifest says happened.
    pub events: &'a Events,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Causes {
    /// All rows.
    pub n: u64,
    /// Start and end of the window, µs of the Unix epoch.
    pub window_us: [i64; 2],
    /// Names of sources and workers.
    pub names: Names,
    /// Events past each percentile and over the SLO, and their stalls.
    pub levels: Vec<Level>,
    /// The place in `levels` of the highest percentile with enough events past it to speak of.
    pub focus: Option<usize>,
    /// The place in `levels` of the one whose stalls, places and seconds are listed.
    pub listed: Option<usize>,
    /// The stalls of the listed level with the longest waits, longest first.
    pub episodes: Vec<Episode>,
    /// The kinds of places that stalls were held against: without a manifest no brokers, and none that is the only one.
    pub judged: Vec<Place>,
    /// Of the listed level's stalls, how many are each on one broker, worker …, beyond chance; zeros left out.
    pub concentrated: Vec<(Place, u64)>,
    /// The largest stall of the focus level.
    pub largest: Option<Episode>,
    /// How often stalls of the listed level coincide with hiccups.
    pub hiccups: Hiccups,
    /// The machine's median second, and its median second among those that stalls of the listed level touch.
    pub machine: Option<[Second; 2]>,
    /// Where the time goes: around the median, then past each percentile.
    pub attributions: Vec<Attribution>,
    /// The window's halves at each level whose rows are at hand.
    pub halves: Vec<Halves>,
    /// Planned events in each half.
    pub planned_halves: [u64; 2],
    /// Of the listed level, the likeliest to stand out of each place, each with its base rate.
    pub shares: Vec<Share>,
    /// Of the listed level, seconds of the window with the most late events: the second, late events, all events.
    pub seconds: Vec<(usize, u64, u64)>,
    /// Faults, and rebalances within the window, each with the late events of the listed level that were waiting within
    /// a second of it: when it began, what it was, how many.
    pub happened: Vec<(i64, String, u64)>,
}

/// Works out the causes of a run's tail; the order of the rows does not matter.
pub fn find(input: &Input) -> Causes {
    let tail = Tail::new(input.tail);
    let (totals, events) = (input.totals, input.events);
    let length_us = totals.per_second.len() as i64 * 1_000_000;
    let window_us = events.window_us.unwrap_or([totals.start_us, totals.start_us.saturating_add(length_us)]);
    let levels = level::all(&tail, input.n);
    let (focus, listed) = level::choose(&levels);
    let bases = Bases::new(totals, events);
    let stalls_of = |level: Option<usize>| level.map_or_else(Vec::new, |k| tail.stalls(levels[k].events as usize));
    let late = listed.map_or(&[][..], |k| &tail.slowest[..levels[k].events as usize]);
    let stalls = stalls_of(listed);
    let times: Vec<(i64, i64)> = stalls.iter().map(|stall| time(&tail, stall)).collect();
    let votes: Vec<(&Row, f64)> = stalls
        .iter()
        .flat_map(|stall| stall.iter().map(|&place| (tail.slowest[place].row, 1.0 / stall.len() as f64)))
        .collect();
    let (concentrated, episodes) = described(&tail, stalls, &bases, events);
    let (middle_us, planned_halves) = halves::planned(totals, window_us);
    // Of stalls of one size the earliest.
    let largest = stalls_of(focus).into_iter().rev().max_by_key(Vec::len);
    Causes {
        n: input.n,
        window_us,
        names: input.names.clone(),
        episodes,
        judged: bases.judged(),
        concentrated,
        largest: largest.map(|stall| Episode::of(&tail, &stall, &bases, events)),
        hiccups: Hiccups::of(events, times.iter().copied()),
        machine: beside::machine(events, &times),
        attributions: attribution::all(&tail, input.stages, input.n, &levels, &Batches::of(input.tail)),
        halves: levels.iter().filter_map(|level| halves::of(&tail, level, middle_us)).collect(),
        planned_halves,
        shares: first_of_each(bases.shares(votes.into_iter())),
        seconds: seconds(late, totals),
        happened: beside::happened(events, window_us, late),
        levels,
        focus,
        listed,
    }
}

fn time(tail: &Tail, stall: &[usize]) -> (i64, i64) {
    let late = || stall.iter().map(|&place| &tail.slowest[place]);
    (late().map(Late::start_us).min().unwrap_or(0), late().map(Late::end_us).max().unwrap_or(0))
}

/// How many stalls are each on one place of a kind, and the stalls with the longest waits.
fn described(
    tail: &Tail,
    mut stalls: Vec<Vec<usize>>,
    bases: &Bases,
    events: &Events,
) -> (Vec<(Place, u64)>, Vec<Episode>) {
    // The smallest place in the tail is the longest wait.
    stalls.sort_by_key(|stall| stall.iter().min().copied());
    let mut episodes: Vec<Episode> = stalls.iter().map(|stall| Episode::of(tail, stall, bases, events)).collect();
    let on = |place: Place| {
        let common = |episode: &&Episode| episode.common.iter().any(|common| common.place == place);
        episodes.iter().filter(common).count() as u64
    };
    let concentrated = PLACES.map(|place| (place, on(place))).into_iter().filter(|(_, n)| *n > 0).collect();
    episodes.truncate(EPISODES_SHOWN);
    (concentrated, episodes)
}

/// Of each place the share that chance explains worst; the next one, too, if it stands out.
fn first_of_each(shares: Vec<Share>) -> Vec<Share> {
    let mut kept: Vec<Share> = Vec::new();
    for share in shares {
        let before = kept.iter().filter(|kept| kept.place == share.place).count();
        if before == 0 || (before < 3 && share.stands_out()) {
            kept.push(share);
        }
    }
    kept
}

fn seconds(late: &[Late], totals: &Totals) -> Vec<(usize, u64, u64)> {
    let mut counts = vec![0u64; totals.per_second.len()];
    for late in late {
        let second = late.start_us().saturating_sub(totals.start_us).div_euclid(1_000_000);
        if let Some(count) = usize::try_from(second).ok().and_then(|second| counts.get_mut(second)) {
            *count += 1;
        }
    }
    let mut seconds: Vec<(usize, u64, u64)> =
        counts.into_iter().zip(&totals.per_second).enumerate().map(|(k, (late, &all))| (k, late, all)).collect();
    seconds.retain(|&(_, late, _)| late > 0);
    seconds.sort_by_key(|&(second, late, _)| (std::cmp::Reverse(late), second));
    seconds.truncate(SECONDS_SHOWN);
    seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cause::{
            events::{Fault, Rebalance},
            tail::tests::{row, rows},
        },
        document::Block,
    };

    fn causes(rows: &[Row], n: u64, events: &Events) -> Causes {
        let names = Names { sources: vec!["p0".into()], destinations: vec!["w0".into(), "w1".into()] };
        let (mut totals, mut stages) = (Totals::default(), Stages::default());
        for row in rows {
            totals.add(row);
            stages.add(row);
        }
        find(&Input { tail: rows, n, names: &names, totals: &totals, stages: &stages, events })
    }

    /// 20,000 events in 200 s, 5 ms each; every 10 s, some of the three partitions stall for 100 ms; a fault at the last one.
    fn stalled(stalls: impl Fn(i64) -> bool) -> (Vec<Row>, Events) {
        let rows = (0..20_000).map(|k| {
            let (at_us, into_us) = (k * 10_000, k * 10_000 % 10_000_000);
            row(k, at_us, Some(if into_us < 100_000 && stalls(k % 3) { 110_000 - into_us } else { 5_000 }))
        });
        let second = |k: i64| Second { at_us: k * 1_000_000, cpu_pressure: 0.5, ..Second::default() };
        let events = Events {
            window_us: Some([0, 200_000_000]),
            faults: vec![Fault { end_us: 190_100_000, ..Fault::new("broker 2 paused".into(), 190_000_000, false) }],
            rebalances: vec![Rebalance { worker: 0, at_us: -5_000_000, partitions: 3 }],
            seconds: (1..=200).map(second).collect(),
            leaders: [(0, 1), (1, 2), (2, 3)].into(),
        };
        (rows.collect(), events)
    }

    fn text(causes: &Causes) -> String {
        let cells = |table: &crate::document::Table| {
            assert!(table.rows.iter().all(|row| row.len() == table.header.len()), "{}", table.name);
            table.rows.iter().flatten().map(|cell| cell.text.clone()).collect::<Vec<_>>().join(" | ")
        };
        let said = [vec![Block::Prose(paragraph(causes)), past(causes)], blocks(causes)].concat();
        let blocks = said.into_iter().map(|block| match block {
            Block::Heading(_, text) | Block::Prose(text) | Block::Lines(text) => text,
            Block::Table(table) => cells(&table),
            Block::Chart { caption, .. } => caption,
        });
        blocks.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_run_whose_partition_stalls_is_read_aloud() {
        let (rows, events) = stalled(|partition| partition == 1);
        let causes = causes(&rows, 20_000, &events);
        let text = text(&causes);
        assert_eq!(causes.levels[1].stalls, [1; 20], "the slowest of each stall");
        for words in [
            "**The slowest 20 of 20,000 events (past p99.9,",
            "came in 20 separate stalls**",
            "60 % of their time is **Kafka**",
            "fault: broker 2 paused at second 190.0",
            "these stand out: 20 of 20 on broker 2 (33 % of all events); 20 of 20 on partition 1",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("rebalance of worker") && !text.contains("caused by"), "{text}");
    }

    #[test]
    fn only_places_that_are_known_are_spoken_of() {
        let (rows, with_leaders) = stalled(|_| true);
        for (events, judged) in [
            (with_leaders, "on one broker, worker, partition or producer beyond chance"),
            (Events::default(), "on one worker, partition or producer beyond chance"),
        ] {
            let text = text(&causes(&rows, 20_000, &events));
            assert!(text.contains(&format!("No stall past p99.9 is {judged}")), "{judged}: {text}");
        }
    }

    #[test]
    fn nothing_is_said_of_too_little() {
        for n in [0, 1, 500] {
            let rows: Vec<Row> = (0..n).map(|k| row(k, k * 1_000, Some(5_000))).collect();
            let causes = causes(&rows, n as u64, &Events::default());
            assert!(text(&causes).contains("too few to say"), "{n}");
            assert_eq!((causes.focus, causes.episodes.len()), (None, 0));
        }
    }

    #[test]
    fn a_run_that_lost_everything_is_described() {
        let rows: Vec<Row> = (0..2_000).map(|k| row(k, k * 1_000, None)).collect();
        let text = text(&causes(&rows, 2_000, &Events::default()));
        assert!(text.contains("20 of them were never stored: 20 unsent"), "{text}");
        assert!(text.contains("> drain to > drain ms"), "{text}");
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(rows in rows(), seed in any::<u64>(), more in 0u64..100_000) {
            let mut shuffled = rows.clone();
            shuffled.sort_by_key(|row| (row.sequence as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let n = rows.len() as u64 + more;
            let (_, events) = stalled(|partition| partition == 1);
            let found = causes(&rows, n, &events);
            prop_assert_eq!(&found, &causes(&shuffled, n, &events));
            text(&found);
        }
    }
}
