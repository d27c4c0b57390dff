//! Pools: runs of one experiment, over which a median or an interval may be made. A run that does not say what it was is in a
//! pool of its own.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
};

use crate::{
    difference::{CAMPAIGN, Difference, apart, differences, told},
    identity::{ENVIRONMENT, Experiment, Identity},
    markdown::counted,
    run::Run,
    run_metrics,
};

/// So many runs are named where there are more.
const NAMED_MAX: usize = 4;

/// Runs of one experiment.
#[derive(Debug, Clone)]
pub struct Pool<'a> {
    /// What tables call it: the variant, what was changed of it, and whatever tells it from another pool of that name.
    pub title: String,
    /// Name of the variant, which several pools may have.
    pub variant: String,
    /// Its runs; at least one.
    pub runs: Vec<&'a Run>,
    /// What each of them is of; empty where there is no manifest.
    pub identities: Vec<Identity>,
}

/// Puts runs together that are of one experiment, ordered by variant and title.
pub fn pools<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<Pool<'a>> {
    let mut together: BTreeMap<Experiment, Pool> = BTreeMap::new();
    let mut alone = Vec::new();
    for run in runs {
        let identity = run.manifest.as_ref().map(Identity::of);
        let known = identity.as_ref().and_then(Identity::experiment);
        let title = identity.as_ref().map_or_else(|| run.name.clone(), Identity::title);
        let own = Pool {
            title,
            variant: run_metrics::variant(run),
            runs: vec![run],
            identities: identity.into_iter().collect(),
        };
        match known {
            Some(experiment) => match together.entry(experiment) {
                Entry::Vacant(none) => drop(none.insert(own)),
                Entry::Occupied(mut pool) => pool.get_mut().take(own),
            },
            None => alone.push(own),
        }
    }
    let mut pools: Vec<Pool> = together.into_values().chain(alone).collect();
    pools.sort_by(|a, b| (&a.variant, &a.title).cmp(&(&b.variant, &b.title)));
    tell_apart(&mut pools);
    pools
}

/// Adds to titles that several pools have what those pools differ in.
fn tell_apart(pools: &mut [Pool]) {
    for same in pools.chunk_by_mut(|a, b| (&a.variant, &a.title) == (&b.variant, &b.title)) {
        if same.len() == 1 {
            continue;
        }
        let told = apart(&same.iter().map(|pool| pool.identities.iter().collect()).collect::<Vec<_>>());
        for (pool, own) in same.iter_mut().zip(&told) {
            pool.title += own;
            // Those that say the same and are not pooled: without settings, or by campaigns of one name.
            if told.iter().filter(|other| *other == own).count() > 1 {
                pool.title += &format!(", {}", pool.runs[0].name);
            }
        }
    }
}

fn difference(pools: &[&Pool]) -> Vec<Difference> {
    differences(&pools.iter().map(|pool| pool.identities.iter().collect()).collect::<Vec<_>>())
}

/// What two pools differ in, whoever made them, in words; empty when that is nothing.
pub fn differing(one: &Pool, other: &Pool) -> String {
    let mut differ = difference(&[one, other]);
    differ.retain(|(name, _)| name != CAMPAIGN);
    told(&differ)
}

/// What the runs of pools differ in that one campaign made, a sentence for each difference.
pub fn differ_within(pools: &[&Pool]) -> Vec<String> {
    let mut by_difference: Vec<(String, Vec<String>)> = Vec::new();
    for pool in pools {
        let runs: Vec<_> = pool.identities.iter().map(|identity| vec![identity]).collect();
        let (differ, title) = (told(&differences(&runs)), format!("`{}`", pool.title));
        match by_difference.iter_mut().find(|(other, _)| *other == differ) {
            Some((_, titles)) => titles.push(title),
            None => by_difference.push((differ, vec![title])),
        }
    }
    by_difference.retain(|(differ, _)| !differ.is_empty());
    let sentence = |(differ, titles): (String, Vec<String>)| {
        format!("The runs of {} are each of one campaign, and differ in {differ}.", titles.join(", "))
    };
    by_difference.into_iter().map(sentence).collect()
}

/// Why pools that carry one variant's name were kept apart, one sentence a name.
pub fn kept_apart(pools: &[Pool]) -> Vec<String> {
    let sentence = |same: &[Pool]| {
        let variant = &same[0].variant;
        let (known, unknown): (Vec<&Pool>, Vec<&Pool>) = same.iter().partition(|pool| pool.is_known());
        let mut sentences = Vec::new();
        if known.len() > 1 {
            let differ = told(&difference(&known));
            let differ = if differ.is_empty() { "the campaign that made them".to_owned() } else { differ };
            sentences.push(format!(
                "`{variant}` names {} here, which are not pooled: they differ in {differ}.",
                counted(known.len() as u64, "experiment")
            ));
        }
        if !unknown.is_empty() {
            let names: Vec<String> =
                unknown.iter().take(NAMED_MAX).map(|pool| format!("`{}`", pool.runs[0].name)).collect();
            let more = if unknown.len() > NAMED_MAX { " …" } else { "" };
            sentences.push(format!(
                "Nothing says which settings {}{more} had, so {} pooled with no other run of `{variant}`.",
                names.join(", "),
                if unknown.len() == 1 { "it is" } else { "they are" }
            ));
        }
        sentences.join(" ")
    };
    pools.chunk_by(|a, b| a.variant == b.variant).filter(|same| same.len() > 1).map(sentence).collect()
}

impl<'a> Pool<'a> {
    /// Takes in a run of the same experiment. One may have been given what another's variant has anyway: the shorter title
    /// says all.
    fn take(&mut self, other: Pool<'a>) {
        if other.title.len() < self.title.len() {
            self.title = other.title;
        }
        self.runs.extend(other.runs);
        self.identities.extend(other.identities);
    }

    /// Whether its settings are known.
    pub fn is_known(&self) -> bool {
        self.identities.first().is_some_and(|identity| !identity.settings.is_empty())
    }

    /// Of these pools that which has its settings, and, where several have, is the nearest to it in what it was made with and
    /// on, the machine first; of those the latest.
    pub fn nearest<'b, 'c>(&self, pools: &'b [Pool<'c>]) -> Option<&'b Pool<'c>> {
        let own = self.identities.first()?;
        let near = |pool: &&Pool| {
            let their = &pool.identities[0];
            let differ: Vec<bool> =
                (0..ENVIRONMENT.len()).map(|k| own.environment[k] != their.environment[k]).collect();
            let started = pool.runs.iter().filter_map(|run| run.manifest.as_ref()?.recorded.started.clone()).max();
            (differ[0], differ.iter().filter(|differs| **differs).count(), Reverse(started))
        };
        let same = |pool: &&Pool| pool.identities.first().is_some_and(|their| own.has_settings_of(their));
        pools.iter().filter(same).min_by_key(near)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::tests::manifest;

    fn run(name: &str, over: Value) -> Run {
        let manifest = Some(manifest(over));
        Run { name: name.to_owned(), files: Vec::new(), measured: None, manifest, problems: Vec::new() }
    }

    fn titles(runs: &[Run]) -> Vec<String> {
        pools(runs).into_iter().map(|pool| pool.title).collect()
    }

    #[test]
    fn a_title_has_no_more_than_tells_it_from_others() {
        let plain = || run("a", json!({}));
        let given = || run("b", json!({"overrides": {"partitions": 24}}));
        assert_eq!(titles(&[given(), plain()]), ["goal"], "what was given is what the variant has");
        let other = |bytes: u64| run("c", json!({"variant": {"bytes": bytes}, "host": {"cpu": "6502"}}));
        assert_eq!(titles(&[plain(), other(1)]), ["goal, bytes 1", "goal, bytes not recorded"]);
        let machine = run("d", json!({"variant": {"bytes": 1}}));
        let apart =
            ["goal, bytes 1, machine 2 × 6502", "goal, bytes 1, machine 2 × Z80", "goal, bytes 2, machine 2 × 6502"];
        assert_eq!(titles(&[machine, other(1), other(2)]), apart);
        let unknown = |name: &str| Run { manifest: None, ..run(name, json!({})) };
        assert_eq!(titles(&[unknown("goal-1"), unknown("goal-2")]), ["goal-1", "goal-2"]);
    }

    #[test]
    fn the_nearest_has_the_machine_then_the_versions_then_the_latest_start() {
        let at = |name: &str, cpu: &str, revision: &str, started: &str| {
            run(name, json!({"host": {"cpu": cpu}, "versions": {"git_revision": revision}, "started": started}))
        };
        let own = [at("own", "Z80", "c", "9")];
        let nearest = |others: &[Run]| pools(&own)[0].nearest(&pools(others)).map(|pool| pool.runs[0].name.clone());
        let (elsewhere, old, older) = (at("x", "6502", "c", "8"), at("y", "Z80", "b", "2"), at("z", "Z80", "a", "1"));
        assert_eq!(nearest(&[elsewhere, older, old]).as_deref(), Some("y"));
        assert_eq!(nearest(&[run("w", json!({"variant": {"rate": 7}}))]), None);
    }
}
