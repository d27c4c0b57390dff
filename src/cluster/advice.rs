//! What to change in a variant that is too large for this machine: values that then pass, found by trying them.

use std::time::Duration;

use crate::variant::{Span, Variant};

/// Most alternatives that are told; the ones that change the variant least come first.
const ALTERNATIVES_MAX: usize = 3;

/// A setting that can be lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knob {
    Connections,
    Rate,
    Duration,
    Heap,
    Workers,
    Partitions,
    TagsPerConnection,
    NamesPerTag,
    StreamMaxlen,
}

/// Settings that help alone, or one set of them that helps together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Advice {
    /// Each list of values passes where the whole of it is set.
    pub(super) alternatives: Vec<Vec<(Knob, u64)>>,
}

impl Knob {
    pub(super) fn get(self, variant: &Variant) -> u64 {
        match self {
            Self::Connections => variant.connections.into(),
            // In thousandths, and the largest that a machine may carry is far below what this holds.
            Self::Rate => (variant.rate * 1000.0) as u64,
            Self::Duration => variant.duration.0.as_secs(),
            Self::Heap => super::capacity::heap_bytes(&variant.broker_heap).unwrap_or(0) >> 20,
            Self::Workers => variant.workers.into(),
            Self::Partitions => variant.partitions.into(),
            Self::TagsPerConnection => variant.tags_per_connection.into(),
            Self::NamesPerTag => variant.names_per_tag.into(),
            Self::StreamMaxlen => variant.stream_maxlen.into(),
        }
    }

    /// The lowest value that is still an experiment.
    fn least(self, variant: &Variant) -> u64 {
        let seconds = variant.duration.0.as_secs_f64();
        match self {
            // One event a connection.
            Self::Rate => (1000.0 / seconds).ceil() as u64,
            Self::Duration => ((1.0 / variant.rate).ceil() as u64).max(1),
            Self::Heap => 256,
            _ => 1,
        }
    }

    /// The variant with this value.
    pub(super) fn set(self, variant: &mut Variant, value: u64) {
        let narrow = u32::try_from(value).unwrap_or(u32::MAX);
        match self {
            Self::Connections => variant.connections = narrow,
            Self::Rate => variant.rate = value as f64 / 1000.0,
            Self::Duration => variant.duration = Span(Duration::from_secs(value)),
            Self::Heap => variant.broker_heap = format!("{value}m"),
            Self::Workers => variant.workers = narrow,
            Self::Partitions => variant.partitions = narrow,
            Self::TagsPerConnection => variant.tags_per_connection = narrow,
            Self::NamesPerTag => variant.names_per_tag = narrow,
            Self::StreamMaxlen => variant.stream_maxlen = narrow,
        }
    }

    fn flag(self, value: u64) -> String {
        match self {
            Self::Connections => format!("--connections {value}"),
            Self::Rate => format!("--rate {}", value as f64 / 1000.0),
            Self::Duration => format!("--duration {}", Span(Duration::from_secs(value))),
            Self::Heap => format!("--broker-heap {value}m"),
            Self::Workers => format!("--workers {value}"),
            Self::Partitions => format!("--partitions {value}"),
            Self::TagsPerConnection => format!("--tags-per-connection {value}"),
            Self::NamesPerTag => format!("--names-per-tag {value}"),
            Self::StreamMaxlen => format!("--stream-maxlen {value}"),
        }
    }

    /// The largest value below the variant's own that passes. More never helps, so halving finds it.
    fn largest(self, variant: &Variant, passes: &dyn Fn(&Variant) -> bool) -> Option<u64> {
        let with = |value| {
            let mut changed = variant.clone();
            self.set(&mut changed, value);
            passes(&changed)
        };
        let (mut good, mut bad) = (self.least(variant), self.get(variant));
        if good >= bad || !with(good) {
            return None;
        }
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            *(if with(middle) { &mut good } else { &mut bad }) = middle;
        }
        // A number that people would choose, where that passes as well.
        let digits = 10_u64.pow(good.ilog10().saturating_sub(2));
        Some(good / digits * digits).filter(|round| *round >= self.least(variant) && with(*round)).or(Some(good))
    }
}

impl Advice {
    /// Lower values of `knobs` with which a variant passes that does not.
    pub(super) fn find(variant: &Variant, knobs: &[Knob], passes: &dyn Fn(&Variant) -> bool) -> Self {
        let share = |(knob, value): &(Knob, u64)| *value as f64 / knob.get(variant) as f64;
        let mut alone: Vec<_> = knobs.iter().filter_map(|knob| Some((*knob, knob.largest(variant, passes)?))).collect();
        alone.sort_by(|a, b| share(b).total_cmp(&share(a)));
        alone.truncate(ALTERNATIVES_MAX);
        if !alone.is_empty() {
            return Self { alternatives: alone.into_iter().map(|one| vec![one]).collect() };
        }
        let (mut changed, mut together) = (variant.clone(), Vec::new());
        for knob in knobs {
            if let Some(value) = knob.largest(&changed, passes) {
                together.push((*knob, value));
                return Self { alternatives: vec![together] };
            }
            let least = knob.least(&changed);
            if least < knob.get(&changed) {
                knob.set(&mut changed, least);
                together.push((*knob, least));
            }
        }
        Self { alternatives: Vec::new() }
    }

    /// `--connections 750 or --rate 7.5 fits`, with what helps beside.
    pub(super) fn text(&self, otherwise: &str) -> String {
        let flags = |values: &Vec<(Knob, u64)>| {
            values.iter().map(|(knob, value)| knob.flag(*value)).collect::<Vec<_>>().join(" ")
        };
        match &self.alternatives[..] {
            [] => format!("no override is enough; {otherwise}"),
            several => format!("{} fits; or {otherwise}", several.iter().map(flags).collect::<Vec<_>>().join(" or ")),
        }
    }
}
