//! Where a value lies along an axis, and which values the axis names.

use crate::markdown;
use shasta_model::slo::SLO_MS;

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal differences are equal lengths.
    Linear {
        /// Value at the beginning.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Equal ratios are equal lengths.
    Log {
        /// Value at the beginning, above 0.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Percentiles: every further nine is an equal length, −log10(1 − p / 100).
    Nines {
        /// Nines at the end: 5 is p99.999.
        to: f64,
    },
}

/// A value that an axis names.
pub type Tick = (f64, String);

/// Latencies in ms are drawn between these: stamps are whole µs, and no run lasts a day and more.
const LOG_MS: (f64, f64) = (0.001, 1e8);

impl Scale {
    /// A linear one around all finite values, at round ends.
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite()).map(|value| value.clamp(-1e12, 1e12));
        let (from, to) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        let (from, to) = match () {
            () if from > to => (0.0, 1.0),
            () if to - from < 1e-9 * to.abs().max(1e-3) => {
                (from - from.abs().max(1.0) / 2.0, to + to.abs().max(1.0) / 2.0)
            }
            () => (from, to),
        };
        let step = step((to - from) / 5.0);
        Self::Linear { from: (from / step).floor() * step, to: (to / step).ceil() * step }
    }

    /// A logarithmic one around all latencies in ms and the SLO.
    pub fn log_ms(values: impl IntoIterator<Item = f64>) -> Self {
        Self::log(values.into_iter().chain([SLO_MS]))
    }

    /// A logarithmic one around all values above 0, at ends of one digit and at least a decade.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let drawn = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
        let drawn = drawn.map(|value| value.clamp(LOG_MS.0, LOG_MS.1));
        let (from, to) = drawn.fold((f64::INFINITY, 0.0_f64), |(a, b), value| (a.min(value), b.max(value)));
        let (from, to) = if from > to { (1.0, 1.0) } else { (from, to) };
        let from = one_digit(from, false);
        Self::Log { from, to: one_digit((to * 1.1).max(from * 10.0), true) }
    }

    /// Percentiles up to so many nines, from 2 to 9.
    pub fn nines(to: f64) -> Self {
        Self::Nines { to: if to.is_finite() { to.clamp(2.0, 9.0) } else { 5.0 } }
    }

    /// 0 at the axis' beginning, 1 at its end; values past them are drawn there.
    pub fn share(&self, value: f64) -> f64 {
        let share = match *self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, .. } if value <= from => 0.0,
            Self::Log { from, to } => (value / from).log10() / (to / from).log10(),
            Self::Nines { to } if value >= 100.0 => to,
            Self::Nines { to } => -(1.0 - value / 100.0).log10() / to,
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// The value at the axis' beginning.
    pub fn from(&self) -> f64 {
        match *self {
            Self::Linear { from, .. } | Self::Log { from, .. } => from,
            Self::Nines { .. } => 0.0,
        }
    }

    /// Round values along the axis, at most about `room` of them.
    pub fn ticks(&self, room: usize) -> Vec<Tick> {
        let room = room.max(2);
        match *self {
            Self::Linear { from, to } => {
                let step = step((to - from) / room as f64);
                let first = (from / step).ceil() as i64;
                let last = (to / step + 1e-9).floor() as i64;
                (first..=last).map(|k| k as f64 * step).map(|value| (value, number(value))).collect()
            }
            Self::Log { from, to } => log_ticks(from, to, room),
            Self::Nines { to } => {
                let names = ["0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999", "99.999999"];
                let shown = names.into_iter().take(to as usize + 2);
                shown.map(|name| (name.parse().unwrap_or_default(), name.to_owned())).collect()
            }
        }
    }
}

/// Decades, or 1, 2 and 5 of each where there is room for them, or every so manieth decade where there is little.
fn log_ticks(from: f64, to: f64, room: usize) -> Vec<Tick> {
    let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
    let inside = |value: &f64| *value >= from * (1.0 - 1e-9) && *value <= to * (1.0 + 1e-9);
    let decades: Vec<f64> = (first..=last).map(|k| 10_f64.powi(k)).collect();
    let values: Vec<f64> = if decades.len() * 3 <= room + 3 {
        decades.iter().flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * decade)).filter(inside).collect()
    } else {
        let every = decades.len().div_ceil(room);
        decades.into_iter().filter(inside).step_by(every).collect()
    };
    values.into_iter().map(|value| (value, number(value))).collect()
}

/// 1, 2 or 5 times a power of ten: the smallest that is no less than `least`.
fn step(least: f64) -> f64 {
    one_digit(least.max(1e-12), true)
}

fn one_digit(value: f64, upwards: bool) -> f64 {
    let decade = value.log10().floor() as i32;
    let candidates = (decade - 1..=decade + 1).flat_map(|k| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(k)));
    let near = 1e-9 * value;
    if upwards {
        candidates.filter(|candidate| *candidate >= value - near).fold(f64::INFINITY, f64::min)
    } else {
        candidates.filter(|candidate| *candidate <= value + near).fold(0.0, f64::max)
    }
}

/// A round number as people write it: `12,000`, `0.05`, `1.5`; never an exponent.
pub fn number(value: f64) -> String {
    let text = figure(value);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "−0" { "0".to_owned() } else { text.to_owned() }
}

/// A measured number with the three digits that count, zeros too, but never fewer than the whole ones: `56.0`, `12,000`.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 { "−" } else { "" };
    if size >= 1000.0 {
        return format!("{sign}{}", markdown::count(size.round() as u64));
    }
    let places = if size >= 1e-9 { (2 - size.log10().floor() as i32).clamp(0, 9) as usize } else { 0 };
    format!("{sign}{size:.places$}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(scale: Scale, room: usize) -> Vec<String> {
        scale.ticks(room).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn every_nine_is_as_long() {
        let nines = Scale::nines(5.0);
        for (p, share) in
            [(0.0, 0.0), (50.0, 0.0602), (90.0, 0.2), (99.0, 0.4), (99.99, 0.8), (99.999, 1.0), (100.0, 1.0)]
        {
            assert!((nines.share(p) - share).abs() < 1e-4, "p{p}");
        }
        assert_eq!(names(nines, 9), ["0", "50", "90", "99", "99.9", "99.99", "99.999"]);
    }

    #[test]
    fn numbers_have_no_exponents() {
        let numbers = [0.0, -0.0, 0.001, 0.05, 1.5, 99.99, 100.0, 12_000.0, -3.0, 1e8, 0.30000000000000004];
        let written = ["0", "0", "0.001", "0.05", "1.5", "100", "100", "12,000", "−3", "100,000,000", "0.3"];
        assert_eq!(numbers.map(number), written);
        assert_eq!([56.0, 0.0, -5.5, 123.4, 1234.5].map(figure), ["56.0", "0", "−5.50", "123", "1,235"]);
    }

    #[test]
    fn ends_are_round() {
        assert_eq!(Scale::log([3.0, 70.0]), Scale::Log { from: 2.0, to: 100.0 });
        assert_eq!(Scale::log([0.0, -4.0, f64::NAN, f64::INFINITY]), Scale::Log { from: 1.0, to: 10.0 });
        assert_eq!(Scale::log_ms([]), Scale::Log { from: 100.0, to: 1000.0 });
        assert_eq!(Scale::linear([0.0, 598.0]), Scale::Linear { from: 0.0, to: 600.0 });
        assert_eq!(
            names(Scale::log([1.0, 900.0]), 12),
            ["1", "2", "5", "10", "20", "50", "100", "200", "500", "1,000"]
        );
        assert_eq!(names(Scale::log([0.001, 1e8]), 5), ["0.001", "1", "1,000", "1,000,000"]);
    }

    proptest! {
        #[test]
        fn places_are_on_the_axis_and_in_order(mut values in prop::collection::vec(prop::num::f64::ANY, 0..20), room in 0..20usize) {
            for scale in [Scale::linear(values.clone()), Scale::log_ms(values.clone()), Scale::nines(values.len() as f64)] {
                let ticks = scale.ticks(room);
                prop_assert!(!ticks.is_empty() && ticks.len() <= 3 * room + 12, "{scale:?} {ticks:?}");
                prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{scale:?} {ticks:?}");
                prop_assert!(values.iter().all(|value| (0.0..=1.0).contains(&scale.share(*value))));
                values.retain(|value| !value.is_nan());
                values.sort_by(f64::total_cmp);
                prop_assert!(values.windows(2).all(|pair| scale.share(pair[0]) <= scale.share(pair[1])), "{scale:?} {values:?}");
            }
        }
    }
}
