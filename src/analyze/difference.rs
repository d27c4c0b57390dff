//! What groups of runs differ in, in words: for a sentence, and for titles that are to be told apart.

use std::collections::BTreeSet;

use crate::identity::{Identity, LOAD};

/// So many values of one thing, and so many things, are told in a sentence.
const TOLD_MAX: usize = 8;

/// Where a difference names the campaign that made the runs.
pub const CAMPAIGN: &str = "campaign";

/// What differs between groups of runs: a name, and the values in each group.
pub type Difference = (String, Vec<BTreeSet<String>>);

/// What is not the same in all groups: the campaign, settings, then the environment. Values that all groups have are no difference, however many there are.
pub fn differences(groups: &[Vec<&Identity>]) -> Vec<Difference> {
    let names: BTreeSet<&String> = groups.iter().flatten().flat_map(|identity| identity.settings.keys()).collect();
    let mut by_name: Vec<Difference> = Vec::new();
    for (group, identities) in groups.iter().enumerate() {
        for identity in identities {
            for (k, (name, value)) in identity.all(&names).into_iter().enumerate() {
                if by_name.len() == k {
                    by_name.push((name, vec![BTreeSet::new(); groups.len()]));
                }
                by_name[k].1[group].insert(value.to_owned());
            }
        }
    }
    by_name.retain(|(_, values)| values.windows(2).any(|two| two[0] != two[1]));
    by_name
}

/// The first of all differences in words: `partitions (24, 256), machine (2 × A, 4 × B)`.
pub fn told(differences: &[Difference]) -> String {
    let more = |n: usize| if n > TOLD_MAX { format!(" and {} more", n - TOLD_MAX) } else { String::new() };
    let value = |(name, groups): &Difference| {
        let mut values: Vec<&str> = Vec::new();
        for value in groups.iter().flatten() {
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        let shown = values.iter().take(TOLD_MAX).copied().collect::<Vec<_>>().join(", ");
        format!("{name} ({shown}{})", more(values.len()))
    };
    let shown: Vec<String> = differences.iter().take(TOLD_MAX).map(value).collect();
    shown.join(", ") + &more(differences.len())
}

/// What tells each group from the others in a title: `, partitions 256`. Empty where they are the same.
pub fn apart(groups: &[Vec<&Identity>]) -> Vec<String> {
    titled(&differences(groups), groups.len())
}

/// The same for groups that have any loads.
pub fn apart_but_for_load(groups: &[Vec<&Identity>]) -> Vec<String> {
    let mut differ = differences(groups);
    differ.retain(|(name, _)| !LOAD.contains(&name.as_str()));
    titled(&differ, groups.len())
}

/// As few of the differences, in their order, as make the titles distinct.
fn titled(differ: &[Difference], groups: usize) -> Vec<String> {
    let distinct = |titles: &[String]| titles.iter().collect::<BTreeSet<_>>().len();
    let mut titles = vec![String::new(); groups];
    for (name, values) in differ {
        let own = titles.iter().zip(values).map(|(title, values)| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!("{title}, {name} {}", values.join(" and "))
        });
        let longer: Vec<String> = own.collect();
        if distinct(&longer) > distinct(&titles) {
            titles = longer;
        }
    }
    titles
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::tests::manifest;

    #[test]
    fn values_that_all_groups_have_are_no_difference() {
        let [a, b] = ["Z80", "6502"].map(|cpu| Identity::of(&manifest(json!({"host": {"cpu": cpu}}))));
        assert_eq!(differences(&[vec![&a, &b], vec![&b, &a]]), []);
        assert_eq!(told(&differences(&[vec![&a, &b], vec![&b]])), "machine (2 × 6502, 2 × Z80)");
    }

    #[test]
    fn much_is_told_in_short() {
        let many: Vec<Identity> =
            (0..20).map(|n| Identity::of(&manifest(json!({"variant": {"partitions": n}})))).collect();
        let groups: Vec<Vec<&Identity>> = many.iter().map(|identity| vec![identity]).collect();
        assert_eq!(told(&differences(&groups)), "partitions (0, 1, 2, 3, 4, 5, 6, 7 and 12 more)");
        assert_eq!(apart(&groups)[3], ", partitions 3");
        let loads: Vec<Identity> =
            [1, 2].map(|rate| Identity::of(&manifest(json!({"variant": {"rate": rate, "bytes": rate}})))).into();
        let groups: Vec<Vec<&Identity>> = loads.iter().map(|identity| vec![identity]).collect();
        assert_eq!(apart_but_for_load(&groups), [", bytes 1", ", bytes 2"]);
    }
}
