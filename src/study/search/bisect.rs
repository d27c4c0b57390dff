//! Which value is tried next: pure, so that it can be proven without a cluster.

/// A bracket is narrow enough when its upper bound is at most so many times its lower one.
const NARROW: f64 = 1.15;
/// A bracket is sought at most so many times above the first value, and below it: eight doublings.
const WIDEN_MAX: f64 = 256.0;
/// Runs of each side of the last bracket, the one that found it included.
const REPEATS: usize = 3;

/// On which side of the limit a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The percentile was within the limit.
    Within,
    /// It was past it.
    Past,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Within => Self::Past,
            Self::Past => Self::Within,
        }
    }
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Bisection {
    whole: bool,
    given: bool,
    /// The first value where no bounds are given, else both.
    start: [f64; 2],
    tried: Vec<(f64, Side)>,
}

impl Bisection {
    /// Between given bounds.
    pub fn between(bounds: [f64; 2], whole: bool) -> Self {
        Self { whole, given: true, start: bounds, tried: Vec::new() }
    }

    /// From a value on, doubled while it is within the limit, halved while it is past it.
    pub fn from(value: f64, whole: bool) -> Self {
        Self { whole, given: false, start: [value, value], tried: Vec::new() }
    }

    /// Takes in what a run at `value` came out as.
    pub fn record(&mut self, value: f64, side: Side) {
        self.tried.push((value, side));
    }

    /// The largest value below all that are past the limit, and the smallest that is past it.
    pub fn bracket(&self) -> [Option<f64>; 2] {
        let of = |side| self.tried.iter().map(|(value, _)| *value).filter(move |value| self.side_of(*value) == side);
        let past = of(Side::Past).reduce(f64::min);
        let within = of(Side::Within).filter(|value| past.is_none_or(|past| *value < past)).reduce(f64::max);
        [within, past]
    }

    /// Runs at a value.
    pub fn runs(&self, value: f64) -> usize {
        self.tried.iter().filter(|(other, _)| *other == value).count()
    }

    /// Those of them that came out so.
    pub fn runs_that_were(&self, side: Side, value: f64) -> usize {
        self.tried.iter().filter(|tried| **tried == (value, side)).count()
    }

    /// Where most runs of a value that was tried came out; where they are even, the first.
    fn side_of(&self, value: f64) -> Side {
        let first = self.tried.iter().find(|(other, _)| *other == value).map_or(Side::Within, |(_, side)| *side);
        if self.runs_that_were(first, value) * 2 >= self.runs(value) { first } else { first.other() }
    }

    /// The next value to try; none when both sides of a narrow bracket have been repeated. Where a repeat turns a side over,
    /// the search goes on from there: the first run of a search, on brokers that have just started, is often past a limit
    /// that the same load is within later.
    ///
    /// # Errors
    /// When there is no bracket: the limit is not between the bounds, or was not met while they were sought.
    pub fn next(&self) -> Result<Option<f64>, String> {
        let [low, high] = self.start;
        if self.tried.is_empty() {
            return Ok(Some(low));
        }
        match self.bracket() {
            [Some(within), Some(past)] => Ok(self.narrower(within, past).or_else(|| {
                let again = [within, past].into_iter().min_by_key(|value| self.runs(*value));
                again.filter(|value| self.runs(*value) < REPEATS)
            })),
            // One run is not enough to say that the bounds do not bracket.
            [_, past] if self.given => {
                let (bound, side, words) = match past {
                    Some(_) => (low, Side::Past, "past the limit: give a smaller lower bound"),
                    None => (high, Side::Within, "within the limit: give a larger upper bound"),
                };
                let settled = self.runs_that_were(side, bound) > REPEATS / 2;
                if settled { Err(format!("even {bound} is {words}")) } else { Ok(Some(bound)) }
            }
            [within, past] => self.wider(within, past),
        }
    }

    /// A value between two, in the middle as ratios go; none when they are close.
    fn narrower(&self, within: f64, past: f64) -> Option<f64> {
        if past <= within * NARROW {
            return None;
        }
        let middle = (within * past).sqrt();
        let middle = if self.whole { middle.round() } else { three_digits(middle) };
        (within < middle && middle < past).then_some(middle)
    }

    fn wider(&self, within: Option<f64>, past: Option<f64>) -> Result<Option<f64>, String> {
        let next = match (within, past) {
            (Some(within), None) => within * 2.0,
            (None, Some(past)) if self.whole => (past / 2.0).floor(),
            (None, Some(past)) => past / 2.0,
            _ => return Ok(None),
        };
        let limit = |side: &str| Err(format!("no value {side} the limit was found on the way to {next}: give bounds"));
        let from_start = next / self.start[0];
        match (1.0 / WIDEN_MAX..=WIDEN_MAX).contains(&from_start) {
            true => Ok(Some(next)),
            false => limit(if past.is_none() { "past" } else { "within" }),
        }
    }
}

/// Three digits are as much as a person wants to type again.
fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(mut search: Bisection, breaks_at: f64) -> Result<Bisection, String> {
        for _ in 0..100 {
            let Some(value) = search.next()? else { return Ok(search) };
            search.record(value, if value < breaks_at { Side::Within } else { Side::Past });
        }
        panic!("it does not end: {search:?}");
    }

    proptest! {
        #[test]
        fn the_border_is_found_and_both_sides_repeated(
            breaks_at in 1.5_f64..9_000.0, start in 1_u32..3_000, whole: bool, given: bool
        ) {
            let start = f64::from(start);
            let search = if given { Bisection::between([1.0, 10_000.0], whole) } else { Bisection::from(start, whole) };
            let Ok(found) = run(search, breaks_at) else {
                // Too far from where it was to begin.
                prop_assert!(!given && !(0.01..100.0).contains(&(breaks_at / start)), "{breaks_at} from {start}");
                return Ok(());
            };
            let [Some(within), Some(past)] = found.bracket() else { panic!("{found:?}") };
            prop_assert!(within < breaks_at && breaks_at <= past);
            prop_assert!(past <= within * NARROW || (whole && past - within <= 1.0), "{within} to {past}");
            for side in [within, past] {
                prop_assert_eq!(found.runs(side), REPEATS);
            }
            prop_assert!(found.tried.len() < 40, "{:?}", found.tried);
        }
    }

    #[test]
    fn bounds_that_do_not_bracket_are_told() {
        let between = || Bisection::between([10.0, 20.0], true);
        assert!(run(between(), 5.0).unwrap_err().contains("even 10 is past the limit: give a smaller lower bound"));
        assert!(run(between(), 99.0).unwrap_err().contains("even 20 is within the limit: give a larger upper bound"));
        assert!(run(Bisection::from(1.0, true), 0.5).unwrap_err().contains("give bounds"));
        assert!(run(Bisection::from(1.0, true), 1e9).unwrap_err().contains("no value past the limit"));
    }

    proptest! {
        #[test]
        fn it_ends_where_runs_near_the_border_come_out_either_way(
            start in 8_u32..3_000, whole: bool, given: bool, noise in prop::collection::vec(any::<bool>(), 200)
        ) {
            let breaks_at = 1_000.0;
            let bounds = [1.0, 10_000.0];
            let mut search =
                if given { Bisection::between(bounds, whole) } else { Bisection::from(f64::from(start), whole) };
            for turned in noise {
                let Some(value) = search.next().expect("far from the border none is turned") else { break };
                let near = (0.7..1.4).contains(&(value / breaks_at));
                let within = (value < breaks_at) != (near && turned);
                search.record(value, if within { Side::Within } else { Side::Past });
            }
            prop_assert_eq!(search.next(), Ok(None));
            let [Some(within), Some(past)] = search.bracket() else { panic!("{search:?}") };
            prop_assert!(within < past && past <= within * NARROW && (600.0..1_600.0).contains(&within), "{within} to {past}");
            for (value, side) in [(within, Side::Within), (past, Side::Past)] {
                prop_assert!(search.runs_that_were(side, value) * 2 > REPEATS, "{search:?}");
            }
        }
    }

    #[test]
    fn one_repeat_that_comes_out_otherwise_does_not_move_the_bracket_and_two_do() {
        let mut search = Bisection::between([10.0, 11.0], true);
        for (value, side) in [(10.0, Side::Within), (11.0, Side::Past), (10.0, Side::Past), (11.0, Side::Past)] {
            search.record(value, side);
        }
        assert_eq!(search.bracket(), [Some(10.0), Some(11.0)]);
        assert_eq!(search.next(), Ok(Some(10.0)));
        search.record(10.0, Side::Past);
        assert_eq!(search.bracket(), [None, Some(10.0)]);
        assert!(search.next().unwrap_err().contains("even 10 is past the limit"));

        let mut low = Bisection::between([10.0, 20.0], true);
        low.record(10.0, Side::Past);
        assert_eq!(low.next(), Ok(Some(10.0)), "a bound is tried twice before there is no bracket");
        low.record(10.0, Side::Within);
        assert_eq!(low.next(), Ok(Some(10.0)));
        low.record(10.0, Side::Within);
        assert_eq!(low.next(), Ok(Some(20.0)));

        let mut cold = Bisection::from(1_000.0, true);
        for (value, side) in
            [(1_000.0, Side::Past), (500.0, Side::Within), (707.0, Side::Within), (841.0, Side::Within)]
        {
            assert_eq!(cold.next(), Ok(Some(value)));
            cold.record(value, side);
        }
        for value in [917.0, 917.0, 1_000.0, 917.0, 1_000.0] {
            assert_eq!(cold.next(), Ok(Some(value)));
            cold.record(value, Side::Within);
        }
        assert_eq!(cold.next(), Ok(Some(2_000.0)), "most say that it is within");
    }
}
