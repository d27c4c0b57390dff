//! What dominates the tail of a run, in one paragraph of plain words.

use crate::markdown::{count, counted};
use shasta_model::{columns::CHAIN, percentile::FEW};

use super::{
    Causes, Level, attribution::Attribution, chance, episode::Episode, shared::Share, tail::NEVER, totals::Place,
};

/// Late events that fill more of the window than this are not separate stalls.
const THROUGHOUT: f64 = 0.3;

/// The paragraph.
pub fn of(causes: &Causes) -> String {
    let Some(focus) = causes.focus.map(|k| &causes.levels[k]) else {
        return format!(
            "The run has {}: fewer than {FEW} lie past p99 (or are at hand), too few to say what their tail \
             is made of.",
            counted(causes.n, "event")
        );
    };
    let parts = [stalls(causes, focus), stages(causes, focus), coincidences(causes), halves(causes), places(causes)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Milliseconds, or that there are none.
pub fn wait(us: i64) -> String {
    if us == NEVER { "> drain".to_owned() } else { format!("{:.1}", us as f64 / 1000.0) }
}

/// `31 of 31 on broker 2 (33 % of all events)`.
pub fn share(share: &Share, causes: &Causes) -> String {
    let place = share.place_name(&causes.names);
    format!("{} of {} on {place} ({} of all events)", count(share.k), count(share.n), percent(share.base))
}

/// `33 %`, or with a digit more below 10 %.
pub fn percent(share: f64) -> String {
    if share < 0.1 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

/// Seconds since the start of the window.
pub fn second(causes: &Causes, at_us: i64) -> f64 {
    at_us.saturating_sub(causes.window_us[0]) as f64 / 1e6
}

fn stalls(causes: &Causes, focus: &Level) -> String {
    let (stalls, [from, to]) =
        (focus.stalls.len() as u64, [focus.from_us, focus.to_us].map(|us| wait(us.unwrap_or(0))));
    let mut text = format!(
        "**The slowest {} of {} events ({}, {from} to {to} ms) came in {}**",
        count(focus.events),
        count(causes.n),
        focus.name,
        counted(stalls, "separate stall")
    );
    let window_us = causes.window_us[1].saturating_sub(causes.window_us[0]).max(1);
    // Events may still wait when the window ends.
    let throughout = (focus.stalled_us as f64 / window_us as f64).min(1.0);
    if let Some(largest) = &causes.largest {
        let which = if stalls == 1 { "it began" } else { "the largest began" };
        text += &format!("; {which} at second {:.1}: {}", second(causes, largest.start_us), describe(causes, largest));
    }
    text += ".";
    if throughout > THROUGHOUT {
        text += &format!(
            " Together they fill {} of the window: late throughout rather than stalled now and then.",
            percent(throughout)
        );
    } else if stalls < FEW {
        text += &format!(
            " With so few, p{} says what these stalls were, not what another run would see.",
            focus.percentile.unwrap_or_default()
        );
    }
    text
}

fn describe(causes: &Causes, episode: &Episode) -> String {
    let mut text = format!("{} over {:.0} ms", counted(episode.events, "event"), episode.length_ms());
    match episode.common.first() {
        Some(common) => text += &format!(", {}", share(common, causes)),
        None if causes.judged.is_empty() => {}
        None => text += &format!(", on no one {} beyond chance", any_of(&causes.judged)),
    }
    if !episode.coincides.is_empty() {
        let what: Vec<String> = episode.coincides.iter().map(ToString::to_string).collect();
        text += &format!(" (coincides with {})", what.join(", "));
    }
    text
}

fn stages(causes: &Causes, focus: &Level) -> String {
    let Some(set) = causes.attributions.iter().find(|set| set.name == focus.name) else { return String::new() };
    let mut text = String::new();
    if let Some((stage, share)) = set.most() {
        text += &format!("{} of their time is **{}**", percent(share), CHAIN[stage].name);
        let median = causes.attributions.first().filter(|set| set.name.contains("median"));
        let ordinary = median.and_then(|median| Some((median.permille()?[stage], stage_ms(median, stage))));
        if let Some((permille, ms)) = ordinary {
            let late_ms = stage_ms(set, stage);
            let usual = percent(permille as f64 / 1000.0);
            text += &format!(": {late_ms:.1} ms, where an event around the median has {ms:.1} ms ({usual})");
        }
        text += ".";
    }
    if set.stopped.count() > 0 {
        text += &format!(
            " {} never stored: {} unsent, {} sent and not consumed, {} consumed and not stored.",
            match set.stopped.count() {
                1 => "1 of them was".to_owned(),
                stopped => format!("{} of them were", count(stopped)),
            },
            count(set.stopped.unsent),
            count(set.stopped.unconsumed),
            count(set.stopped.unstored)
        );
    }
    text
}

fn stage_ms(set: &Attribution, stage: usize) -> f64 {
    set.sums.mean_ms(set.sums.stage_us_sums[stage])
}

fn coincidences(causes: &Causes) -> String {
    let listed = causes.listed.map_or("", |k| causes.levels[k].name.as_str());
    let mut text = if causes.happened.is_empty() {
        "No fault and no rebalance was recorded in the window.".to_owned()
    } else {
        let near: Vec<String> = causes
            .happened
            .iter()
            .filter(|(_, _, late)| *late > 0)
            .map(|(at_us, what, late)| {
                format!("{what} at second {:.1}: {}", second(causes, *at_us), counted(*late, "event"))
            })
            .collect();
        match near.len() {
            0 => format!("Faults or rebalances were recorded, but no event {listed} waited near one."),
            1..=3 => format!("Events {listed} that waited near it: {}.", near.join("; ")),
            more => format!("Events {listed} waited near {more} faults or rebalances (see below)."),
        }
    };
    let hiccups = &causes.hiccups;
    if hiccups.of_seconds == 0 && causes.happened.is_empty() {
        return "Nothing is recorded of faults, rebalances or what the machine did.".to_owned();
    }
    if hiccups.of_seconds == 0 {
        return text + " Nothing is recorded of what the machine did.";
    }
    let stalls = causes.listed.map_or(0, |k| causes.levels[k].stalls.len() as u64);
    let expected = hiccups.expected;
    let probability = chance::at_least(hiccups.stalls, stalls, expected / stalls.max(1) as f64);
    let judged = if probability < chance::RARE { "beyond chance" } else { "within chance" };
    text += &format!(
        " Of the {} {listed}, {} in a second with a wake-up latency of {:.0} ms or more, {expected:.1} by chance alone: \
         {judged}.",
        counted(stalls, "stall"),
        if hiccups.stalls == 1 { "1 lies".to_owned() } else { format!("{} lie", count(hiccups.stalls)) },
        super::coincide::HICCUP_MS
    );
    if let Some([all, stalled]) = &causes.machine {
        text += &format!(
            " Some task waited for a CPU during {} of the median second ({} where there were stalls).",
            percent(all.cpu_pressure),
            percent(stalled.cpu_pressure)
        );
    }
    text
}

fn halves(causes: &Causes) -> String {
    let listed = causes.listed.map(|k| &causes.levels[k].name);
    let Some(halves) = causes.halves.iter().find(|halves| Some(&halves.name) == listed) else { return String::new() };
    let judged = if halves.probability < 0.05 { "uneven beyond chance" } else { "no more uneven than chance" };
    format!(
        "The halves of the window had {} and {} {} ({} and {} events): {judged}.",
        count(halves.stalls[0]),
        counted(halves.stalls[1], "stall"),
        halves.name,
        count(halves.events[0]),
        count(halves.events[1])
    )
}

/// `broker, worker or partition`.
fn any_of(places: &[Place]) -> String {
    let names: Vec<&str> = places.iter().map(|place| place.name()).collect();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

fn places(causes: &Causes) -> String {
    let out: Vec<String> =
        causes.shares.iter().filter(|share| share.stands_out()).map(|out| share(out, causes)).collect();
    let Some(level) = causes.listed.map(|k| &causes.levels[k]) else { return String::new() };
    if causes.judged.is_empty() {
        return String::new();
    }
    let alone: Vec<String> = causes
        .concentrated
        .iter()
        .map(|(place, stalls)| format!("{} on one {}", count(*stalls), place.name()))
        .collect();
    let mut text = if alone.is_empty() {
        format!("No stall {} is on one {} beyond chance", level.name, any_of(&causes.judged))
    } else {
        // Each stall is named wrongly with at most this probability.
        let by_chance = level.stalls.len() as f64 * chance::RARE;
        format!(
            "Taken one by one, of the {} {}: {} (chance makes at most {by_chance:.1} of these; stalls of few events \
             cannot tell)",
            counted(level.stalls.len() as u64, "stall"),
            level.name,
            alone.join(", ")
        )
    };
    text += match out.is_empty() {
        true => "; over all of them together, none stands out.",
        false => "; over all of them together, these stand out: ",
    };
    if out.is_empty() { text } else { text + &out.join("; ") + "." }
}
