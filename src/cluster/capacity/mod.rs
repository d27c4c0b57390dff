//! Whether this machine can carry what a variant asks of it: said before anything starts, with the numbers.
//!
//! The costs are measured ones (2 cores, three local brokers at RF 3, acks=all) and rough: they are there to refuse
//! what cannot work, not to promise that the rest does.

mod cpu;
mod disk;
mod memory;
mod open_files;
mod partition_files;

use std::{fmt, path::Path};

use thiserror::Error;

use super::advice::{Advice, Knob};
use crate::{
    machine::limits::{self, Machine},
    variant::Variant,
};

pub(crate) use self::disk::ROW_BYTES;
pub(super) use self::memory::{heap_bytes, redis_bytes_least, redis_bytes_of_one};
pub use self::open_files::{NofileError, nofile_needed, raise_nofile};

/// Stored bytes of an event for each of its own: keys, headers, batch overhead, indexes.
const STORED: f64 = 1.3;
/// Bytes that are free where `path` is, or will be; all there can be where the system does not say.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    limits::place(path).free_bytes
}

/// What a machine lacks for a variant, each with the override that helps.
#[derive(Debug, Error, PartialEq)]
#[error("this machine cannot carry the variant with a cluster of its own:{}", lines(.0))]
pub struct TooLarge(pub Vec<Shortage>);

/// One resource that falls short.
#[derive(Debug, PartialEq)]
pub struct Shortage {
    /// What is needed and what there is.
    numbers: String,
    /// What to change in the variant.
    advice: Advice,
    /// What helps besides.
    otherwise: &'static str,
}

fn lines(shortages: &[Shortage]) -> String {
    shortages.iter().map(|shortage| format!("\n  {shortage}")).collect()
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.numbers, self.advice.text(self.otherwise))
    }
}

/// Checks a variant against this machine before a cluster starts on it; rows go to `out`, brokers' data to `temp`. Where
/// `overload` is wanted, too little CPU is no reason against it.
///
/// # Errors
/// Everything that falls short, with numbers and overrides.
pub fn check(variant: &Variant, out: &Path, temp: &Path, overload: bool) -> Result<(), TooLarge> {
    let machine = Machine::read(out, temp);
    let cores = if overload { f64::INFINITY } else { machine.cores };
    check_on(variant, &Machine { cores, ..machine })
}

fn check_on(variant: &Variant, machine: &Machine) -> Result<(), TooLarge> {
    let shortages: Vec<_> = CHECKS.iter().filter_map(|check| check.shortage(variant, machine)).collect();
    if shortages.is_empty() { Ok(()) } else { Err(TooLarge(shortages)) }
}

/// A resource that may fall short.
struct Check {
    /// What is needed and what there is, where that is too little.
    short: fn(&Variant, &Machine) -> Option<String>,
    /// What can be lowered, and what helps besides.
    knobs: &'static [Knob],
    otherwise: &'static str,
}

const CHECKS: [Check; 5] = [
    Check {
        short: cpu::short,
        knobs: &[Knob::Connections, Knob::Rate, Knob::Partitions],
        otherwise: "use a machine with more cores, or give --overload to see what happens",
    },
    Check {
        short: memory::short,
        knobs: &[
            Knob::Heap,
            Knob::TagsPerConnection,
            Knob::NamesPerTag,
            Knob::StreamMaxlen,
            Knob::Connections,
            Knob::Workers,
            Knob::Duration,
        ],
        otherwise: "use a machine with more memory (512m of heap are enough for most local runs)",
    },
    Check {
        short: partition_files::short,
        knobs: &[Knob::Partitions, Knob::Connections, Knob::Duration, Knob::Rate],
        otherwise: "raise the limit (vm.max_map_count, `ulimit -Hn`)",
    },
    Check {
        short: open_files::short,
        knobs: &[Knob::Connections, Knob::Workers],
        otherwise: "raise the limit (`ulimit -Hn` as root, or LimitNOFILE)",
    },
    Check {
        short: disk::short,
        knobs: &[Knob::Duration, Knob::Connections, Knob::Rate],
        otherwise: "give another --out, or set TMPDIR or --data-dir to a larger file system",
    },
];

impl Check {
    fn shortage(&self, variant: &Variant, machine: &Machine) -> Option<Shortage> {
        let numbers = (self.short)(variant, machine)?;
        let has_events = |variant: &Variant| variant.planned() >= f64::from(variant.connections);
        let passes = |changed: &Variant| has_events(changed) && (self.short)(changed, machine).is_none();
        Some(Shortage { numbers, advice: Advice::find(variant, self.knobs, &passes), otherwise: self.otherwise })
    }
}

/// Events/s of all connections.
fn events_per_second(variant: &Variant) -> f64 {
    f64::from(variant.connections) * variant.rate
}

/// Events of a run, warm-up included.
fn events(variant: &Variant) -> f64 {
    events_per_second(variant) * (variant.duration.0 + variant.warm.0).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        cluster::tests::variant,
        machine::limits::Place,
        variant::{Engine, Span},
    };

    /// The machine that the costs were measured on.
    fn small() -> Machine {
        let place = Place { device: 1, free_bytes: 60 << 30, is_memory: false };
        Machine { cores: 2.0, memory_bytes: 20 << 30, maps_max: 65_530, nofile_hard: 20_000, out: place, temp: place }
    }

    fn published() -> Variant {
        let hours = |h: u64| Span(Duration::from_secs(h * 3600));
        let engine = Engine::Librdkafka;
        let (connections, workers, partitions, duration) = (128 * 16, 24, 256, hours(6));
        Variant { connections, workers, partitions, duration, engine, broker_heap: "6g".to_owned(), ..variant() }
    }

    fn shortages(variant: &Variant) -> Vec<String> {
        check_on(variant, &small())
            .map_or_else(|too_large| too_large.0.iter().map(ToString::to_string).collect(), |()| vec![])
    }

    #[test]
    fn a_published_variant_is_refused_with_numbers_and_fits_when_cut_down() {
        let found = shortages(&published());
        assert!(found[0].contains("2048 events/s × 1.3 ms") && found[0].contains("--connections"), "{found:?}");
        assert!(found.iter().any(|f| f.starts_with("disk:") && f.contains("--duration")), "{found:?}");
        let duration = Span(Duration::from_secs(20));
        let cut = Variant { connections: 20, partitions: 24, duration, ..published() };
        assert_eq!(shortages(&Variant { broker_heap: "512m".to_owned(), ..cut }), [""; 0]);
    }

    #[test]
    fn data_in_memory_has_what_the_rest_leaves_of_it() {
        let memory = Place { device: 2, free_bytes: 60 << 30, is_memory: true };
        let machine = Machine { memory_bytes: 8 << 30, temp: memory, ..small() };
        let of = |seconds| Variant { connections: 1000, duration: Span(Duration::from_secs(seconds)), ..variant() };
        assert_eq!(check_on(&of(60), &machine), Ok(()));
        let error = check_on(&of(3600), &machine).unwrap_err().to_string();
        assert!(error.contains("of memory are left where the data goes") && error.contains("--duration"), "{error}");
        assert_eq!(check_on(&of(3600), &Machine { temp: small().temp, ..machine }), Ok(()));
        // Rows in memory as well, whether it is one file system or two.
        for device in [2, 3] {
            let all = Machine { out: Place { device, ..memory }, ..machine };
            let error = check_on(&of(3600), &all).unwrap_err().to_string();
            assert!(error.contains("of memory are left") && !error.contains("where the data goes"), "{error}");
        }
    }

    #[test]
    fn a_large_heap_is_refused_with_the_override() {
        let found = shortages(&Variant { broker_heap: "64g".to_owned(), ..variant() });
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("3 × 64.0 GiB") && found[0].contains("--broker-heap 66"), "{found:?}");
    }

    #[test]
    fn the_goal_fits_on_two_cores() {
        for partitions in [24, 256] {
            let goal = Variant {
                connections: 1000,
                workers: 4,
                partitions,
                duration: Span(Duration::from_secs(600)),
                ..variant()
            };
            assert_eq!(shortages(&Variant { broker_heap: "512m".to_owned(), ..goal }), [""; 0]);
        }
    }

    #[test]
    fn partitions_that_a_broker_cannot_hold_are_refused() {
        let found = shortages(&Variant { partitions: 20_000, ..variant() });
        assert!(found[0].starts_with("open files: ") && found[0].contains("the limit is 20000"), "{found:?}");
        let found = shortages(&Variant { partitions: 40_000, ..variant() });
        assert!(found[0].starts_with("memory maps: ") && found[0].contains("the limit is 65530"), "{found:?}");
    }

    #[test]
    fn the_advised_connections_fit() {
        let too_many = Variant { connections: 5000, rate: 3.0, duration: Span(Duration::from_secs(1)), ..variant() };
        let text = &shortages(&too_many)[0];
        let advised = text.split("--connections ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(shortages(&Variant { connections: advised, ..too_many.clone() }), [""; 0]);
        // Rounded down to three digits.
        assert_ne!(shortages(&Variant { connections: advised + 10, ..too_many }), [""; 0]);
    }

    #[test]
    fn the_advice_is_about_what_is_too_large() {
        let found = shortages(&Variant { rate: 20_000.0, connections: 1, ..variant() });
        assert!(found[0].starts_with("CPU: ") && found[0].contains(": --rate 2120 fits; or use"), "{found:?}");
        let found = shortages(&Variant { rate: 20_000.0, ..variant() });
        assert!(found[0].contains(": --rate 21.2 fits; or use"), "{found:?}");
        let found = shortages(&Variant {
            connections: 100_000,
            rate: 0.01,
            duration: Span(Duration::from_secs(100)),
            ..variant()
        });
        assert!(
            found[0].contains(" and 100000 connections need ") && found[0].contains(": --connections 18400 fits"),
            "{found:?}"
        );
        let found = shortages(&Variant { tags_per_connection: 99_999_999, ..variant() });
        assert!(found.is_empty(), "Redis holds no more names than events: {found:?}");
    }

    proptest! {
        #[test]
        fn what_is_advised_passes(
            (connections, rate, seconds) in (1u32..200_000, 0.001f64..30_000.0, 1u64..50_000),
            (partitions, workers, tags, names) in (1u32..100_000, 1u32..1024, 1u32..100_000, 1u32..100_000),
            (heap, maxlen, bytes) in (prop::sample::select(vec!["256m", "2g", "64g"]), 1u32..10_000, 40usize..10_000),
            (memory_bytes, free_bytes, librdkafka) in (3u64 << 30..40 << 30, 1u64 << 20..60 << 30, any::<bool>()),
        ) {
            let asked = Variant {
                connections, rate, partitions, workers, bytes,
                duration: Span(Duration::from_secs(seconds)),
                warm: Span(Duration::from_secs(1)),
                tags_per_connection: tags,
                names_per_tag: names,
                stream_maxlen: maxlen,
                broker_heap: heap.to_owned(),
                engine: if librdkafka { Engine::Librdkafka } else { Engine::Rskafka },
                ..variant()
            };
            prop_assume!(asked.planned() >= f64::from(connections));
            let place = Place { device: 1, free_bytes, is_memory: false };
            let machine = Machine { memory_bytes, out: place, temp: place, ..small() };
            let Err(TooLarge(shortages)) = check_on(&asked, &machine) else { return Ok(()) };
            let mut all = asked.clone();
            for Shortage { numbers, advice, .. } in &shortages {
                let check = CHECKS.iter().find(|check| (check.short)(&asked, &machine).as_ref() == Some(numbers));
                let check = check.unwrap();
                for values in &advice.alternatives {
                    let mut changed = asked.clone();
                    values.iter().for_each(|(knob, value)| knob.set(&mut changed, *value));
                    prop_assert_eq!((check.short)(&changed, &machine), None, "{:?}", values);
                    prop_assert!(changed.planned() >= f64::from(changed.connections));
                }
                // A disk of a MiB takes no experiment at all.
                prop_assert!(!advice.alternatives.is_empty() || numbers.starts_with("disk"), "{}: {:?}", numbers, advice);
                for (knob, value) in advice.alternatives.first().into_iter().flatten() {
                    if knob.get(&all) > *value {
                        knob.set(&mut all, *value);
                    }
                }
            }
            let left = check_on(&all, &machine).err();
            prop_assert!(left.as_ref().is_none_or(|left| left.0.iter().all(|s| s.advice.alternatives.is_empty() || all.planned() < f64::from(all.connections))), "{:?}", left);
        }
    }
}
