//! A comparison, and a gate's decision, in words and tables.

use super::{
    arm::{Arm, PRIMARY, SetAside, Sorted, sort_out},
    gate::Gate,
    interval::{Effect, Interval},
    matrix::{Comparison, Matrix, Outcome, RUNS_TO_RESOLVE},
    null::Ways,
    permutation::Test,
    tables::{arms_table, comparisons_table, exploratory_table, p_text, percent, times},
};
use crate::{
    document::{Block, Table},
    spread::Spread,
};

/// How the figures were made; stands below the tables.
const METHOD: &str = "The run is the unit. Median, best and worst are over an arm's valid runs, and the interval of \
    the median is between two of them (order statistics), covering as often as it says. The ratio is the median of all \
    ratios of one run to one of the first arm (Hodges and Lehmann), its interval Moses'. p is the two-sided exact \
    permutation test on ranks, corrected by Holm over the comparisons of this table. Mean, SD and min are of scheduled → \
    stored over a run's events that have both stamps, here the median of the runs.";

/// A comparison of arms with the first of them.
pub fn comparison(arms: &[Arm]) -> Vec<Block> {
    let matrix = Matrix::of(arms);
    let names: Vec<String> = arms.iter().map(|arm| format!("`{}`", arm.name)).collect();
    let mut blocks = vec![Block::Heading(2, format!("Comparison of {}", names.join(", ")))];
    if matrix.comparisons.is_empty() {
        blocks.push(Block::Prose("There is nothing to compare: name two arms.".to_owned()));
    }
    blocks.extend(matrix.comparisons.iter().map(|comparison| Block::Prose(sentence(&matrix, comparison))));
    blocks.push(Block::Table(arms_table(&matrix.arms)));
    if !matrix.comparisons.is_empty() {
        blocks.push(Block::Table(comparisons_table(&matrix)));
        blocks.push(Block::Prose(method(&matrix)));
    }
    blocks.extend(set_aside(&matrix.arms));
    if !matrix.exploratory.is_empty() {
        let prose = "Exploratory, whatever its p: these endpoints were not the one named before the runs, and nothing \
                     is corrected for how many there are.";
        blocks.push(Block::Prose(prose.to_owned()));
        blocks.push(Block::Table(exploratory_table(&matrix)));
    }
    blocks
}

/// A gate's decision, and the runs it was made from.
pub fn decision(baseline: &Arm, candidate: &Arm, gate: &Gate) -> Vec<Block> {
    let arms = sort_out(&[baseline, candidate]);
    let heading = format!("`{}` against the baseline `{}`", candidate.name, baseline.name);
    let mut blocks = vec![Block::Heading(2, heading), Block::Prose(format!("**{gate}**"))];
    if !candidate.differs.is_empty() {
        blocks.push(Block::Prose(format!("The two differ in {}.", candidate.differs)));
    }
    blocks.push(Block::Table(arms_table(&arms)));
    blocks.extend(set_aside(&arms));
    blocks
}

fn sentence(matrix: &Matrix<'_>, comparison: &Comparison) -> String {
    let (first, other) = (&matrix.arms[0], &matrix.arms[comparison.arm]);
    let median = |arm: &Sorted<'_>| Spread::over(&arm.figures(PRIMARY)).median;
    let mut text = format!(
        "`{}` against `{}`: **{}**. {PRIMARY} {} ms in the median of {} runs, against {} ms of {}",
        other.name,
        first.name,
        comparison.outcome,
        median(other),
        other.usable.len(),
        median(first),
        first.usable.len(),
    );
    if let Some(Effect { ratio, interval }) = comparison.effect {
        text += &format!(", a ratio of {}", times(ratio));
        text += &interval.map_or_else(String::new, |Interval { low, high, coverage }| {
            format!(" ({} interval {} to {})", percent(coverage), times(low), times(high))
        });
    }
    text += &match (comparison.outcome, comparison.test) {
        (Outcome::Descriptive, _) | (_, None) => {
            format!("; a test takes {RUNS_TO_RESOLVE} valid runs an arm, so this describes these runs and no more.")
        }
        (_, Some(test)) => format!("; {}.", evidence(test, comparison.holm, matrix.comparisons.len())),
    };
    if comparison.one_after_the_other {
        text +=
            " One arm's runs were all made before the other's: a drift of the machine explains a difference as well.";
    }
    if !other.differs.is_empty() {
        text += &format!(" The two differ in {}.", other.differs);
    }
    text
}

fn evidence(test: Test, holm: Option<f64>, comparisons: usize) -> String {
    let ways = match test.ways {
        Ways::All(ways) => format!("{ways:.0} ways to deal the labels"),
        Ways::Drawn(draws) => format!("{draws} ways drawn at random, not all"),
    };
    let corrected = holm.filter(|_| comparisons > 1);
    let corrected = corrected.map_or_else(String::new, |p| format!(", {} among {comparisons} comparisons", p_text(p)));
    format!("p {} over {ways}{corrected}", p_text(test.two_sided))
}

fn method(matrix: &Matrix<'_>) -> String {
    let needed = Matrix::runs_needed(matrix.comparisons.len());
    let mut text = METHOD.to_owned();
    if needed > RUNS_TO_RESOLVE {
        text += &format!(
            " Among {} comparisons, nothing can be resolved below {needed} runs an arm, however far apart they are.",
            matrix.comparisons.len()
        );
    }
    if matrix.comparisons.iter().any(|comparison| comparison.within_seeds.is_some()) {
        text += " The arms have the same seeds; p within seeds deals the labels only within a pair of one seed, stands \
                 beside it, and decides nothing (4 pairs cannot go below 0.125).";
    }
    text
}

fn set_aside(arms: &[Sorted<'_>]) -> Vec<Block> {
    let all: Vec<&SetAside> = arms.iter().flat_map(|arm| &arm.set_aside).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let row = |aside: &&SetAside| [&aside.run, &aside.arm, &aside.cause].map(|text| text.as_str().into()).into();
    let rows = all.iter().map(row).collect();
    let prose = "These runs are in none of the figures, each for its cause:".to_owned();
    vec![Block::Prose(prose), Block::Table(Table::new("compare-set-aside", &["Run", "Arm", "Cause"], rows))]
}

#[cfg(test)]
mod tests {
    use super::{super::arm::tests::arm, *};

    fn prose(blocks: &[Block]) -> String {
        let texts =
            blocks.iter().filter_map(|block| if let Block::Prose(text) = block { Some(text.as_str()) } else { None });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn rows(blocks: &[Block], name: &str) -> Vec<Vec<String>> {
        let found = blocks.iter().find_map(|block| match block {
            Block::Table(table) if table.name == name => Some(table),
            _ => None,
        });
        let Some(table) = found else { return Vec::new() };
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()), "{table:?}");
        table.rows.iter().map(|row| row.iter().map(|cell| cell.text.clone()).collect()).collect()
    }

    const LOW: [f64; 4] = [10.0, 11.0, 12.0, 13.0];
    const HIGH: [f64; 4] = [20.0, 21.0, 22.0, f64::INFINITY];

    #[test]
    fn a_resolved_comparison_reads_aloud() {
        let blocks = comparison(&[arm("laptop", &LOW, 0), arm("goal", &HIGH, 1)]);
        let told = prose(&blocks);
        assert!(told.starts_with(
            "`goal` against `laptop`: **resolved slower**. p99.99 scheduled → stored 21.50 ms in the median of 4 runs, \
             against 11.50 ms of 4, a ratio of 1.95 (97.1 % interval 1.54 to ∞); p 0.0286 over 70 ways to deal the labels."
        ), "{told}");
        assert!(told.contains("decides nothing"), "{told}");
        let arms = rows(&blocks, "compare-arms");
        assert_eq!(arms[0][..8], ["laptop", "4", "0", "11.50", "10.00", "13.00", "10.00 to 13.00", "87.5 %"]);
        assert_eq!(arms[1][5..7], ["> drain", "20.00 to > drain"]);
        let compared = rows(&blocks, "compare");
        assert_eq!(compared[0][5..], ["0.0286", "0.0286", "0.1250", "resolved slower"]);
        let exploratory = rows(&blocks, "compare-exploratory");
        assert_eq!((exploratory[0][0].as_str(), exploratory[0][8].as_str()), ("p50 scheduled → stored", "exploratory"));
    }

    #[test]
    fn three_runs_describe() {
        let blocks = comparison(&[arm("a", &LOW, 0), arm("b", &HIGH[..3], 30)]);
        let told = prose(&blocks);
        assert!(told.contains("**descriptive**") && told.contains("describes these runs and no more"), "{told}");
        assert!(told.contains("a drift of the machine"), "{told}");
        assert_eq!(rows(&blocks, "compare")[0][5..], ["–", "–", "–", "descriptive"]);
    }

    #[test]
    fn a_matrix_says_how_many_runs_it_needs_and_lists_what_it_left_out() {
        let mut c = arm("c", &HIGH, 2);
        c.runs[1].unfit = Some("INVALID: acked is 7, but acked_consumed + lost is 8".into());
        let blocks = comparison(&[arm("a", &LOW, 0), arm("b", &HIGH, 1), c]);
        let told = prose(&blocks);
        assert!(told.contains("nothing can be resolved below 5 runs an arm"), "{told}");
        assert!(told.contains("0.0571 among 2 comparisons"), "{told}");
        let aside = rows(&blocks, "compare-set-aside");
        assert_eq!(aside[0][..2], ["c-1", "c"]);
        assert!(aside[0][2].starts_with("INVALID: "));
    }

    #[test]
    fn empty_and_single_arms_are_told() {
        assert!(prose(&comparison(&[])).contains("name two arms"));
        assert!(prose(&comparison(&[arm("a", &LOW, 0)])).contains("name two arms"));
        let blocks = comparison(&[arm("a", &[], 0), arm("b", &[7.0], 1)]);
        assert_eq!(rows(&blocks, "compare-arms")[0][3..], ["–"; 8]);
        assert_eq!(rows(&blocks, "compare")[0][2..5], ["–"; 3]);
    }

    #[test]
    fn a_decision_is_said_first() {
        let (before, after) = (arm("base", &LOW, 0), arm("new", &HIGH, 1));
        let gate = super::super::gate(&before, &after, "10%".parse().unwrap());
        let blocks = decision(&before, &after, &gate);
        assert!(prose(&blocks).starts_with("**regression: p99.99 scheduled → stored 21.50 ms"), "{blocks:?}");
        assert_eq!(rows(&blocks, "compare-arms").len(), 2);
    }
}
