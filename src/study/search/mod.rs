//! A search for the load at which the promise breaks: `connections from 250 to 4000 until p99.99 > 100ms`. It brackets
//! and bisects, each step long enough that its verdict is resolved, and then repeats both sides of the last bracket with
//! fresh seeds, since one run at a border says little: most of a value's runs decide its side.

pub mod bisect;
mod result;
mod runner;

use std::{fmt, str::FromStr, time::Duration};

pub use self::{
    bisect::{Bisection, Side},
    result::SearchResult,
    runner::{SearchError, perform},
};
use crate::variant::{Layer, Span, Variant};
use shasta_model::number::thousands;
use shasta_model::slo::PLANNED_FOR_VERDICT;

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Connections in all.
    Connections,
    /// Events per second of each connection.
    Rate,
    /// Partitions of the topic.
    Partitions,
}

impl Setting {
    const ALL: [Self; 3] = [Self::Connections, Self::Rate, Self::Partitions];

    /// Its name, as variants have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rate => "rate",
            Self::Partitions => "partitions",
        }
    }

    /// Whether it comes in whole numbers.
    pub fn is_whole(self) -> bool {
        self != Self::Rate
    }

    /// Its value in a variant.
    pub fn of(self, variant: &Variant) -> f64 {
        match self {
            Self::Connections => f64::from(variant.connections),
            Self::Rate => variant.rate,
            Self::Partitions => f64::from(variant.partitions),
        }
    }
}

/// A search, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// What is varied.
    pub setting: Setting,
    /// The bounds, lower first; without them, the variant's value doubled or halved until they are found.
    pub bounds: Option<[f64; 2]>,
    /// The percentile that must stay below the limit.
    pub percentile: f64,
    /// The limit, in ms.
    pub limit_ms: f64,
}

const WRITTEN: &str = "write it as 'connections until p99.99 > 100ms' or 'rate from 0.5 to 8 until p99.99 > 100ms'";

impl FromStr for Search {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (setting, bounds, until) = match words[..] {
            [setting, "until", percentile, ">", limit] => (setting, None, (percentile, limit)),
            [setting, "from", low, "to", high, "until", percentile, ">", limit] => {
                (setting, Some((low, high)), (percentile, limit))
            }
            _ => return Err(format!("`{text}` is no search; {WRITTEN}")),
        };
        let known = || Setting::ALL.map(Setting::name).join(", ");
        let setting = Setting::ALL.into_iter().find(|known| known.name() == setting);
        let setting = setting.ok_or_else(|| format!("a search varies one of {}; {WRITTEN}", known()))?;
        let percentile = until.0.strip_prefix('p').and_then(|p| p.parse::<f64>().ok());
        let known = percentile.filter(|p| shasta_model::percentile::PERCENTILES.contains(p));
        let percentile = known.ok_or_else(|| {
            let names = shasta_model::percentile::PERCENTILES.map(|p| format!("p{p}")).join(", ");
            format!("`{}` is none of {names}", until.0)
        })?;
        let limit: Span = until.1.parse()?;
        if limit.0.is_zero() {
            return Err("the limit must be above 0ms".to_owned());
        }
        let bounds = bounds.map(|(low, high)| bounds_of(setting, low, high)).transpose()?;
        Ok(Self { setting, bounds, percentile, limit_ms: limit.0.as_secs_f64() * 1000.0 })
    }
}

fn bounds_of(setting: Setting, low: &str, high: &str) -> Result<[f64; 2], String> {
    let number = |text: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
        let number = number.filter(|number| !setting.is_whole() || number.fract() == 0.0);
        let kind = if setting.is_whole() { "a whole number above 0" } else { "a number above 0" };
        number.ok_or_else(|| format!("`{text}` is no bound of {}: give {kind}", setting.name()))
    };
    let bounds = [number(low)?, number(high)?];
    if bounds[0] >= bounds[1] {
        return Err(format!("from {low} to {high} is no bracket: the lower bound comes first"));
    }
    Ok(bounds)
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.setting.name())?;
        if let Some([low, high]) = self.bounds {
            write!(f, " from {low} to {high}")?;
        }
        let limit = Span(Duration::from_secs_f64(self.limit_ms / 1000.0));
        write!(f, " until p{} > {limit}", self.percentile)
    }
}

impl Search {
    /// The overrides of one step: the value, a seed, and a window long enough that its verdict is resolved.
    pub fn step(&self, variant: &Variant, value: f64, seed: u64) -> Layer {
        let mut layer = Layer { seed: Some(seed), ..Layer::default() };
        match self.setting {
            Setting::Connections => layer.connections = Some(value as u32),
            Setting::Rate => layer.rate = Some(value),
            Setting::Partitions => layer.partitions = Some(value as u32),
        }
        let connections = layer.connections.unwrap_or(variant.connections);
        let per_s = f64::from(connections) * layer.rate.unwrap_or(variant.rate);
        let needed = Duration::from_secs((PLANNED_FOR_VERDICT as f64 / per_s).ceil() as u64);
        layer.duration = Some(Span(variant.duration.0.max(needed)));
        layer
    }

    /// That a step is longer than the variant's window, where it is.
    pub fn lengthened(&self, variant: &Variant, value: f64, step: &Layer) -> Option<String> {
        let (asked, name) = (variant.duration, self.setting.name());
        let lasts = step.duration.filter(|lasts| *lasts > asked)?;
        let events = thousands(PLANNED_FOR_VERDICT);
        Some(format!("a verdict takes {events} events, so a step at {name} = {value} lasts {lasts}, not {asked}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_people_say_it() {
        let search: Search = "connections until p99.99 > 100ms".parse().unwrap();
        assert_eq!(search, Search { setting: Setting::Connections, bounds: None, percentile: 99.99, limit_ms: 100.0 });
        for text in ["connections until p99.99 > 100ms", "rate from 0.5 to 8 until p99.9 > 1s500ms"] {
            assert_eq!(text.parse::<Search>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_search_is_told_how_to_write_one() {
        for (text, message) in [
            ("", "is no search; write it as"),
            ("connections > 100", "is no search"),
            ("workers until p99.99 > 100ms", "a search varies one of connections, rate, partitions"),
            ("rate until p98 > 100ms", "`p98` is none of p50, p90, p99, p99.9, p99.99, p99.999"),
            ("rate until p99.99 > 100", "`100` is not a length of time"),
            ("rate until p99.99 > 0ms", "above 0ms"),
            ("rate from 8 to 1 until p99.99 > 1s", "from 8 to 1 is no bracket"),
            ("connections from 1.5 to 9 until p99.99 > 1s", "`1.5` is no bound of connections: give a whole number"),
            ("rate from -1 to 9 until p99.99 > 1s", "`-1` is no bound of rate"),
            ("rate from nan to inf until p99.99 > 1s", "`nan` is no bound"),
        ] {
            let error = text.parse::<Search>().unwrap_err();
            assert!(error.contains(message), "{text:?} gave {error}");
        }
    }

    #[test]
    fn a_step_is_long_enough_to_be_resolved() {
        let (_, goal) = Variant::load("goal", &Layer::default()).unwrap();
        let search: Search = "connections until p99.99 > 100ms".parse().unwrap();
        let step = search.step(&goal, 50.0, 9);
        assert_eq!((step.connections, step.seed, step.duration), (Some(50), Some(9), Some("2000s".parse().unwrap())));
        let told = search.lengthened(&goal, 50.0, &step).unwrap();
        assert_eq!(
            told,
            format!(
                "a verdict takes 100,000 events, so a step at connections = 50 lasts 33m20s, not {}",
                goal.duration
            )
        );
        let long = search.step(&goal, 5000.0, 9);
        assert_eq!((long.duration, search.lengthened(&goal, 5000.0, &long)), (Some(goal.duration), None));
    }
}
