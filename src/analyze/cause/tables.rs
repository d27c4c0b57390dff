//! The causes of a run's tail as prose and tables.

use crate::{
    document::{Block, Cell},
    markdown::count,
};
use shasta_model::columns::{CHAIN, READ, SCHEDULED_TO_STORED};

use super::{
    Causes, EPISODES_SHOWN, Level,
    attribution::Attribution,
    cells::{chance, fixed, share, table, wait},
    episode::Episode,
    interval::EPISODES,
    tail, words,
};

/// What is to be said beyond [`levels`] and the paragraph in [`words`], below a heading of its own.
pub fn blocks(causes: &Causes) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(3, "Where the tail comes from".to_owned())];
    blocks.push(Block::Prose(format!(
        "A stall: late events whose waits, scheduled → stored, overlap or lie at most {} ms apart. The interval is \
         **within this run**, nominally 95 % (89–98 % covered in simulation), and only given from {EPISODES} stalls on: \
         it does not know what other runs would see.",
        tail::GAP_US / 1000
    )));
    if !causes.episodes.is_empty() {
        blocks.push(episodes(causes));
        blocks.push(Block::Prose(format!(
            "{} “On” names what a stall's events share well above its share of all events, and beyond chance. A \
             coincidence is no cause.",
            listed(causes, "stalls")
        )));
    }
    if !causes.attributions.is_empty() {
        blocks.push(stages(&causes.attributions));
        blocks.push(annotations(&causes.attributions));
        blocks.push(Block::Prose(ANNOTATIONS.to_owned()));
    }
    if !causes.halves.is_empty() {
        blocks.push(halves(causes));
    }
    if !causes.shares.is_empty() {
        blocks.push(shares(causes));
        blocks.push(Block::Prose(
            "Chance: how often an even spread would show any share as high (binomial, × the number of values looked \
             at; each stall has one vote, parted among its events' places)."
                .to_owned(),
        ));
    }
    if !causes.seconds.is_empty() {
        blocks.push(seconds(causes));
    }
    if !causes.happened.is_empty() {
        blocks.push(happened(causes));
    }
    blocks.extend(machine(causes));
    blocks
}

fn listed(causes: &Causes, what: &str) -> String {
    let Some(level) = causes.listed.map(|k| &causes.levels[k]) else { return String::new() };
    let shown = causes.episodes.len();
    let all = level.stalls.len();
    if all > EPISODES_SHOWN {
        format!("The {shown} of {} {what} {} with the longest waits.", count(all as u64), level.name)
    } else {
        format!("All {what} {}, the longest wait first.", level.name)
    }
}

/// Events and stalls past each percentile, and where it may lie.
pub fn levels(causes: &Causes) -> Block {
    let row = |level: &Level| {
        let events = if level.whole || level.percentile.is_some() {
            Cell::count(level.events)
        } else {
            Cell::number(format!("at least {}", count(level.events)), level.events as f64)
        };
        let known = |cell: Cell| if level.whole { cell } else { "not at hand".into() };
        let interval = match level.interval {
            Some(interval) => {
                let high = interval.high_us.map_or_else(|| "…".to_owned(), words::wait);
                format!("{} to {high}", words::wait(interval.low_us)).into()
            }
            None => Cell::from("–"),
        };
        let from = if level.percentile.is_some() { wait(level.from_us) } else { "–".into() };
        vec![
            level.name.as_str().into(),
            from,
            events,
            known(Cell::count(level.stalls.len() as u64)),
            known(Cell::count(level.largest())),
            interval,
        ]
    };
    let header = ["Events", "From (ms)", "Events past", "Stalls", "Largest stall", "Within this run (ms)"];
    table("stalls-past", &header, causes.levels.iter().map(row).collect())
}

fn episodes(causes: &Causes) -> Block {
    let row = |episode: &Episode| {
        let on: Vec<String> = episode.common.iter().map(|common| words::share(common, causes)).collect();
        let with: Vec<String> = episode.coincides.iter().map(ToString::to_string).collect();
        let or_none = |list: Vec<String>| if list.is_empty() { Cell::from("–") } else { list.join("; ").into() };
        let stage = episode.stage.map_or_else(
            || Cell::from("never stored"),
            |(stage, share)| format!("{} {}", CHAIN[stage].name, words::percent(share)).into(),
        );
        vec![
            fixed(words::second(causes, episode.start_us), 1),
            fixed(episode.length_ms(), 0),
            Cell::count(episode.events),
            wait(Some(episode.worst_us)),
            stage,
            or_none(on),
            or_none(with),
        ]
    };
    let header = ["Stall at (s)", "Length (ms)", "Events", "Worst (ms)", "Most time", "On", "Coincides with"];
    table("stalls", &header, causes.episodes.iter().map(row).collect())
}

fn stages(sets: &[Attribution]) -> Block {
    let row = |set: &Attribution| {
        let mut row: Vec<Cell> = vec![set.name.as_str().into(), Cell::count(set.sums.count)];
        let Some((total, means)) = set.means_10us() else {
            row.extend(std::iter::repeat_n(Cell::from("–"), CHAIN.len() + 1));
            return row;
        };
        let ms = |tens_us: i128| fixed(tens_us as f64 / 100.0, 2);
        let shares = set.permille();
        row.extend(means.iter().enumerate().map(|(stage, &mean)| {
            let mut cell = ms(mean);
            if let Some(permille) = shares.map(|shares| shares[stage]) {
                cell.text += &format!(" ({:.1} %)", permille as f64 / 10.0);
            }
            cell
        }));
        row.push(ms(total));
        row
    };
    let mut header = vec!["Mean ms of events", "Events"];
    header.extend(CHAIN.iter().map(|stage| stage.name));
    header.push(SCHEDULED_TO_STORED.name);
    table("stages", &header, sets.iter().map(row).collect())
}

/// What stands beside the stages and is no term of their sum.
fn annotations(sets: &[Attribution]) -> Block {
    let row = |set: &Attribution| {
        let (sums, none) = (&set.sums, Cell::from("–"));
        // The broker's clock gives whole ms: the instant lies up to 1 ms after its reading.
        let appended = (sums.count > 0 && sums.append_count == sums.count).then(|| {
            let from_ms = sums.mean_ms(sums.append_us_sum);
            (from_ms, sums.mean_ms(sums.stage_us_sums[1]) - from_ms - 1.0)
        });
        let within_1_ms = |from_ms: f64| Cell::number(format!("{from_ms:.1} to {:.1}", from_ms + 1.0), from_ms);
        let behind = set.behind_us_sum.filter(|_| sums.count > 0).map(|us_sum| {
            let mut cell = fixed(sums.mean_ms(us_sum), 2);
            if !set.behind_is_exact {
                cell.text.insert_str(0, "≥ ");
            }
            cell
        });
        let read = (sums.read_count > 0).then(|| {
            let mut cell = fixed(sums.read_us_sum as f64 / sums.read_count as f64 / 1000.0, 2);
            if sums.read_count < sums.count {
                cell.text += &format!(" (of {})", count(sums.read_count));
            }
            cell
        });
        vec![
            set.name.as_str().into(),
            appended.map_or(none.clone(), |(until_ms, _)| within_1_ms(until_ms)),
            appended.map_or(none.clone(), |(_, after_ms)| within_1_ms(after_ms)),
            behind.unwrap_or(none.clone()),
            read.unwrap_or(none.clone()),
            if set.stopped.count() > 0 { Cell::count(set.stopped.count()) } else { none },
        ]
    };
    let behind = format!("of {}: behind an earlier batch", CHAIN[2].name);
    let until = format!("of {}: until appended", CHAIN[1].name);
    let header = ["Beside it, mean ms", &until, "appended → consumed", &behind, READ.name, "Never stored (events)"];
    table("beside-stages", &header, sets.iter().map(row).collect())
}

const ANNOTATIONS: &str = "The stages are means over the same events, so each line sums to its whole. Appended is the \
    broker's clock in whole ms, so its two parts of Kafka are known to 1 ms; what follows it is replication, the fetch, \
    and a worker too busy to fetch, which rows cannot tell apart. Behind an earlier batch: consumed while the worker's \
    batch before its own was on its way; ≥ where that batch may be missing among the slow rows.";

fn halves(causes: &Causes) -> Block {
    let planned = causes.planned_halves.map(Cell::count);
    let mut rows =
        vec![["planned".into(), planned[0].clone(), planned[1].clone(), "–".into(), "–".into(), "–".into()].to_vec()];
    rows.extend(causes.halves.iter().map(|halves| {
        let [events, stalls] = [halves.events, halves.stalls].map(|pair| pair.map(Cell::count));
        let [first, second] = events;
        let [first_stalls, second_stalls] = stalls;
        vec![halves.name.as_str().into(), first, second, first_stalls, second_stalls, chance(halves.probability)]
    }));
    let header = [
        "Half of the window",
        "First: events",
        "Second: events",
        "First: stalls",
        "Second: stalls",
        "Chance (by stalls)",
    ];
    table("halves", &header, rows)
}

fn shares(causes: &Causes) -> Block {
    let rows = causes.shares.iter().map(|found| {
        vec![
            found.place_name(&causes.names).into(),
            Cell::number(format!("{} of {}", count(found.k), count(found.n)), found.k as f64),
            share(found.k as f64 / found.n as f64),
            share(found.base),
            fixed(found.ratio(), 2),
            chance(found.probability),
            if found.stands_out() { "stands out".into() } else { "–".into() },
        ]
    });
    let name = causes.listed.map_or("Late events", |k| causes.levels[k].name.as_str());
    let first = format!("Most remarkable, {name}");
    let header = [&first, "Events", "Share", "Share of all events", "Ratio", "Chance", "Judged"];
    table("tail-by-place", &header, rows.collect())
}

fn seconds(causes: &Causes) -> Block {
    let late: u64 = causes.listed.map_or(0, |k| causes.levels[k].events);
    let rows = causes.seconds.iter().map(|&(second, k, all)| {
        vec![
            Cell::number(format!("second {second}"), second as f64),
            Cell::number(format!("{} of {}", count(k), count(late)), k as f64),
            Cell::count(all),
            share(all as f64 / causes.n.max(1) as f64),
        ]
    });
    let name = causes.listed.map_or("Late events", |k| causes.levels[k].name.as_str());
    let first = format!("Worst seconds, {name}");
    table("tail-by-second", &[&first, "Late events", "All events", "Share of all events"], rows.collect())
}

fn happened(causes: &Causes) -> Block {
    let rows = causes.happened.iter().map(|(at_us, what, late)| {
        vec![what.as_str().into(), fixed(words::second(causes, *at_us), 1), Cell::count(*late)]
    });
    table("happened", &["What happened", "At (s)", "Late events that waited within 1 s of it"], rows.collect())
}

fn machine(causes: &Causes) -> Option<Block> {
    let [all, stalled] = causes.machine.as_ref()?;
    let row = |name: &str, of: fn(&super::Second) -> f64| vec![name.into(), fixed(of(all), 2), fixed(of(stalled), 2)];
    let mut rows = vec![
        row("longest wake-up latency of a 1 ms sleep (ms)", |second| second.hiccup_ms_max),
        row("CPU pressure (share of time some task waited)", |second| second.cpu_pressure),
        row("CPU used outside the run (cores)", |second| second.foreign_cores),
        row("CPU steal (cores)", |second| second.steal_cores),
    ];
    if all.work_us > 0.0 {
        rows.push(row("CPU calibration: time of a fixed piece of work (µs)", |second| second.work_us));
    }
    if stalled.written_mb > 0.0 {
        rows.push(row("written to disks (MB)", |second| second.written_mb));
    }
    Some(table("machine", &["The machine's median second", "All", "With a stall"], rows))
}
