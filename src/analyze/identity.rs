//! What a run is of: its variant's settings, and what it was made with and on. Runs are repetitions of one experiment
//! where they agree in it, and whatever they differ in has a name, so that it can be said.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{difference::CAMPAIGN, manifest::Manifest};
use shasta_model::{
    manifest as recorded,
    overrides::{BESIDE, Settings, flat, title},
};

/// What a manifest does not say.
pub const UNKNOWN: &str = "not recorded";
/// What a run was made with and on, in the order of [`Identity::environment`].
pub const ENVIRONMENT: [&str; 6] = ["machine", "substrate", "security", "Kafka", "Redis", "harness revision"];
/// Those of them that the runs of one campaign must agree in all the same; the others it names.
const ALSO_IN_A_CAMPAIGN: [usize; 2] = [1, 2];
/// Settings that a resolved variant leaves out where they are not given. Another that is missing was not known yet when the
/// run was made.
const OPTIONAL: [&str; 6] = ["warm_again", "kafka_image", "redis_image", "data_dir", "broker_instance", "fault"];
/// Characters of a Git revision that are shown.
const REVISION_CHARS: usize = 9;
/// Settings of the load, which a curve of load and latency is drawn over; hosts are at most as many as connections.
pub const LOAD: [&str; 3] = ["connections", "rate", "instances"];

/// What a run with a manifest is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the variant, or of a campaign's arm.
    pub variant: String,
    /// What the command line changed of it.
    pub overrides: Settings,
    /// The resolved variant without its seed; empty where the manifest does not have it.
    pub settings: Settings,
    /// What it was made with and on, in the order of [`ENVIRONMENT`].
    pub environment: [String; 6],
    /// The campaign that it was made by, and where that has its runs.
    pub campaign: Option<(String, PathBuf)>,
}

/// What pooled runs agree in: runs of one experiment have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Experiment {
    variant: String,
    settings: Settings,
    environment: Vec<String>,
    campaign: Option<(String, PathBuf)>,
}

impl Identity {
    /// Of a run by its manifest.
    pub fn of(manifest: &Manifest) -> Self {
        let settings = manifest.variant.settings.clone();
        Self {
            variant: manifest.recorded.variant_name.clone().unwrap_or_else(|| manifest.recorded.run.clone()),
            overrides: overrides(manifest),
            settings,
            environment: environment(manifest),
            campaign: campaign(manifest),
        }
    }

    /// The variant with what was changed of it: `goal, partitions 256`.
    pub fn title(&self) -> String {
        title(&self.variant, &self.overrides)
    }

    /// What it is pooled by; none where its settings are not known.
    pub fn experiment(&self) -> Option<Experiment> {
        let Self { variant, settings, environment, campaign, .. } = self.clone();
        let environment = match &campaign {
            Some(_) => ALSO_IN_A_CAMPAIGN.map(|k| environment[k].clone()).to_vec(),
            None => environment.to_vec(),
        };
        (!settings.is_empty()).then_some(Experiment { variant, settings, environment, campaign })
    }

    /// The same experiment under any load, whatever its name.
    pub fn under_any_load(&self) -> Option<Experiment> {
        let settings = self.settings.iter().filter(|(name, _)| !LOAD.contains(&name.as_str()));
        let settings = settings.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { variant: String::new(), settings, ..self.clone() }.experiment()
    }

    /// Whether the two have the same settings, as far as both say: one that a harness did not know yet is no difference.
    pub fn has_settings_of(&self, other: &Self) -> bool {
        if self.settings.is_empty() || other.settings.is_empty() {
            return self.settings == other.settings && self.variant == other.variant;
        }
        let names = self.settings.keys().chain(other.settings.keys());
        names.into_iter().all(|name| {
            let [own, their] = [self, other].map(|identity| identity.setting(name));
            own == their || own == UNKNOWN || their == UNKNOWN
        })
    }

    /// A setting in text.
    fn setting(&self, name: &str) -> &str {
        let optional = name.contains('.') || OPTIONAL.contains(&name);
        self.settings.get(name).map_or(if optional { "none" } else { UNKNOWN }, String::as_str)
    }

    /// All that can be told of it, by name.
    pub fn all(&self, settings: &BTreeSet<&String>) -> Vec<(String, &str)> {
        let campaign = self.campaign.as_ref().map_or("none", |(name, _)| name);
        let campaign = [(CAMPAIGN.to_owned(), campaign)].into_iter();
        let settings = settings.iter().map(|name| ((*name).clone(), self.setting(name)));
        let environment = ENVIRONMENT.iter().zip(&self.environment);
        campaign.chain(settings).chain(environment.map(|(name, value)| ((*name).to_owned(), value.as_str()))).collect()
    }
}

fn overrides(manifest: &Manifest) -> Settings {
    match &manifest.recorded.overrides {
        Some(given) => flat(given),
        None => of_command_line(manifest),
    }
}

/// The settings that the command line names, as they were resolved.
fn of_command_line(manifest: &Manifest) -> Settings {
    let named: BTreeSet<String> = arguments(manifest)
        .filter_map(|argument| Some(argument.strip_prefix("--")?.split('=').next()?.replace('-', "_")))
        .map(|name| if name == "faults_from_seed" { "fault".to_owned() } else { name })
        .filter(|name| !BESIDE.contains(&name.as_str()))
        .collect();
    let settings = manifest.variant.settings.iter().filter(|(name, _)| named.contains(*name));
    settings.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn arguments(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.recorded.command_line.iter().map(String::as_str)
}

/// The campaign of `--campaign FILE`, and the directory of the manifest.
fn campaign(manifest: &Manifest) -> Option<(String, PathBuf)> {
    let mut after = arguments(manifest).skip_while(|argument| !argument.starts_with("--campaign"));
    let file = match after.next()?.split_once('=') {
        Some((_, file)) => file,
        None => after.next()?,
    };
    let name = Path::new(file).file_stem()?.to_string_lossy().into_owned();
    let directory = &manifest.directory;
    Some((name, directory.canonicalize().unwrap_or_else(|_| directory.clone())))
}

fn environment(manifest: &Manifest) -> [String; 6] {
    let recorded::Manifest { host, cluster, security, versions, .. } = &manifest.recorded;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let machine = (host.cores > 0).then(|| host.to_string());
    let security = security.as_object().map(|security| {
        let words = flat(security).into_iter().map(|(name, value)| format!("{name} {value}"));
        words.collect::<Vec<_>>().join(", ")
    });
    let java = text(&cluster["java_version"]);
    // `openjdk version "17.0.15" 2025-04-15`
    let java = java.map(|java| format!(" on Java {}", java.split('"').nth(1).unwrap_or(&java)));
    let kafka = text(&cluster["kafka_version"]).map(|kafka| kafka + &java.unwrap_or_default());
    let redis = text(&cluster["redis"]["server"]["redis_version"]);
    let revision = versions.git_revision.as_ref().map(|revision| {
        let revision: String = revision.chars().take(REVISION_CHARS).collect();
        let changes = if versions.git_dirty == Some(true) { " with changes" } else { "" };
        revision + changes + if versions.debug_assertions { " with debug assertions" } else { "" }
    });
    [machine, manifest.substrate(), security, kafka, redis, revision]
        .map(|known| known.filter(|known| !known.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::difference::{differences, told};

    /// Fields of a manifest of variant `goal`, with these on top.
    pub fn fields(over: Value) -> Value {
        let mut fields = serde_json::json!({
            "run": "r", "variant_name": "goal", "substrate": "local",
            "variant": {"connections": 100, "rate": 1.0, "partitions": 24, "seed": 1, "broker": {"num.io.threads": "2"}},
            "host": {"cpu": "Z80", "cores": 2},
            "versions": {"git_revision": "0123456789abcdef", "git_dirty": false},
            "cluster": {"kafka_version": "4.1.1", "java_version": "openjdk version \"17.0.15\" 2025-04-15",
                "redis": {"server": {"redis_version": "7.0.15"}}},
        });
        merge(&mut fields, over);
        fields
    }

    pub fn manifest(over: Value) -> Manifest {
        let mut fields = fields(over);
        fields["ledger"] = serde_json::from_str(crate::run::tests::LEDGER).unwrap();
        Manifest::new(serde_json::from_value(fields).unwrap(), PathBuf::new()).unwrap()
    }

    pub fn merge(fields: &mut Value, over: Value) {
        match (fields, over) {
            (Value::Object(fields), Value::Object(over)) => {
                over.into_iter().for_each(|(key, value)| merge(fields.entry(key).or_insert(Value::Null), value));
            }
            (field, value) => *field = value,
        }
    }

    fn identity(over: Value) -> Identity {
        Identity::of(&manifest(over))
    }

    #[test]
    fn only_the_seed_and_words_may_differ_among_repetitions() {
        let base = identity(serde_json::json!({}));
        let same = |over| base.experiment() == identity(over).experiment();
        assert!(same(serde_json::json!({"run": "s", "seed": 9, "variant": {"seed": 9, "question": "?"}})));
        for (over, name) in [
            (serde_json::json!({"variant": {"partitions": 256}}), "partitions (24, 256)"),
            (serde_json::json!({"variant": {"broker": {"num.io.threads": "8"}}}), "broker.num.io.threads (2, 8)"),
            (serde_json::json!({"variant": {"data_dir": "/dev/shm"}}), "data_dir (none, /dev/shm)"),
            (serde_json::json!({"variant": {"acks": "all"}}), "acks (not recorded, all)"),
            (serde_json::json!({"host": {"cores": 4}}), "machine (2 × Z80, 4 × Z80)"),
            (serde_json::json!({"substrate": "external"}), "substrate (local, external)"),
            (
                serde_json::json!({"security": {"kafka": {"protocol": "SSL"}}}),
                "security (not recorded, kafka.protocol SSL)",
            ),
            (
                serde_json::json!({"cluster": {"kafka_version": "3.9.1"}}),
                "Kafka (4.1.1 on Java 17.0.15, 3.9.1 on Java 17.0.15)",
            ),
            (serde_json::json!({"cluster": {"redis": {"server": {"redis_version": "8"}}}}), "Redis (7.0.15, 8)"),
            (
                serde_json::json!({"versions": {"git_dirty": true}}),
                "harness revision (012345678, 012345678 with changes)",
            ),
        ] {
            let other = identity(over);
            assert_ne!(base.experiment(), other.experiment(), "{name}");
            assert_eq!(told(&differences(&[vec![&base], vec![&other]])), name);
        }
        assert_eq!(differences(&[vec![&base], vec![&base]]), []);
        assert_eq!(Identity { settings: Settings::new(), ..base }.experiment(), None, "nothing says what it was");
    }

    #[test]
    fn a_campaign_keeps_its_arms_on_other_machines_and_revisions() {
        let with = |file: &str, over: Value| {
            let mut fields = serde_json::json!({"command_line": ["experiment", "--campaign", file]});
            merge(&mut fields, over);
            identity(fields).experiment()
        };
        let machine = || serde_json::json!({"host": {"cores": 4}, "versions": {"git_revision": "fedcba"}});
        let first = with("campaigns/a.toml", serde_json::json!({}));
        assert_eq!(first, with("campaigns/a.toml", machine()));
        assert_ne!(first, with("campaigns/b.toml", serde_json::json!({})));
        assert_ne!(first, with("campaigns/a.toml", serde_json::json!({"substrate": "external"})));
        assert_ne!(first, with("campaigns/a.toml", serde_json::json!({"variant": {"rate": 2}})));
        assert_ne!(first, identity(serde_json::json!({})).experiment(), "not of the campaign");
    }

    #[test]
    fn overrides_are_recorded_or_told_by_the_command_line() {
        let line = serde_json::json!(["experiment", "--partitions", "256", "--rate=2", "--seed", "1", "--out", "x"]);
        let resolved = serde_json::json!({"partitions": 256, "rate": 2.0});
        let old = identity(serde_json::json!({"command_line": line, "variant": resolved}));
        assert_eq!(old.title(), "goal, partitions 256, rate 2");
        let new = identity(serde_json::json!({"command_line": line, "overrides": {"partitions": 256}}));
        assert_eq!(new.title(), "goal, partitions 256");
        assert_eq!(identity(serde_json::json!({"overrides": {}, "command_line": line})).title(), "goal");
    }

    #[test]
    fn a_setting_that_an_older_harness_did_not_know_is_no_difference_of_settings() {
        let old = identity(serde_json::json!({}));
        let agrees = |over| old.has_settings_of(&identity(over));
        assert!(agrees(serde_json::json!({"variant": {"acks": "all"}, "variant_name": "p24", "host": {"cores": 4}})));
        assert!(!agrees(serde_json::json!({"variant": {"data_dir": "/dev/shm"}})), "which is left out where not given");
        assert!(!agrees(serde_json::json!({"variant": {"broker": {"num.network.threads": "4"}}})));
        assert!(!agrees(serde_json::json!({"variant": {"rate": 2}})));
    }
}
