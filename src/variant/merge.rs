//! Layers laid over each other, key by key, each value with the place that it came from.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use toml::{Table, Value};

use super::fault::{Fault, Flags};

use super::{Layer, SEED_MAX, Variant, VariantError, check, error::Origin, find, property, source::Source};

/// The setting that is a list of tables.
const FAULT: &str = "fault";
/// The setting that may be left to the others.
const ENGINE: &str = "engine";

/// All settings so far; the key of one within `[broker]`, `[consumer]` or `[redis]` has a second part.
#[derive(Default)]
pub(super) struct Merged {
    settings: BTreeMap<(String, Option<String>), Given>,
    /// Where each of the faults was given.
    faults: Vec<Origin>,
}

struct Given {
    value: Value,
    origin: Origin,
}

impl Merged {
    /// Lays a file on top.
    pub(super) fn lay_file(&mut self, file: &Source) -> Result<(), VariantError> {
        self.lay(&file.table, |key, within| file.origin(key, within))
    }

    /// Lays the command line's overrides on top.
    pub(super) fn lay_flags(&mut self, flags: &Layer) -> Result<(), VariantError> {
        // The two that may be larger than a TOML integer holds.
        let wide = [("seed", flags.seed), ("bytes", flags.bytes.map(|bytes| bytes as u64))];
        for (key, value) in wide {
            if let Some(value) = value.filter(|value| *value > SEED_MAX) {
                return Err(check::wrong(flag(key, &value.to_string()), key));
            }
        }
        let table = Table::try_from(flags).map_err(|error| VariantError::Wrong {
            setting: "command line".into(),
            must: format!("settings that TOML can hold: {error}"),
        })?;
        self.lay(&table, |_, _| Origin::Flag)
    }

    fn lay(&mut self, table: &Table, origin: impl Fn(&str, Option<&str>) -> Origin) -> Result<(), VariantError> {
        for (key, value) in table.iter().filter(|(key, _)| *key != "extends") {
            if !super::is_setting(key) {
                let nearest = find::nearest(key, check::keys().chain(["extends"]));
                return Err(VariantError::UnknownKey { at: origin(key, None), key: find::shorten(key), nearest });
            }
            match value {
                Value::Table(inner) => {
                    // The table itself too, so that an empty one counts as given.
                    self.set(key, None, &Value::Table(Table::new()), origin(key, None))?;
                    for (name, value) in inner {
                        self.set(key, Some(name), value, origin(key, Some(name)))?;
                    }
                }
                Value::Array(items) if key == FAULT => {
                    self.faults = (0..items.len()).map(|i| origin(key, Some(&i.to_string()))).collect();
                    for (item, at) in items.iter().zip(&self.faults) {
                        readable(item).map_err(|must| VariantError::Wrong { setting: fault(at, item), must })?;
                    }
                    self.set(key, None, value, origin(key, None))?;
                }
                value => self.set(key, None, value, origin(key, None))?,
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, within: Option<&str>, value: &Value, origin: Origin) -> Result<(), VariantError> {
        let given = Given { value: value.clone(), origin };
        let setting = || given.describe(key, within);
        match within {
            Some(name) => {
                check::property(name, value).map_err(|must| VariantError::Wrong { setting: setting(), must })?
            }
            None => {
                let alone = Table::from_iter([(key.to_string(), value.clone())]);
                Layer::deserialize(alone).map_err(|_| check::wrong(setting(), key))?;
            }
        }
        self.settings.insert((key.to_string(), within.map(String::from)), given);
        Ok(())
    }

    /// The one variant that all layers make, checked.
    ///
    /// # Errors
    /// [`VariantError::Missing`] or [`VariantError::Wrong`]; `path` is the file that a missing setting is missed in.
    pub(super) fn resolve(&self, path: &Path) -> Result<Variant, VariantError> {
        let keys: Vec<_> =
            check::required().filter(|key| !self.settings.contains_key(&(key.to_string(), None))).collect();
        if !keys.is_empty() {
            return Err(VariantError::Missing { path: path.into(), keys });
        }
        let mut table = self.table();
        // Which one suits is known only when the other settings are.
        let engine_given = table.contains_key(ENGINE);
        table.entry(ENGINE).or_insert_with(|| "rskafka".into());
        let mut variant = Variant::deserialize(table).map_err(|error| VariantError::Wrong {
            setting: path.display().to_string(),
            must: format!("a whole variant: {}", find::shorten(error.message())),
        })?;
        check::each(&variant, |key| self.describe(key))?;
        if !engine_given {
            variant.engine = variant.suited_engine();
        }
        check::together(&variant, |key| self.describe(key))?;
        for (given, at) in variant.fault.iter().zip(&self.faults) {
            let setting = || match at {
                Origin::Flag => Flags(std::slice::from_ref(given)).to_string(),
                at => format!("{at}: [[fault]] '{given}'"),
            };
            given.check(&variant).map_err(|must| VariantError::Wrong { setting: setting(), must })?;
        }
        self.check_properties(&variant, path)?;
        variant.instances = variant.instances.min(variant.connections);
        variant.data_dir = variant.data_dir.take().filter(|dir| !dir.as_os_str().is_empty());
        Ok(variant)
    }

    fn check_properties(&self, variant: &Variant, path: &Path) -> Result<(), VariantError> {
        let mut of_consumer = Vec::new();
        for ((section, within), given) in &self.settings {
            let (Some(name), Value::String(text)) = (within, &given.value) else { continue };
            let wrong = |must| VariantError::Wrong { setting: given.describe(section, Some(name)), must };
            property::check(section, name, text, variant.cluster).map_err(wrong)?;
            if section == "consumer" {
                of_consumer.push((name, given));
            }
        }
        property::check_together(variant).map_err(|reason| {
            let blamed = of_consumer.iter().filter(|(name, _)| reason.contains(name.as_str()));
            let blamed: Vec<_> = blamed.map(|(name, given)| given.describe("consumer", Some(name))).collect();
            let setting = if blamed.is_empty() { path.display().to_string() } else { blamed.join("; ") };
            VariantError::Wrong { setting, must: format!("what librdkafka takes together: {reason}") }
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        // A table's own entry sorts before those within it.
        for ((key, within), given) in &self.settings {
            match (within, table.get_mut(key)) {
                (Some(name), Some(Value::Table(inner))) => inner.insert(name.clone(), given.value.clone()),
                _ => table.insert(key.clone(), given.value.clone()),
            };
        }
        table
    }

    fn describe(&self, key: &str) -> String {
        match self.settings.get(&(key.to_string(), None)) {
            Some(given) => given.describe(key, None),
            None => key.to_string(),
        }
    }
}

impl Given {
    /// `experiments/x.toml:12: rate = -1`, or `--rate -1`.
    fn describe(&self, key: &str, within: Option<&str>) -> String {
        let value = find::shorten(&self.value.to_string());
        match (&self.origin, within) {
            // As it was typed: `-1` and `0s`, not `-1.0` and `"0s"`.
            (Origin::Flag, _) => match &self.value {
                Value::Float(number) => flag(key, &number.to_string()),
                faults if key == FAULT => {
                    Vec::<Fault>::deserialize(faults.clone()).map_or(value, |faults| Flags(&faults).to_string())
                }
                _ => flag(key, value.trim_matches('"')),
            },
            (at, None) => format!("{at}: {key} = {value}"),
            (at, Some(name)) => format!("{at}: [{key}] \"{}\" = {value}", find::shorten(name)),
        }
    }
}

/// What is wrong with a table of a fault, if it cannot be read.
fn readable(item: &Value) -> Result<(), String> {
    let read = Fault::deserialize(item.clone());
    let must = |error: toml::de::Error| {
        format!("a fault with `what`, `at` and, for most, `for`, each in quotes: {}", error.message())
    };
    read.map(drop).map_err(must)
}

/// `x.toml:3: [[fault]] { … }`.
fn fault(at: &Origin, item: &Value) -> String {
    format!("{at}: [[fault]] {}", find::shorten(&item.to_string()))
}

fn flag(key: &str, value: &str) -> String {
    format!("--{} {value}", key.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::variant::tests::{load_over_laptop, load_text};

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        layer: Layer,
    }

    fn flags(line: &str) -> Layer {
        Flags::try_parse_from(line.split_whitespace()).unwrap().layer
    }

    fn refused(line: &str) -> String {
        load_over_laptop("", &flags(line)).unwrap_err()
    }

    #[test]
    fn the_command_line_lies_over_the_file_over_what_it_extends() {
        let text = "rate = 3\nduration = \"7s\"";
        let variant =
            load_over_laptop(text, &flags("x --rate 0.5 --partitions 256 --engine librdkafka --linger 5ms")).unwrap();
        assert_eq!((variant.rate, variant.partitions, variant.workers), (0.5, 256, 2));
        assert_eq!((variant.duration.to_string(), variant.linger.to_string()), ("7s".into(), "5ms".into()));
    }

    #[test]
    fn tables_are_merged_key_by_key_and_lists_replaced() {
        let text = "broker_jvm = []\n[broker]\n\"num.io.threads\" = \"9\"\n\"log.retention.ms\" = \"7\"\n[consumer]";
        let variant = load_over_laptop(text, &Layer::default()).unwrap();
        let broker =
            ["num.io.threads", "log.retention.ms", "num.network.threads"].map(|key| variant.broker[key].as_str());
        assert_eq!((broker, variant.broker_jvm), (["9", "7", "1"], vec![]));
        assert_eq!(variant.consumer["fetch.min.bytes"], "1");
    }

    #[test]
    fn the_directory_of_data_is_given_and_taken_back() {
        let of = |text: &str, flags: &Layer| load_over_laptop(text, flags).unwrap().data_dir;
        let flag = |dir: &str| Layer { data_dir: Some(dir.into()), ..Layer::default() };
        assert_eq!(of("", &Layer::default()), None);
        assert_eq!(of("data_dir = \"/dev/shm\"", &Layer::default()), Some("/dev/shm".into()));
        assert_eq!(of("data_dir = \"/dev/shm\"", &flag("/mnt")), Some("/mnt".into()));
        assert_eq!(of("data_dir = \"/dev/shm\"", &flag("")), None);
    }

    #[test]
    fn instances_are_at_most_the_connections() {
        let twenty = Variant::load("8xlarge", &flags("x --connections 20 --duration 20s --partitions 24")).unwrap().1;
        assert_eq!((twenty.instances, twenty.connections), (20, 20));
        assert_eq!(load_over_laptop("", &flags("x --instances 7")).unwrap().instances, 7);
    }

    #[test]
    fn a_wrong_flag_is_named_as_it_was_given() {
        assert_eq!(refused("x --rate -1"), "--rate -1: must be above 0, in events per second of each connection");
        assert!(refused("x --rate NaN").starts_with("--rate NaN: must be above 0"));
        assert!(refused("x --delivery-timeout 0s").starts_with("--delivery-timeout 0s: must be a length of time"));
        assert!(refused("x --bytes 18446744073709551615").starts_with("--bytes 18446744073709551615: must be"));
        assert!(refused("x --seed 9223372036854775808").starts_with("--seed 9223372036854775808: must be"));
        assert!(!refused("x --duration 0s").contains("quotes"));
        assert!(refused("x --replication-factor 4").starts_with("--replication-factor 4: must be at most 3"));
        assert!(refused("x --workers 0").starts_with("--workers 0: must be"));
        assert!(refused("x --connections 4000000000 --rate 10").starts_with("--connections 4000000000; --rate 10; "));
        let faults = ["--fault", "flush scripts at 1s", "--fault", "kill worker 0 at 1s for 9s"];
        let layer = Flags::try_parse_from(["x", "--cluster", "null"].into_iter().chain(faults)).unwrap().layer;
        assert_eq!(
            load_over_laptop("", &layer).unwrap_err(),
            "--fault 'flush scripts at 1s' --fault 'kill worker 0 at 1s for 9s'; --cluster null: must be left out with the \
             cluster null, where there is nothing but the harness"
        );
    }

    #[test]
    fn a_wrong_setting_is_placed_in_the_file_that_gave_it() {
        let error = load_over_laptop("\n# why\nrate = -1", &Layer::default()).unwrap_err();
        assert_eq!(error, "x.toml:4: rate = -1: must be above 0, in events per second of each connection");
        let error = refused("x --min-insync-replicas 4");
        assert!(
            error.contains("_base.toml:") && error.contains("replication_factor = 3; --min-insync-replicas 4"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_setting_is_answered_with_the_nearest() {
        let error = load_over_laptop("conections = 3", &Layer::default()).unwrap_err();
        assert_eq!(error, "x.toml:2: there is no setting `conections` (did you mean `connections`?)");
        let error = load_over_laptop("[brokers]\na = \"b\"", &Layer::default()).unwrap_err();
        assert_eq!(error, "x.toml:2: there is no setting `brokers` (did you mean `broker`?)");
        let error = load_text("extend = \"laptop\"", &Layer::default()).unwrap_err();
        assert_eq!(error, "x.toml:1: there is no setting `extend` (did you mean `extends`?)");
    }

    #[test]
    fn missing_settings_are_all_named() {
        let error = load_text("extends = \"_base\"\nrate = 1", &Layer::default()).unwrap_err();
        assert!(error.starts_with("x.toml lacks question, connections, duration, workers: set them"), "{error}");
        let given = flags("x --connections 1 --duration 1s --workers 1");
        load_text("extends = \"_base\"\nrate = 1\nquestion = \"?\"", &given).unwrap();
    }

    proptest! {
        #[test]
        fn any_values_of_any_settings_are_answered(
            lines in proptest::collection::vec((0..45usize, 0..16usize), 0..12),
        ) {
            let keys: Vec<_> = check::keys().chain(["extends"]).collect();
            let values = [
                "0", "1", "-1", "4294967295", "9223372036854775807", "0.5", "1e308", "nan", "inf", "\"\"", "\"1s\"", "\"local\"", "[]",
                "{}", "{ a = \"b\" }", "1979-05-27",
            ];
            let text: String = lines.iter().map(|(key, value)| format!("{} = {}\n", keys[*key], values[*value])).collect();
            if let Ok(variant) = load_over_laptop(&text, &Layer::default()) {
                prop_assert_eq!(load_text(variant.to_toml(), &Layer::default()), Ok(variant));
            }
        }
    }
}
