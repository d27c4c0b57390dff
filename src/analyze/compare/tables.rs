//! A comparison's tables, and how its figures are written.

use super::{
    arm::{DESCRIBED, PRIMARY, Sorted},
    interval::{CONFIDENCE, Effect, Interval, of_median},
    matrix::Matrix,
    permutation::Test,
};
use crate::{
    document::{Cell, Table},
    spread::{Spread, value},
};
use shasta_model::percentile::Value;

/// The arms: how many runs, how well they tell a median, and the medians of what describes the runs.
pub fn arms_table(arms: &[Sorted<'_>]) -> Table {
    let header = [
        "Arm",
        "Valid runs",
        "Set aside",
        "Median (ms)",
        "Best",
        "Worst",
        "Interval of the median",
        "Covers",
        "Median mean (ms)",
        "Median SD",
        "Median min",
    ];
    let rows = arms.iter().map(|arm| {
        let figures = arm.figures(PRIMARY);
        let Spread { median, max, min, .. } = Spread::over(&figures);
        let interval = of_median(&figures, CONFIDENCE);
        let ends = interval.map(|Interval { low, high, .. }| format!("{} to {}", value(low), value(high)));
        let covers = interval.map(|Interval { coverage, .. }| Cell::number(percent(coverage), coverage));
        let mut row = vec![arm.name.into(), whole(arm.usable.len()), whole(arm.set_aside.len())];
        row.extend([median, min, max].map(latency));
        row.extend([ends.map_or_else(none, Cell::from), covers.unwrap_or_else(none)]);
        row.extend(DESCRIBED.map(|endpoint| latency(Spread::over(&arm.figures(endpoint)).median)));
        row
    });
    Table::new("compare-arms", &header, rows.collect())
}

/// Each arm against the first.
pub fn comparisons_table(matrix: &Matrix<'_>) -> Table {
    let header =
        ["Against the first arm", "Runs", "Ratio", "Interval", "Covers", "p", "p (Holm)", "p within seeds", "Result"];
    let rows = matrix.comparisons.iter().map(|comparison| {
        let (first, other) = (&matrix.arms[0], &matrix.arms[comparison.arm]);
        let mut row = vec![other.name.into(), format!("{} v {}", other.usable.len(), first.usable.len()).into()];
        row.extend(effect_cells(comparison.effect));
        let two_sided = |test: Option<Test>| test.map(|test| test.two_sided);
        row.extend([two_sided(comparison.test), comparison.holm, two_sided(comparison.within_seeds)].map(p_cell));
        row.push(comparison.outcome.to_string().into());
        row
    });
    Table::new("compare", &header, rows.collect())
}

/// The other endpoints.
pub fn exploratory_table(matrix: &Matrix<'_>) -> Table {
    let header =
        ["Endpoint", "Arm", "Median (ms)", "First arm's", "Ratio", "Interval", "Covers", "p (not corrected)", "Result"];
    let rows = matrix.exploratory.iter().map(|one| {
        let median = |arm: &Sorted<'_>| latency(Spread::over(&arm.figures(&one.endpoint)).median);
        let (first, other) = (&matrix.arms[0], &matrix.arms[one.arm]);
        let mut row = vec![one.endpoint.as_str().into(), other.name.into(), median(other), median(first)];
        row.extend(effect_cells(one.effect));
        row.extend([p_cell(one.p), if one.p.is_some() { "exploratory" } else { "descriptive" }.into()]);
        row
    });
    Table::new("compare-exploratory", &header, rows.collect())
}

fn effect_cells(effect: Option<Effect>) -> [Cell; 3] {
    let Some(Effect { ratio, interval }) = effect else { return [none(), none(), none()] };
    let ends = interval.map(|Interval { low, high, .. }| format!("{} to {}", times(low), times(high)).into());
    let covers = interval.map(|Interval { coverage, .. }| Cell::number(percent(coverage), coverage));
    [Cell::number(times(ratio), ratio), ends.unwrap_or_else(none), covers.unwrap_or_else(none)]
}

fn none() -> Cell {
    "–".into()
}

fn whole(n: usize) -> Cell {
    Cell::number(n.to_string(), n as f64)
}

fn latency(value: Value) -> Cell {
    Cell::number(value.to_string(), value.as_ms().unwrap_or(f64::NAN))
}

fn p_cell(p: Option<f64>) -> Cell {
    p.map_or_else(none, |p| Cell::number(p_text(p), p))
}

/// A ratio with 2 places; `∞` where it has none.
pub fn times(ratio: f64) -> String {
    if ratio.is_finite() { value(ratio).to_string() } else { "∞".to_owned() }
}

/// p with 4 places.
pub fn p_text(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

/// A share as `93.75 %`, cut and not rounded up, so that no interval claims what it does not cover.
pub fn percent(share: f64) -> String {
    // The addition undoes what subtraction lost: 0.875 may have come out as 0.8749999999999999.
    format!("{} %", ((share + 1e-9) * 1000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_up() {
        assert_eq!(
            [0.875, 0.9375, 0.97142857, 0.99996, 0.5, 0.0].map(percent),
            ["87.5 %", "93.7 %", "97.1 %", "99.9 %", "50 %", "0 %"]
        );
    }
}
