//! Whether this machine can carry what a variant asks of it: said before anything starts, with the numbers.
//!
//! The costs are measured ones (2 cores, three local brokers at RF 3, acks=all) and rough: they are there to refuse
//! what cannot work, not to promise that the rest does.

use std::{fmt, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use super::{
    advice::{Advice, Knob},
    broker::NODES,
};
use crate::machine::limits::{self, Machine, Place, gib};
use crate::variant::{Engine, RedisMode, Variant, fault::Scope};

/// Broker CPU of one event at 24 partitions or fewer, in core-ms, where it matters: some 2,000 events/s, of which `goal` takes
/// 0.43 to 0.53, and less than at fewer (campaign `headline`).
const BROKER_MS_FEW: (f64, f64) = (24.0, 0.7);
/// The same at 256 partitions or more.
const BROKER_MS_MANY: (f64, f64) = (256.0, 1.3);
/// CPU of one event in its worker and Redis, in core-ms.
const WORKER_MS: f64 = 0.2;
/// What a broker's JVM takes beside its heap.
const JVM_BYTES: u64 = 150 << 20;
const WORKER_BYTES: u64 = 60 << 20;
/// Bytes of a row in CSV, and a little more.
pub(crate) const ROW_BYTES: f64 = 150.0;
/// Stored bytes of an event for each of its own: keys, headers, batch overhead, indexes.
const STORED: f64 = 1.3;
/// Memory maps and open files of a broker that holds no partitions.
const BROKER_BASE: u64 = 1500;
/// Partitions of Kafka's own offsets topic, three times replicated.
const OFFSETS_PARTITIONS: u64 = 50;

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

/// The hard limit of open files is short.
#[derive(Debug, Error)]
pub enum NofileError {
    /// Only the machine's administrator can help.
    #[error(
        "{needed} open files are needed and the hard limit is {hard}: use fewer --connections (--engine rskafka needs the fewest files), or raise it (`ulimit -Hn {needed}` as root, or LimitNOFILE)"
    )]
    Hard {
        /// Files that the run needs.
        needed: u64,
        /// What the machine allows.
        hard: u64,
    },
    /// The system refused to raise the soft limit.
    #[error("the limit of open files could not be raised to {needed}: {source}")]
    Refused {
        /// Files that the run needs.
        needed: u64,
        /// The system's answer.
        source: std::io::Error,
    },
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
        short: cpu,
        knobs: &[Knob::Connections, Knob::Rate, Knob::Partitions],
        otherwise: "use a machine with more cores, or give --overload to see what happens",
    },
    Check {
        short: memory,
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
        short: partitions,
        knobs: &[Knob::Partitions, Knob::Connections, Knob::Duration, Knob::Rate],
        otherwise: "raise the limit (vm.max_map_count, `ulimit -Hn`)",
    },
    Check {
        short: own_files,
        knobs: &[Knob::Connections, Knob::Workers],
        otherwise: "raise the limit (`ulimit -Hn` as root, or LimitNOFILE)",
    },
    Check {
        short: disk,
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

fn events_per_second(variant: &Variant) -> f64 {
    f64::from(variant.connections) * variant.rate
}

fn events(variant: &Variant) -> f64 {
    events_per_second(variant) * (variant.duration.0 + variant.warm.0).as_secs_f64()
}

/// Broker CPU of an event in core-ms, between the two measured numbers of partitions.
fn broker_ms(partitions: u32) -> f64 {
    let share = (f64::from(partitions) - BROKER_MS_FEW.0) / (BROKER_MS_MANY.0 - BROKER_MS_FEW.0);
    BROKER_MS_FEW.1 + share.clamp(0.0, 1.0) * (BROKER_MS_MANY.1 - BROKER_MS_FEW.1)
}

fn cpu(variant: &Variant, machine: &Machine) -> Option<String> {
    let rate = events_per_second(variant);
    let broker_ms = broker_ms(variant.partitions);
    let client_ms = WORKER_MS + if variant.engine == Engine::Librdkafka { 0.5 } else { 0.04 };
    let cores = machine.cores;
    let (brokers, all) = (rate * broker_ms / 1000.0, rate * (broker_ms + client_ms) / 1000.0);
    if brokers <= 0.9 * cores && all <= cores {
        return None;
    }
    Some(format!(
        "CPU: {rate:.0} events/s × {broker_ms:.1} ms in the brokers ({} partitions) = {brokers:.1} cores, {all:.1} with producers and workers; this machine has {cores:.0}",
        variant.partitions
    ))
}

/// What a run takes of memory.
struct Memory {
    heap: u64,
    producers: u64,
    workers: u64,
    redis: u64,
}

impl Memory {
    /// None where the heap has a size that java does not understand: that is java's to refuse.
    fn of(variant: &Variant) -> Option<Self> {
        let connection = if variant.engine == Engine::Librdkafka { 760 << 10 } else { 90 << 10 };
        Some(Self {
            heap: heap_bytes(&variant.broker_heap)?,
            producers: u64::from(variant.connections) * connection,
            workers: u64::from(variant.workers) * WORKER_BYTES,
            redis: redis_bytes(variant),
        })
    }

    fn all(&self) -> u64 {
        let brokers = self.heap.saturating_add(JVM_BYTES).saturating_mul(NODES as u64);
        brokers.saturating_add(self.producers + self.workers).saturating_add(self.redis)
    }
}

fn memory(variant: &Variant, machine: &Machine) -> Option<String> {
    let needed = Memory::of(variant)?;
    let (all, Memory { heap, producers, workers, redis }) = (needed.all(), needed);
    (all > machine.memory_bytes).then(|| format!(
            "memory: {NODES} × {} of heap and {} beside it, {} for {} producers, {} for {} workers, {} for Redis = {}; {} are available",
            gib(heap), gib(JVM_BYTES), gib(producers), variant.connections, gib(workers), variant.workers, gib(redis), gib(all), gib(machine.memory_bytes)
    ))
}

/// Redis that hold the same.
fn copies(variant: &Variant) -> u64 {
    if variant.redis_mode == RedisMode::Single { 1 } else { 2 }
}

fn redis_bytes(variant: &Variant) -> u64 {
    redis_bytes_of_one(variant) * copies(variant)
}

/// What a run stores in Redis, once.
pub(super) fn redis_bytes_of_one(variant: &Variant) -> u64 {
    (redis_bytes_least(variant) as f64 * STORED) as u64
}

/// The events alone, without what Redis needs to keep them.
pub(super) fn redis_bytes_least(variant: &Variant) -> u64 {
    let tags = f64::from(variant.connections) * f64::from(variant.tags_per_connection);
    let entries = (tags * f64::from(variant.stream_maxlen)).min(events(variant));
    let snapshot = (tags * f64::from(variant.names_per_tag)).min(events(variant));
    ((entries + snapshot) * variant.bytes as f64) as u64
}

/// `512m`, `64g`, as java's -Xmx takes it.
pub(super) fn heap_bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn partitions(variant: &Variant, machine: &Machine) -> Option<String> {
    let segment_bytes =
        variant.broker.get("log.segment.bytes").and_then(|b| b.parse().ok()).unwrap_or(1_073_741_824.0_f64);
    let partition_bytes = events(variant) * variant.bytes as f64 * STORED / f64::from(variant.partitions.max(1));
    let segments = ((partition_bytes / segment_bytes.max(1.0)) as u64).saturating_add(1);
    let spread = |partitions: u64, replicas: u64| (partitions * replicas).div_ceil(NODES as u64);
    let replicas = spread(variant.partitions.into(), variant.replication_factor.into()) + spread(OFFSETS_PARTITIONS, 3);
    // A segment maps its two indexes and holds its log open (seen at 1,024 partitions: 2.0 and 1.0 a replica).
    let held = replicas.saturating_mul(segments);
    let maps = held.saturating_mul(2).saturating_add(BROKER_BASE);
    let sockets = u64::from(variant.connections) + u64::from(variant.workers);
    let files = held.saturating_add(BROKER_BASE + sockets);
    let (what, besides, needed, limit) = if maps > machine.maps_max {
        ("memory maps", String::new(), maps, machine.maps_max)
    } else if files > machine.nofile_hard {
        ("open files", format!(" and {} connections", variant.connections), files, machine.nofile_hard)
    } else {
        return None;
    };
    Some(format!(
        "{what}: {replicas} replicas × {segments} segments{besides} need {needed} of them in each broker; the limit is {limit}"
    ))
}

fn own_files(variant: &Variant, machine: &Machine) -> Option<String> {
    let (needed, limit) = (nofile_needed(variant), machine.nofile_hard);
    let Variant { connections, workers, .. } = variant;
    (needed > limit).then(|| {
        format!("open files: {connections} connections and {workers} workers need {needed} here; the limit is {limit}")
    })
}

fn disk(variant: &Variant, machine: &Machine) -> Option<String> {
    let events = events(variant);
    let bytes = variant.bytes as f64 * STORED;
    let rows = events * ROW_BYTES;
    let brokers = events * f64::from(variant.replication_factor) * bytes;
    // Snapshot and delta each write the value to the append-only file.
    let redis = if variant.redis.get("appendonly").is_some_and(|set| set == "yes") {
        events * 2.0 * bytes * copies(variant) as f64
    } else {
        0.0
    };
    let (rows, data) = (rows as u64, (brokers + redis) as u64);
    // Memory has room for what the run's processes leave of it.
    let left = machine.memory_bytes.saturating_sub(Memory::of(variant).map_or(0, |memory| memory.all()));
    let free = |place: &Place| if place.is_memory { left.min(place.free_bytes) } else { place.free_bytes };
    let (out, temp) = (&machine.out, &machine.temp);
    let shared = out.device == temp.device || (out.is_memory && temp.is_memory);
    let both = if shared { rows.saturating_add(data) } else { 0 };
    let places = [(both, temp, ""), (rows, out, " where the rows go"), (data, temp, " where the data goes")];
    let (_, place, whose) = places.into_iter().find(|(bytes, place, _)| *bytes > free(place))?;
    Some(format!(
        "disk: {events:.0} events take {} of rows and {} in brokers and Redis; {} {}{whose}",
        gib(rows),
        gib(data),
        gib(free(place)),
        if place.is_memory { "of memory are left" } else { "are free" },
    ))
}

/// Open files of the measuring process: the producers' sockets and what their clients open beside them.
pub fn nofile_needed(variant: &Variant) -> u64 {
    const OWN: u64 = 256;
    let brokers_used = u64::from(variant.tags_per_connection.min(NODES as u32));
    let connection = match variant.engine {
        Engine::Rskafka => 1 + brokers_used,
        // Seen: 11, for four sockets and the pipes of five threads.
        Engine::Librdkafka => 12,
    };
    OWN + u64::from(variant.workers) * 4 + u64::from(variant.connections) * connection + proxied(variant)
}

/// Open files of the network's proxies, which have both ends of each connection.
fn proxied(variant: &Variant) -> u64 {
    let parties = u64::from(variant.workers) + u64::from(variant.readers);
    let connections = match variant.network_scope() {
        None => return 0,
        Some(Scope::Redis) => parties,
        // Each client has a socket to each broker and to the one that it started from, and so have brokers to each other.
        Some(Scope::Whole) => (u64::from(variant.connections) + parties + NODES as u64) * (1 + NODES as u64),
    };
    const PROXIES: u64 = 14;
    2 * connections + 4 * PROXIES
}

/// Raises the soft limit of open files to `needed` where it is lower; children inherit it. Returns the limit.
///
/// # Errors
/// When the hard limit is lower than `needed`.
pub fn raise_nofile(needed: u64) -> Result<u64, NofileError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No number means no limit.
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    if soft >= needed {
        return Ok(soft);
    }
    if hard < needed {
        return Err(NofileError::Hard { needed, hard });
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum });
    raised.map(|()| needed).map_err(|errno| NofileError::Refused { needed, source: errno.into() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{cluster::tests::variant, variant::Span};

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

    #[test]
    fn sizes_are_read_as_java_reads_them() {
        assert_eq!(
            ["1k", "512m", "64G", "7", "x", "1q", ""].map(heap_bytes),
            [Some(1024), Some(512 << 20), Some(64 << 30), Some(7), None, None, None]
        );
    }

    #[test]
    fn the_soft_limit_is_raised_and_a_short_hard_one_is_named() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        assert!(raise_nofile(64).unwrap() >= 64);
        if let Some(hard) = maximum {
            let text = raise_nofile(hard + 1).unwrap_err().to_string();
            assert!(text.contains(&format!("the hard limit is {hard}")), "{text}");
        }
        assert!(nofile_needed(&Variant { connections: 1000, ..variant() }) < 3000);
    }
}
