//! The gate: whether a revision is slower than another, by rounds in which both were measured one after the other.
//!
//! The unit is the round, its figure a bench's median in it. The older revision's figures are multiplied by 1 + the
//! allowance and the newer one's ranked among them; a one-sided exact permutation test says how likely ranks as high as
//! these are if the newer one is slower by just that. There are many benches, so Holm's correction comes on top: a gate
//! that calls every twentieth commit slower by chance is switched off soon.

use std::path::Path;

use super::estimates::{Error, Run};
use crate::{
    compare::{Allowance, holm::holm, permutation::over_all},
    document::{Block, Cell, Table},
};

/// Fewest rounds that can tell anything.
pub const ROUNDS_MIN: usize = 4;
/// How likely a slow-down is called one that is none, over all benches together.
pub const ALPHA: f64 = 0.05;

/// One bench in both revisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Its name.
    pub id: String,
    /// Medians of the rounds in ns, of the older revision.
    pub old_ns: Vec<f64>,
    /// Of the newer one.
    pub new_ns: Vec<f64>,
    /// Of a slow-down beyond the allowance, corrected for the number of benches.
    pub p: f64,
}

/// All benches that both revisions have.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounds {
    /// The slowest first.
    pub compared: Vec<Compared>,
    /// Benches that one of them lacks, in some round at least.
    pub alone: Vec<String>,
    /// How many rounds.
    pub rounds: usize,
    /// How much slower is allowed.
    pub allowed: Allowance,
}

/// What can be said of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Resolved as slower than allowed.
    Slower,
    /// Slower than allowed in the median, but the rounds scatter too much to tell.
    Perhaps,
    /// Within the allowance.
    Within,
}

impl Compared {
    /// Median of the newer over median of the older.
    pub fn ratio(&self) -> f64 {
        median(&self.new_ns) / median(&self.old_ns)
    }

    /// What can be said.
    pub fn word(&self, allowed: Allowance) -> Word {
        match (self.ratio() > allowed.factor(), self.p < ALPHA) {
            (true, true) => Word::Slower,
            (true, false) => Word::Perhaps,
            (false, _) => Word::Within,
        }
    }
}

impl Rounds {
    /// Reads `<directory>/<round>/old` and `<directory>/<round>/new`, each as Criterion leaves it.
    ///
    /// # Errors
    /// What is missing or malformed, with its path.
    pub fn read(directory: &Path, rounds: usize, allowed: Allowance) -> Result<Self, Error> {
        let arm = |name: &str| -> Result<Vec<Run>, Error> {
            (1..=rounds).map(|round| Run::read(&directory.join(round.to_string()).join(name))).collect()
        };
        Ok(Self::of(&arm("old")?, &arm("new")?, allowed))
    }

    /// Compares runs, which are one a round in each arm.
    pub fn of(old: &[Run], new: &[Run], allowed: Allowance) -> Self {
        let mut ids: Vec<String> = old.iter().chain(new).flat_map(|run| &run.benches).map(|b| b.id()).collect();
        ids.sort();
        ids.dedup();
        let medians = |runs: &[Run], id: &str| -> Vec<f64> {
            runs.iter().filter_map(|run| Some(run.bench(id)?.median_ns)).collect()
        };
        let (mut compared, mut alone) = (vec![], vec![]);
        for id in ids {
            let (old_ns, new_ns) = (medians(old, &id), medians(new, &id));
            if old_ns.len() == old.len() && new_ns.len() == new.len() {
                let limit: Vec<f64> = old_ns.iter().map(|ns| ns * allowed.factor()).collect();
                let p = over_all(&limit, &new_ns).high;
                compared.push(Compared { id, old_ns, new_ns, p });
            } else {
                alone.push(id);
            }
        }
        let corrected = holm(&compared.iter().map(|bench| Some(bench.p)).collect::<Vec<_>>());
        for (bench, p) in compared.iter_mut().zip(corrected) {
            bench.p = p.unwrap_or(1.0);
        }
        compared.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
        Self { compared, alone, rounds: old.len().min(new.len()), allowed }
    }

    /// The benches that are resolved as slower than allowed.
    pub fn slower(&self) -> impl Iterator<Item = &Compared> {
        self.compared.iter().filter(|bench| bench.word(self.allowed) == Word::Slower)
    }

    /// 0, or 4 where a slow-down is resolved.
    pub fn exit_code(&self) -> u8 {
        if self.slower().next().is_some() { 4 } else { 0 }
    }

    /// In words and as a table, the slowest first.
    pub fn told(&self) -> Vec<Block> {
        let Self { rounds, allowed, .. } = self;
        let row = |bench: &Compared| {
            let word = match bench.word(*allowed) {
                Word::Slower => "**slower**",
                Word::Perhaps => "perhaps slower: not resolved",
                Word::Within => "within",
            };
            let (old, new) = (median(&bench.old_ns), median(&bench.new_ns));
            let ratio = bench.ratio();
            vec![
                bench.id.as_str().into(),
                Cell::number(format!("{old:.1}"), old),
                Cell::number(format!("{new:.1}"), new),
                Cell::number(format!("{ratio:.3}"), ratio),
                Cell::number(format!("{:.4}", bench.p), bench.p),
                word.into(),
            ]
        };
        let header = ["Bench", "Old, ns", "New, ns", "New / old", "p (Holm)", "Slower than allowed"];
        let mut blocks = vec![Block::Table(Table::new("gate", &header, self.compared.iter().map(row).collect()))];
        if !self.alone.is_empty() {
            blocks.push(Block::Prose(format!("In one revision only, so not compared: {}.", self.alone.join("; "))));
        }
        let slower: Vec<String> =
            self.slower().map(|bench| format!("`{}` takes {:.2} times as long", bench.id, bench.ratio())).collect();
        blocks.push(Block::Prose(match slower.as_slice() {
            [] => format!(
                "No slow-down beyond {allowed} is resolved, in {rounds} rounds of {} benches.",
                self.compared.len()
            ),
            slower => {
                format!("**Slower than allowed ({allowed})**, resolved in {rounds} rounds: {}.", slower.join("; "))
            }
        }));
        blocks
    }
}

/// Rounds that it takes to resolve one slow-down among so many benches: until all ways but one, taken so many times,
/// stay below the level.
pub fn rounds_needed(benches: usize) -> usize {
    let ways = |rounds: usize| (0..rounds).fold(1.0, |ways, k| ways * (2 * rounds - k) as f64 / (k + 1) as f64);
    (ROUNDS_MIN..100).find(|&rounds| benches as f64 / ways(rounds) < ALPHA).unwrap_or(100)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => sorted[(n - 1) / 2].midpoint(sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::estimates::{Bench, tests::leave},
        *,
    };
    use crate::compare::null::tests::uniform;

    const BENCHES: usize = 40;

    fn allowed() -> Allowance {
        "5%".parse().unwrap()
    }

    /// A round of benches that scatter by `scatter`; bench 7 takes `planted` times as long.
    fn round(state: &mut u64, scatter: f64, planted: f64) -> Run {
        let bench = |nth: usize| {
            let factor = if nth == 7 { planted } else { 1.0 };
            let median_ns = 100.0 * (nth + 1) as f64 * factor * (1.0 + scatter * (uniform(state) - 0.5));
            let (group, function) = ("group".to_owned(), format!("{nth:02}"));
            let within_ns = [median_ns, median_ns];
            Bench { group, function, value: None, median_ns, within_ns, elements: None, bytes: None }
        };
        Run { benches: (0..BENCHES).map(bench).collect(), notes: Default::default() }
    }

    fn gate(seed: u64, rounds: usize, scatter: f64, planted: f64) -> Rounds {
        let mut state = seed;
        let (mut old, mut new) = (vec![], vec![]);
        for _ in 0..rounds {
            old.push(round(&mut state, scatter, 1.0));
            new.push(round(&mut state, scatter, planted));
        }
        Rounds::of(&old, &new, allowed())
    }

    #[test]
    fn a_planted_slow_down_is_found_and_named() {
        let gate = gate(1, rounds_needed(BENCHES), 0.04, 1.15);
        let slower: Vec<_> = gate.slower().map(|bench| bench.id.as_str()).collect();
        assert_eq!((slower.as_slice(), gate.exit_code()), (["group/07"].as_slice(), 4));
        let Some(Block::Prose(told)) = gate.told().pop() else { panic!("words come last") };
        assert!(told.contains("`group/07` takes 1.1") && told.contains("Slower than allowed (5 %)"), "{told}");
    }

    #[test]
    fn what_is_within_the_allowance_or_within_the_noise_passes() {
        assert_eq!(gate(2, 7, 0.04, 1.0).exit_code(), 0);
        assert_eq!(gate(3, 7, 0.02, 1.03).exit_code(), 0, "slower, but by less than is allowed");
        let noisy = gate(4, 7, 1.5, 1.1);
        assert_eq!(noisy.exit_code(), 0);
        assert!(noisy.compared.iter().any(|bench| bench.word(allowed()) == Word::Perhaps));
    }

    #[test]
    fn few_gates_find_a_slow_down_where_there_is_none() {
        let called = (0..200).filter(|seed| gate(100 + seed, 7, 0.3, 1.0).exit_code() == 4).count();
        assert!(called <= 10, "{called} of 200 gates without any slow-down");
    }

    #[test]
    fn rounds_follow_from_the_number_of_benches() {
        assert_eq!([1, 3, 4, 12, 40, 100].map(rounds_needed), [4, 4, 5, 5, 6, 7]);
    }

    #[test]
    fn rounds_are_read_and_what_one_revision_lacks_is_told() {
        let directory = tempfile::tempdir().unwrap();
        for round in 1..=4 {
            let at = |arm: &str| directory.path().join(format!("{round}/{arm}"));
            leave(&at("old"), ["a", "b", "1"], 100.0 + f64::from(round), 1);
            leave(&at("new"), ["a", "b", "1"], 120.0 + f64::from(round), 1);
            leave(&at("new"), ["a", "added", "1"], 1.0, 1);
        }
        let gate = Rounds::read(directory.path(), 4, allowed()).unwrap();
        assert_eq!((gate.exit_code(), gate.alone.as_slice()), (4, ["a/added/1".to_owned()].as_slice()));
        assert!(Rounds::read(directory.path(), 5, allowed()).is_err());
    }
}
