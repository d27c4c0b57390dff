//! What stands beside the verdict: events that did not arrive, in words, and what went wrong meanwhile.

use std::fmt::{self, Write};

use console::style;

use crate::{output::terminal, run::collector::LISTED_MAX};
use shasta_model::{
    ledger::Ledger,
    manifest::{Manifest, record::Refusal},
    number::thousands,
    slo,
};

/// Most warnings on the screen; the manifest has more.
const SHOWN_MAX: usize = 10;
/// Longest line of a warning, in characters.
const SHOWN_CHARS_MAX: usize = 300;

/// What bounds the verdict first, then losses, troubles and warnings, a line each.
pub(super) fn write(f: &mut impl Write, m: &Manifest) -> fmt::Result {
    let aside = m.set_aside.first().map(|first| {
        let place = format!("partition {}", first.partition);
        let more = if m.set_aside.len() < LISTED_MAX { "" } else { "or more " };
        let count = thousands(m.set_aside.len() as u64);
        format!(
            "{count} {more}records could not be stored; the first, {place}, offset {}: {}",
            first.offset, first.reason
        )
    });
    let mut lines: Vec<_> = m.caveats.iter().map(|caveat| caveat.text.clone()).collect();
    lines.extend(losses(&m.ledger));
    lines.extend(refusals(&m.refusals));
    lines.extend(aside);
    lines.extend(m.warnings.iter().take(SHOWN_MAX).map(|warning| first_line(warning)));
    let more = m.warnings.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("{more} more warnings: see the manifest"));
    }
    for line in &lines {
        writeln!(f, "{}", style(format!("! {line}")).yellow())?;
    }
    if lines.is_empty() { Ok(()) } else { writeln!(f) }
}

/// How many events were over, of how many.
pub(super) fn over_slo(m: &Manifest) -> String {
    let (over, planned) = (thousands(m.over_slo), thousands(m.planned));
    let recorded = m.latencies.rows;
    if recorded < m.planned {
        let recorded = thousands(recorded);
        return format!(
            "{over} of the {recorded} recorded events ({planned} planned) over 100 ms (scheduled → stored)"
        );
    }
    let more = if too_many_over(m) { ", more than the SLO's 0.01 %" } else { "" };
    format!("{over} of {planned} planned events over 100 ms (scheduled → stored){more}")
}

/// Whether more were over than the SLO allows, however few were planned.
pub(super) fn too_many_over(m: &Manifest) -> bool {
    slo::too_many(m.planned, m.over_slo)
}

/// Events that did not arrive: how many, where they stopped, and where they are.
fn losses(l: &Ledger) -> Vec<String> {
    let unplaced = l.lost.saturating_sub(l.lost_held + l.lost_gone + l.lost_cut_off + l.lost_undecodable);
    let told = [
        (l.unsent, "planned events were never handed to a client: it was too slow, or had no broker to send to"),
        (l.failed, "events were refused by Kafka for good, and are not in it"),
        (l.lost_held, "acked events were not consumed before the drain ended; Kafka still holds them"),
        (l.lost_gone, "acked events were deleted from the topic before a worker came to them, and are gone"),
        (l.lost_cut_off, "acked events are gone: their topic was made anew, or lost its end"),
        (l.lost_undecodable, "acked events lie in batches that the consumer cannot decode; Kafka still holds them"),
        (
            unplaced,
            "acked events were not consumed before the drain ended; whether Kafka holds them could not be asked",
        ),
        (l.maybe_unseen, "events were neither acked nor consumed before the drain ended; Kafka may hold them"),
        (l.unstored, "events were consumed, but Redis had not answered before the drain ended"),
    ];
    let told = told.into_iter().filter(|(count, _)| *count > 0);
    told.map(|(count, what)| format!("{} {what}", thousands(count))).collect()
}

/// Why events were not acked: a line a cause.
fn refusals(all: &[Refusal]) -> Vec<String> {
    let of_window = all.iter().filter(|refusal| refusal.failed + refusal.maybe > 0);
    let line = |Refusal { cause, failed, maybe, .. }: &Refusal| {
        let counts = [(*failed, "refused"), (*maybe, "without a clear answer")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{} {what}", thousands(*count))).collect();
        first_line(&format!("not acked, {}: {cause}", counts.join(", ")))
    };
    of_window.take(SHOWN_MAX).map(line).collect()
}

fn first_line(text: &str) -> String {
    let line = terminal::first_line(text);
    let mut shown: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    // "… the last lines of its log:" introduces what only the manifest has room for.
    match shown.strip_suffix(':') {
        Some(introduction) if text.lines().nth(1).is_some() => format!("{introduction} are in the manifest"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_did_not_arrive_are_named_in_words() {
        assert_eq!(losses(&Ledger::default()), Vec::<String>::new());
        let told = losses(&Ledger { lost: 16_914, lost_held: 16_911, lost_gone: 1, unsent: 2, ..Ledger::default() });
        assert!(told[0].starts_with("2 planned events were never handed to a client"), "{told:?}");
        assert_eq!(told[1], "16,911 acked events were not consumed before the drain ended; Kafka still holds them");
        assert!(told[2].contains("are gone") && told[3].contains("could not be asked"), "{told:?}");
    }

    #[test]
    fn what_the_brokers_refused_is_told_with_its_cause() {
        let refusal = |cause: &str, failed, maybe| Refusal { cause: cause.into(), failed, maybe, warm: 1 };
        let all = [refusal("MESSAGE_TOO_LARGE: raise it", 5_000, 0), refusal("timed out", 1, 2), refusal("warm", 0, 0)];
        assert_eq!(
            refusals(&all),
            [
                "not acked, 5,000 refused: MESSAGE_TOO_LARGE: raise it",
                "not acked, 1 refused, 2 without a clear answer: timed out"
            ]
        );
    }

    #[test]
    fn a_warning_is_one_line_of_bounded_length() {
        assert_eq!(
            first_line("broker 1 ended; the last lines:\nits log"),
            "broker 1 ended; the last lines are in the manifest"
        );
        assert_eq!(first_line(&"ü".repeat(1_000)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
