//! A random sequence of faults, made from a number alone, so that a run that went wrong can be repeated.

use std::{fmt, time::Duration};

use super::{Action, BROKERS_LOCAL, Fault, Link, Party, Target};
use crate::{
    event::schedule::hash,
    variant::{Span, Variant},
};

/// No fault begins before this, so that there is a "before".
const QUIET_BEFORE_MS: u64 = 2_000;
/// All faults are over so long before the window ends, so that there is an "after".
const QUIET_AFTER_MS: u64 = 8_000;
/// A process that was started again is given so long to be whole: a broker has to load and to catch up.
const BROKER_BACK_MS: u64 = 8_000;
const OTHER_BACK_MS: u64 = 2_000;
/// A rolling restart of all brokers.
const ROLLING_MS: u64 = 40_000;
const FAULTS_MAX: usize = 6;
/// Draws for one sequence; those that do not fit are left out.
const DRAWS: u64 = 12;

/// What cannot be down twice at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Any broker: two of three must stay, or nothing is acked.
    Brokers,
    Worker(u32),
    Redis,
}

/// A fault that was drawn, and the time that it has for itself, in ms from the window's start.
struct Draw {
    fault: Fault,
    share: Share,
    until_ms: u64,
}

/// Random numbers of one seed, one after the other.
struct Dice {
    seed: u64,
    rolled: u64,
}

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.rolled += 1;
        hash(self.seed, STREAM, self.rolled) % sides
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len() as u64) as usize]
    }
}

/// The schedule draws from the same seed with connections' numbers.
const STREAM: u64 = u64::MAX - 1;

/// The faults of a seed, in the order in which they begin: the same for the same seed, window and workers. At most one
/// broker is down or cut off at a time, the last fault is over 8 s before the window ends, and none needs more than a
/// local cluster without readers or replicas has. Empty where the window is too short.
pub fn from_seed(seed: u64, variant: &Variant) -> Vec<Fault> {
    let end_ms = (variant.duration.0.as_millis() as u64).saturating_sub(QUIET_AFTER_MS);
    let mut dice = Dice { seed, rolled: 0 };
    let count_max = 1 + dice.roll(FAULTS_MAX as u64) as usize;
    let mut draws: Vec<Draw> = Vec::new();
    for _ in 0..DRAWS {
        if draws.len() == count_max || end_ms <= QUIET_BEFORE_MS {
            break;
        }
        let draw = draw(&mut dice, end_ms, variant.workers);
        let start_ms = |draw: &Draw| draw.fault.at.0.as_millis() as u64;
        let overlaps = |other: &Draw| {
            other.share == draw.share && start_ms(other) < draw.until_ms && start_ms(&draw) < other.until_ms
        };
        if draw.until_ms <= end_ms && !draws.iter().any(overlaps) {
            draws.push(draw);
        }
    }
    let mut faults: Vec<_> = draws.into_iter().map(|draw| draw.fault).collect();
    faults.sort_by_key(|fault| fault.at.0);
    faults
}

fn draw(dice: &mut Dice, end_ms: u64, workers: u32) -> Draw {
    let start_ms = QUIET_BEFORE_MS + dice.roll(end_ms - QUIET_BEFORE_MS);
    let broker = 1 + dice.roll(BROKERS_LOCAL.into()) as u32;
    let worker = dice.roll(workers.into()) as u32;
    let struck = dice.one_of(&[Target::Broker(broker), Target::Controller, Target::Worker(worker), Target::Redis]);
    let long_ms = dice.one_of(&[300, 2_000, 5_000, 10_000]);
    let delay = Span(Duration::from_millis(dice.one_of(&[1, 5, 20])));
    let other = 1 + broker % BROKERS_LOCAL;
    let (a, b, share) = dice.one_of(&[
        (Party::Producers, Party::Broker(broker), Share::Brokers),
        (Party::Workers, Party::Broker(broker), Share::Brokers),
        (Party::Broker(broker), Party::Broker(other), Share::Brokers),
        (Party::Workers, Party::Redis, Share::Redis),
    ]);
    let (of, back_ms) = match struck {
        Target::Broker(_) | Target::Controller => (Share::Brokers, BROKER_BACK_MS),
        Target::Worker(worker) => (Share::Worker(worker), OTHER_BACK_MS),
        Target::Redis => (Share::Redis, OTHER_BACK_MS),
    };
    // Processes are struck most often: that is what happens most.
    let (what, share, lasts_ms, back_ms) = match dice.roll(12) {
        0..=2 => (Action::Kill(struck), of, Some(long_ms), back_ms),
        3..=4 => (Action::Pause(struck), of, Some(long_ms), back_ms),
        5..=6 => (Action::Restart(struck), of, None, back_ms),
        7 => (Action::FlushScripts, Share::Redis, None, 0),
        8 => (Action::FillRedis, Share::Redis, Some(long_ms), OTHER_BACK_MS),
        9 => (Action::RollingRestart, Share::Brokers, None, ROLLING_MS),
        10 => (Action::Cut(Link { a, b }), share, Some(long_ms), OTHER_BACK_MS),
        _ => (Action::Delay(Link { a, b }, delay), share, Some(long_ms), 0),
    };
    let span = |ms| Span(Duration::from_millis(ms));
    let fault = Fault { what, at: span(start_ms), lasts: lasts_ms.map(span) };
    Draw { fault, share, until_ms: start_ms + lasts_ms.unwrap_or(0) + back_ms }
}

/// Faults for people: as flags that ask for the same.
pub struct Flags<'a>(pub &'a [Fault]);

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.0.iter().map(|fault| format!("--fault '{fault}'")).collect();
        f.write_str(&flags.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn variant(duration_s: u64) -> Variant {
        Variant { duration: Span(Duration::from_secs(duration_s)), ..crate::cluster::tests::variant() }
    }

    #[test]
    fn a_seed_is_its_faults_for_ever() {
        let told = Flags(&from_seed(1, &variant(40))).to_string();
        assert_eq!(
            told,
            "--fault 'restart redis at 2s208ms' --fault 'pause worker 0 at 4s693ms for 5s' --fault 'kill broker 2 at 9s334ms for 10s' \
             --fault 'restart redis at 10s966ms' --fault 'pause redis at 14s558ms for 10s' --fault 'kill worker 0 at 14s777ms for 5s'"
        );
        assert_eq!(from_seed(1, &variant(10)), []);
        assert_eq!(from_seed(1, &variant(0)), []);
    }

    #[test]
    fn every_kind_comes() {
        let kind = |fault: &Fault| fault.what.to_string().split(' ').next().unwrap().to_owned();
        let faults: Vec<_> = (0..300).flat_map(|seed| from_seed(seed, &variant(90))).collect();
        let kinds: HashSet<_> = faults.iter().map(kind).collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}");
        assert!(faults.len() > 600, "{}", faults.len());
        assert!((0..300).all(|seed| !from_seed(seed, &variant(90)).is_empty()));
    }

    fn disturbs_a_broker(fault: &Fault) -> bool {
        match fault.what {
            Action::Kill(target) | Action::Pause(target) | Action::Restart(target) => {
                matches!(target, Target::Broker(_) | Target::Controller)
            }
            Action::RollingRestart => true,
            Action::Cut(Link { a, b }) => matches!((a, b), (Party::Broker(_), _) | (_, Party::Broker(_))),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn faults_are_possible_over_in_time_and_leave_two_brokers(seed: u64, duration_s in 0u64..600) {
            let variant = variant(duration_s);
            let faults = from_seed(seed, &variant);
            prop_assert_eq!(&faults, &from_seed(seed, &variant));
            let end = |fault: &Fault| fault.at.0 + fault.lasts.map_or(Duration::ZERO, |lasts| lasts.0);
            for fault in &faults {
                prop_assert_eq!(fault.check(&variant), Ok(()));
                prop_assert_eq!(&fault.to_string().parse::<Fault>().unwrap(), fault);
                prop_assert!(end(fault) + Duration::from_secs(8) <= variant.duration.0);
            }
            let brokers: Vec<_> = faults.iter().filter(|fault| disturbs_a_broker(fault)).collect();
            prop_assert!(brokers.windows(2).all(|pair| end(pair[0]) < pair[1].at.0));
        }
    }
}
