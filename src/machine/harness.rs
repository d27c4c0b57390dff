//! The harness proves itself: what it costs, how late it ran, and what else the machine was doing, second by second.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use procfs::{Current, CurrentSI, process::Process};
use rustix::time::{ClockId, clock_gettime};

use crate::{machine::clock::Clock, output::rows::Row};
use shasta_model::manifest::harness::{Cost, Proof, Second, Spread};

const HICCUP: Duration = Duration::from_millis(1);
/// The producers among this process's own threads: those whose name begins so, ours and librdkafka's.
const PRODUCERS: [&str; 2] = ["producer-", "rdk:"];

/// Percentiles of a live histogram of µs.
pub fn spread(us: &Histogram<u64>) -> Spread {
    let ms = |quantile| us.value_at_quantile(quantile) as f64 / 1000.0;
    Spread {
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        p9999_ms: ms(0.9999),
        max_ms: us.max() as f64 / 1000.0,
    }
}

/// One reading of everything that is watched.
#[derive(Debug, Default)]
struct Sample {
    at_us: i64,
    /// By name: CPU ticks, resident bytes, threads.
    parts: BTreeMap<String, (u64, Option<u64>, u64)>,
    busy_ticks: u64,
    steal_ticks: u64,
    pressure_us: u64,
    hiccup_us_max: u64,
    work: Duration,
    written_kib: u64,
}

/// The watching threads of a run.
#[derive(Debug)]
pub struct Harness {
    stop: Arc<AtomicBool>,
    processes: Arc<Mutex<Vec<(String, u32)>>>,
    /// None once it is joined.
    sampler: Option<JoinHandle<(Vec<Sample>, Histogram<u64>)>>,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl Harness {
    /// Watches this process and the given ones until [`Harness::finish`].
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(processes: Vec<(String, u32)>, clock: Clock, window: Range<i64>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, processes) = (Arc::clone(&stop), Arc::new(Mutex::new(processes)));
        let watched = Arc::clone(&processes);
        let builder = std::thread::Builder::new().name("hiccup".into());
        let sampler = builder.spawn(move || watch(&watched, clock, &window, &stopped))?;
        Ok(Self { stop, processes, sampler: Some(sampler) })
    }

    /// Some were started again: watches these from now on, as one with those of the same name before.
    pub fn watch(&self, processes: Vec<(String, u32)>) {
        *self.processes.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// Ends the watch and sums up the samples within `window`, µs of the Unix epoch.
    pub fn finish(mut self, window: Range<i64>) -> Proof {
        self.stop.store(true, Relaxed);
        let sampler = self.sampler.take().expect("it is joined once");
        let (samples, hiccup) = sampler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let margin_us = 1_000_000;
        let inside: Vec<_> = samples
            .iter()
            .filter(|sample| (window.start - margin_us..window.end + margin_us).contains(&sample.at_us))
            .collect();
        Proof { costs: costs(&inside), hiccup: spread(&hiccup), seconds: seconds(&inside), row_ns: Some(row_ns()) }
    }
}

/// What processes had used that were started again since, by name.
#[derive(Debug, Default)]
struct Past(BTreeMap<String, (u32, u64, u64)>);

impl Past {
    /// The ticks of all processes of this name, of which the present one has used `ticks`.
    fn ticks(&mut self, name: &str, pid: u32, ticks: u64) -> u64 {
        let (last_pid, last, before) = self.0.entry(name.to_owned()).or_insert((pid, ticks, 0));
        if *last_pid != pid {
            (*last_pid, *before) = (pid, *before + *last);
        }
        *last = ticks;
        *before + ticks
    }

    /// Those of a name whose present process cannot be read: it has ended.
    fn ticks_so_far(&self, name: &str) -> Option<u64> {
        self.0.get(name).map(|(_, last, before)| before + last)
    }
}

/// The threads of this process that are no producers: a dozen, while librdkafka may have thousands for the producers, which
/// would take tens of milliseconds to read. So all are listed only when their number has changed, and what the producers
/// used is what the process has used less that of these.
#[derive(Debug, Default)]
struct Others {
    /// Threads of the process when they were listed, and the producers among them.
    threads: u64,
    producers: u64,
    /// Ticks by thread, as last read.
    ticks: BTreeMap<i32, u64>,
    /// Those of threads that have ended.
    ended_ticks: u64,
}

impl Others {
    /// What they have used, of a process that has so many threads.
    fn ticks(&mut self, process: &Process, threads: u64) -> u64 {
        if threads != self.threads {
            self.list(process);
            self.threads = threads;
        }
        for (&thread, ticks) in &mut self.ticks {
            if let Ok(stat) = process.task_from_tid(thread).and_then(|task| task.stat()) {
                *ticks = stat.utime + stat.stime;
            }
        }
        self.ended_ticks + self.ticks.values().sum::<u64>()
    }

    fn list(&mut self, process: &Process) {
        let stats = process.tasks().into_iter().flatten().flatten().filter_map(|task| task.stat().ok());
        let is_producer = |comm: &str| PRODUCERS.iter().any(|name| comm.starts_with(name));
        let (producers, others): (Vec<_>, Vec<_>) = stats.partition(|stat| is_producer(&stat.comm));
        let others: BTreeMap<_, _> = others.iter().map(|stat| (stat.pid, stat.utime + stat.stime)).collect();
        self.producers = producers.len() as u64;
        let before = std::mem::replace(&mut self.ticks, others);
        let ended = before.iter().filter(|(thread, _)| !self.ticks.contains_key(thread));
        self.ended_ticks += ended.map(|(_, ticks)| ticks).sum::<u64>();
    }
}

/// What the machine's cores have done since it started.
#[derive(Debug, Default)]
pub struct CpuTicks {
    /// Ticks of all processes, and of the kernel for them.
    pub busy: u64,
    /// Ticks that the hypervisor gave to others.
    pub steal: u64,
    /// Cores.
    pub cores: usize,
}

impl CpuTicks {
    /// Reads /proc/stat; all 0 where it is not there.
    pub fn now() -> Self {
        let Ok(stats) = procfs::KernelStats::current() else { return Self::default() };
        let cpu = &stats.total;
        Self {
            busy: cpu.user + cpu.nice + cpu.system + cpu.softirq.unwrap_or(0) + cpu.irq.unwrap_or(0),
            steal: cpu.steal.unwrap_or(0),
            cores: stats.cpu_time.len(),
        }
    }
}

/// Sleeps 1 ms over and over, notes by how much it overslept, and samples once a second.
fn watch(
    processes: &Mutex<Vec<(String, u32)>>,
    clock: Clock,
    window: &Range<i64>,
    stop: &AtomicBool,
) -> (Vec<Sample>, Histogram<u64>) {
    let mut hiccups = Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are valid");
    let (mut past, mut others) = (Past::default(), Others::default());
    let mut sample =
        || sample(&processes.lock().unwrap_or_else(PoisonError::into_inner), (&mut past, &mut others), clock);
    let mut samples = vec![sample()];
    let (mut next, mut worst_us) = (Instant::now() + Duration::from_secs(1), 0);
    while !stop.load(Relaxed) {
        let before = Instant::now();
        std::thread::sleep(HICCUP);
        let overslept_us = before.elapsed().saturating_sub(HICCUP).as_micros() as u64;
        worst_us = worst_us.max(overslept_us);
        if window.contains(&clock.now_us()) {
            hiccups.saturating_record(overslept_us);
        }
        if Instant::now() >= next {
            next += Duration::from_secs(1);
            let hiccup_us_max = std::mem::take(&mut worst_us);
            samples.push(Sample { hiccup_us_max, ..sample() });
        }
    }
    samples.push(Sample { hiccup_us_max: worst_us, ..sample() });
    (samples, hiccups)
}

/// Reads /proc. What has ended stays as it was last read; what this kernel does not tell is missing from the sample.
fn sample(processes: &[(String, u32)], (past, others): (&mut Past, &mut Others), clock: Clock) -> Sample {
    let mut parts = BTreeMap::new();
    for (name, pid) in processes {
        if let Ok(stat) = Process::new(*pid as i32).and_then(|process| process.stat()) {
            let rss_bytes = stat.rss * procfs::page_size();
            let ticks = past.ticks(name, *pid, stat.utime + stat.stime);
            parts.insert(name.clone(), (ticks, Some(rss_bytes), stat.num_threads as u64));
        } else if let Some(ticks) = past.ticks_so_far(name) {
            parts.insert(name.clone(), (ticks, None, 0));
        }
    }
    if let Ok((own, stat)) = Process::myself().and_then(|own| own.stat().map(|stat| (own, stat))) {
        let (ticks, threads) = (stat.utime + stat.stime, stat.num_threads as u64);
        parts.insert("harness".into(), (ticks, Some(stat.rss * procfs::page_size()), threads));
        let producers = ticks.saturating_sub(others.ticks(&own, threads));
        parts.insert("producers".into(), (producers, None, others.producers));
    }
    let CpuTicks { busy: busy_ticks, steal: steal_ticks, .. } = CpuTicks::now();
    let pressure_us = procfs::CpuPressure::current().map_or(0, |pressure| pressure.some.total);
    let written_kib =
        procfs::vmstat().ok().and_then(|counts| counts.get("pgpgout").copied()).unwrap_or(0).unsigned_abs();
    let at_us = clock.now_us();
    Sample { at_us, parts, busy_ticks, steal_ticks, pressure_us, hiccup_us_max: 0, work: work(), written_kib }
}

/// CPU time of a fixed piece of work that keeps the units of a core busy, and nothing of its memory: some 24 µs on a fast
/// core (results/log/2026-11-29-speed.md).
fn work() -> Duration {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let before = used();
    let mut lanes = std::array::from_fn::<u64, 8, _>(|lane| lane as u64 + 1);
    for round in 0..10_000 {
        lanes = lanes.map(|lane| lane.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ round);
    }
    std::hint::black_box(lanes);
    used().saturating_sub(before)
}

/// Mean time of one of so many, in ns.
pub fn each_ns(times: u32, mut what: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| what());
    start.elapsed().as_nanos() as f64 / f64::from(times)
}

fn row_ns() -> f64 {
    let at_us = 1_700_000_000_000_000;
    let stamp = Some(at_us + 3_000);
    let row = Row {
        source: "p0".into(),
        destination: "w3".into(),
        producer: 723,
        partition: 17,
        offset: Some(123_456),
        sequence: 599,
        scheduled_us: at_us,
        before_publish_us: stamp,
        after_publish_us: stamp,
        append_ms: Some(at_us / 1_000),
        after_consume_us: stamp,
        after_store_us: stamp,
        ..Row::default()
    };
    let mut line = Vec::with_capacity(256);
    each_ns(10_000, || {
        line.clear();
        std::hint::black_box(&row).append_csv(&mut line);
    })
}

fn costs(samples: &[&Sample]) -> Vec<Cost> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    let seconds = (last.at_us - first.at_us) as f64 / 1e6;
    let cost = |(name, (start, ..)): (&String, &(u64, Option<u64>, u64))| {
        let own = samples.iter().filter_map(|sample| sample.parts.get(name));
        let end = own.clone().next_back().map_or(*start, |(ticks, ..)| *ticks);
        Cost {
            name: name.clone(),
            cpu_cores: end.saturating_sub(*start) as f64 / procfs::ticks_per_second() as f64 / seconds.max(1e-3),
            rss_bytes_max: own.clone().filter_map(|(_, rss, _)| *rss).max(),
            threads_max: own.map(|(.., threads)| *threads).max().unwrap_or(0),
        }
    };
    first.parts.iter().map(cost).collect()
}

/// Without what is far below the ticks that the kernel counts in.
pub(crate) fn short(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}

fn seconds(samples: &[&Sample]) -> Vec<Second> {
    let ours = |sample: &Sample| -> u64 {
        // The producers are threads of the harness, which has them already.
        sample.parts.iter().filter(|(name, _)| *name != "producers").map(|(_, (ticks, ..))| ticks).sum()
    };
    let second = |pair: &[&Sample]| {
        let (from, to) = (pair[0], pair[1]);
        let elapsed_us = (to.at_us - from.at_us).max(1) as f64;
        let cores = |ticks: u64| short(ticks as f64 / procfs::ticks_per_second() as f64 / (elapsed_us / 1e6));
        let busy = to.busy_ticks.saturating_sub(from.busy_ticks);
        Second {
            at_us: to.at_us,
            foreign_cores: cores(busy.saturating_sub(ours(to).saturating_sub(ours(from)))),
            steal_cores: cores(to.steal_ticks.saturating_sub(from.steal_ticks)),
            cpu_pressure: short(to.pressure_us.saturating_sub(from.pressure_us) as f64 / elapsed_us),
            hiccup_ms_max: to.hiccup_us_max as f64 / 1000.0,
            work_us: to.work.as_nanos() as f64 / 1000.0,
            written_mb: short(to.written_kib.saturating_sub(from.written_kib) as f64 * 1024.0 / 1e6),
        }
    };
    samples.windows(2).map(second).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::machine::{
        clock::Anchor,
        process::{Child, Spawn, Streams, find_program},
    };

    /// Dies with its value, so also when a test fails.
    fn child(script: &str) -> Child {
        let sh = find_program("sh", None).unwrap();
        Spawn::new("child", sh, Streams::Piped).args(["-c", script]).start().unwrap()
    }

    #[test]
    fn a_process_that_is_started_again_goes_on_counting() {
        let mut past = Past::default();
        let ticks =
            [(7, 100), (7, 130), (9, 5), (9, 6), (11, 1)].map(|(pid, ticks)| past.ticks("worker 0", pid, ticks));
        assert_eq!(ticks, [100, 130, 135, 136, 137]);
        assert_eq!([past.ticks_so_far("worker 0"), past.ticks_so_far("worker 1")], [Some(137), None]);
    }

    #[test]
    fn what_a_process_used_that_has_ended_is_not_foreign() {
        let mut child = child("exec sleep 60");
        let (clock, mut past, mut others) = (Clock::new(Anchor::read()), Past::default(), Others::default());
        let pid = child.pid();
        let mut read = || sample(&[("child".into(), pid)], (&mut past, &mut others), clock);
        let alive = read();
        child.kill();
        child.wait().unwrap();
        let after = read();
        assert_eq!(alive.parts["child"].0, after.parts["child"].0);
    }

    #[test]
    fn what_goes_to_the_disk_is_counted() {
        // Beside this program, and not in a temporary directory, which may be memory.
        let program = std::env::current_exe().unwrap();
        let mut file = tempfile::tempfile_in(program.parent().unwrap()).unwrap();
        let (clock, mut past, mut others) = (Clock::new(Anchor::read()), Past::default(), Others::default());
        let mut read = || sample(&[], (&mut past, &mut others), clock);
        let before = read();
        std::io::Write::write_all(&mut file, &vec![0x5a; 32 << 20]).unwrap();
        file.sync_all().unwrap();
        let second = seconds(&[&before, &read()])[0];
        assert!(second.written_mb >= 32.0, "{second:?}");
    }

    /// A producer's time is told from that of other threads, and stays when both have ended.
    #[test]
    fn producers_are_told_from_the_other_threads() {
        let (clock, mut past, mut others) = (Clock::new(Anchor::read()), Past::default(), Others::default());
        let mut read = || sample(&[], (&mut past, &mut others), clock).parts;
        let before = read();
        let worked = Arc::new(Barrier::new(4));
        let threads = ["rdk:broker1", "producer-0", "collector"].map(|name| {
            let worked = Arc::clone(&worked);
            let work = move || {
                let mut used = Duration::ZERO;
                while used < Duration::from_millis(300) {
                    used += work();
                }
                worked.wait();
                worked.wait();
            };
            std::thread::Builder::new().name(name.into()).spawn(work).unwrap()
        });
        worked.wait();
        let amid = read();
        worked.wait();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let after = read();
        let used = |parts: &BTreeMap<String, (u64, Option<u64>, u64)>, name: &str| parts[name].0 - before[name].0;
        let [producers, harness] = ["producers", "harness"].map(|name| used(&amid, name));
        assert!(amid["producers"].2 >= 2 && producers >= 50 && harness >= producers + 25, "{producers} of {harness}");
        assert!(used(&after, "producers") >= 50, "what they used stays");
    }

    #[test]
    fn a_busy_child_is_seen_and_is_not_foreign() {
        let child = child("while :; do :; done");
        let clock = Clock::new(Anchor::read());
        let start_us = clock.now_us();
        let window = start_us..start_us + 10_000_000;
        let harness = Harness::start(vec![("child".into(), child.pid())], clock, window.clone()).unwrap();
        std::thread::sleep(Duration::from_millis(2_200));
        let proof = harness.finish(window);
        let cost = proof.costs.iter().find(|cost| cost.name == "child").unwrap();
        assert!(cost.cpu_cores > 0.01 && cost.rss_bytes_max > Some(0), "{cost:?}");
        assert!(proof.seconds.len() >= 2 && proof.hiccup.max_ms > 0.0 && proof.row_ns > Some(0.0));
        assert!(proof.seconds.iter().all(|second| second.work_us > 1.0), "{proof:?}");
        let written = serde_json::to_value(&proof).unwrap();
        assert_eq!(written["seconds"]["at_us"][1], proof.seconds[1].at_us);
        assert_eq!(written["seconds"]["work_us"][1], proof.seconds[1].work_us);
    }
}
