//! Whether this machine has other work: before a run starts, and over its window.
//!
//! The criterion is one for both. Others are all processes that are not of the run, and over the window also the hypervisor,
//! which gives the CPU time to other machines. A second in which others have a quarter of the machine's CPU time or more is
//! a busy one, and a run with more than one such second in twenty was made on a busy machine. Of 120 recorded runs, those on
//! machines of their own have at most one in forty.

use std::time::Duration;

use procfs::{Current, LoadAverage, process::Process};

use crate::machine::harness::{CpuTicks, short};
use shasta_model::manifest::harness::{Before, Second};

/// What others take of the machine's CPU time where it is busy.
const SHARE_MIN: f64 = 0.25;
/// Busy seconds among all of a busy window.
const SECONDS_MIN: f64 = 0.05;
/// How long the machine is looked at before a run starts.
const LOOK: Duration = Duration::from_millis(500);
/// How often tasks are counted in that time.
const LOOKS: u32 = 20;

/// Looks for half a second at what else this machine has to do. `own` are processes of the run's that are there already.
pub fn look(own: &[(String, u32)]) -> Before {
    let used = || {
        let ticks = |process: Result<Process, _>| {
            process.and_then(|process| process.stat()).map_or(0, |stat| stat.utime + stat.stime)
        };
        let children: u64 = own.iter().map(|(_, pid)| ticks(Process::new(*pid as i32))).sum();
        CpuTicks::now().busy.saturating_sub(children + ticks(Process::myself()))
    };
    let (used_before, mut runnable) = (used(), 0);
    for _ in 0..LOOKS {
        std::thread::sleep(LOOK / LOOKS);
        // This thread is one of them.
        runnable += LoadAverage::current().map_or(0, |load| load.cur.saturating_sub(1));
    }
    let used_ticks = used().saturating_sub(used_before);
    Before {
        runnable_tasks: short(f64::from(runnable) / f64::from(LOOKS)),
        other_cores: short(used_ticks as f64 / procfs::ticks_per_second() as f64 / LOOK.as_secs_f64()),
        cores: CpuTicks::now().cores as f64,
    }
}

fn is_busy(before: &Before) -> bool {
    before.other_cores >= SHARE_MIN * before.cores.max(1.0)
}

/// A line for who starts a run on a busy machine.
pub fn warning(before: &Before) -> Option<String> {
    is_busy(before).then(|| {
        format!(
            "busy machine: {} use {:.1} of its {:.0} cores; what is measured beside them describes the machine, not Kafka",
            tasks(before),
            before.other_cores,
            before.cores
        )
    })
}

fn tasks(before: &Before) -> String {
    let tasks = before.runnable_tasks.round();
    format!("{tasks:.0} other runnable {}", if tasks == 1.0 { "task" } else { "tasks" })
}

/// That the machine was busy over the window, whose seconds these are, and with how much. The brokers of an external cluster may
/// be among the others.
pub fn over(seconds: &[Second], before: &Before, external: bool) -> Option<String> {
    let cores = before.cores.max(1.0);
    let count = seconds.len() as f64;
    let busy = seconds.iter().filter(|second| second.foreign_cores + second.steal_cores >= SHARE_MIN * cores).count();
    if count == 0.0 || busy as f64 <= SECONDS_MIN * count {
        return None;
    }
    let mean = |part: fn(&Second) -> f64| seconds.iter().map(part).sum::<f64>() / count;
    let tasks = if is_busy(before) { format!("; {} before the start", tasks(before)) } else { String::new() };
    Some(format!(
        "busy machine: other processes used {:.1} of its {cores:.0} cores and CPU steal was {:.1}, a quarter or more of the \
         CPU time in {:.0} % of the seconds{tasks}; {}these figures describe the machine, not Kafka",
        mean(|second| second.foreign_cores),
        mean(|second| second.steal_cores),
        100.0 * busy as f64 / count,
        if external { "unless those are the cluster itself, " } else { "" },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::process::{Child, Spawn, Streams, find_program};

    const BEFORE: Before = Before { runnable_tasks: 12.4, other_cores: 1.96, cores: 2.0 };

    fn second(foreign_cores: f64, steal_cores: f64) -> Second {
        Second {
            at_us: 0,
            foreign_cores,
            steal_cores,
            cpu_pressure: 0.9,
            hiccup_ms_max: 1.0,
            work_us: 30.0,
            written_mb: 0.0,
        }
    }

    #[test]
    fn one_busy_second_in_twenty_is_not_a_busy_machine_and_more_are() {
        let window = |busy: usize| (0..100).map(|i| second(if i < busy { 0.4 } else { 0.02 }, 0.1)).collect::<Vec<_>>();
        assert_eq!(over(&window(5), &BEFORE, false), None);
        assert_eq!(over(&[], &BEFORE, false), None);
        let told = over(&window(6), &BEFORE, false).unwrap();
        let parts = ["used 0.0 of its 2 cores and CPU steal was 0.1", "in 6 % of", "; 12 other runnable tasks before"];
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert!(
            over(&window(6), &BEFORE, true)
                .unwrap()
                .ends_with("; unless those are the cluster itself, these figures describe the machine, not Kafka")
        );
        let of_many = Before { cores: 64.0, other_cores: 2.0, ..BEFORE };
        assert_eq!(
            (over(&window(100), &of_many, false), warning(&of_many)),
            (None, None),
            "0.5 of 64 cores are nothing"
        );
        assert!(
            warning(&BEFORE).unwrap().starts_with("busy machine: 12 other runnable tasks use 2.0 of its 2 cores; ")
        );
    }

    /// Dies with its value.
    fn busy_child() -> Child {
        let sh = find_program("sh", None).unwrap();
        Spawn::new("child", sh, Streams::Piped).args(["-c", "while :; do :; done"]).start().unwrap()
    }

    #[test]
    fn a_known_load_is_seen_unless_it_is_the_runs_own() {
        let cores = CpuTicks::now().cores;
        let children: Vec<_> = (0..2 * cores).map(|_| busy_child()).collect();
        let before = look(&[]);
        assert!(before.runnable_tasks >= cores as f64 && before.cores == cores as f64, "{before:?}");
        assert!(warning(&before).unwrap().contains("runnable tasks"), "{before:?}");
        let own: Vec<_> = children.iter().map(|child| ("child".to_owned(), child.pid())).collect();
        let beside = look(&own);
        assert!(beside.other_cores < before.other_cores.max(beside.cores), "{beside:?} of {before:?}");
    }
}
