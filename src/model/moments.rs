//! Mean and standard deviation of latencies, summed in whole numbers: threads, blocks and parts of a run add up to the same
//! figure, in whatever order, and nothing is lost where values are large and lie close together.
//!
//! They are `np.mean(x_us / 1000)` and `np.std(x_us / 1000)` (ddof 0) up to what NumPy itself rounds. An event without one
//! of its two stamps has no latency and is in neither: a table that shows them says how many such events there are.

/// The lower half of 128 bits.
const LOW: i128 = u64::MAX as i128;
/// So many squares of 32 bits are summed at once, far from what 64 bits hold.
const BLOCK: usize = 1 << 16;

/// How many latencies there are, their sum, and the sum of their squares; exact for up to 2^60 of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moments {
    n: u64,
    sum_us: i128,
    /// In multiples of 2^64, and what is left of each square: together 192 bits.
    squares: [i128; 2],
}

impl Moments {
    /// Of latencies in µs.
    pub fn of(latencies_us: impl IntoIterator<Item = i64>) -> Self {
        let mut moments = Self::default();
        latencies_us.into_iter().for_each(|us| moments.add(us, 1));
        moments
    }

    /// Adds a latency in µs that came `count` times.
    pub fn add(&mut self, us: i64, count: u64) {
        let square = i128::from(us) * i128::from(us);
        self.n += count;
        self.sum_us += i128::from(us) * i128::from(count);
        self.squares[0] += (square >> 64) * i128::from(count);
        self.squares[1] += (square & LOW) * i128::from(count);
    }

    /// Adds those of the latencies that are larger than `none`; smaller ones stand for something else.
    pub fn add_larger(&mut self, none: i32, latencies_us: &[i32]) {
        for block in latencies_us.chunks(BLOCK) {
            // The halves of a square apart, so that processors add several at once.
            let (mut n, mut sum, mut low, mut high) = (0_u32, 0_i64, 0_u64, 0_u64);
            for &us in block {
                let counts = us > none;
                let us = if counts { us } else { 0 };
                let square = u64::from(us.unsigned_abs()) * u64::from(us.unsigned_abs());
                n += u32::from(counts);
                sum += i64::from(us);
                low += square & u64::from(u32::MAX);
                high += square >> 32;
            }
            self.n += u64::from(n);
            self.sum_us += i128::from(sum);
            self.squares[1] += (i128::from(high) << 32) + i128::from(low);
        }
    }

    /// Adds another's latencies.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum_us += other.sum_us;
        self.squares[0] += other.squares[0];
        self.squares[1] += other.squares[1];
    }

    /// Latencies.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Their mean; none when there are none.
    pub fn mean_ms(&self) -> Option<f64> {
        let thousands = i128::from(self.n) * 1000;
        let whole = self.sum_us.checked_div(thousands)?;
        Some(whole as f64 + (self.sum_us % thousands) as f64 / thousands as f64)
    }

    /// Their standard deviation with ddof 0; none when there are none.
    pub fn sd_ms(&self) -> Option<f64> {
        let n = i128::from(self.n);
        // Deviations from the whole µs next to the mean, which are whole numbers.
        let middle = (2 * self.sum_us + n).checked_div_euclid(2 * n)?;
        let off = self.sum_us - n * middle;
        // Σ (x − middle)² = Σ x² − middle (2 Σ x − n middle), of which Σ x² and the product can have 192 bits.
        let factor = self.sum_us + off;
        let product = middle * (factor & LOW);
        let high = self.squares[0] - middle * (factor >> 64) - (product >> 64);
        let low = self.squares[1] - (product & LOW);
        let squares = (high + (low >> 64)) as f64 * 2_f64.powi(64) + (low & LOW) as f64;
        // At least twice as large as what is subtracted.
        let around_mean = squares - (off as f64).powi(2) / n as f64;
        Some((around_mean / (n as f64 * 1e6)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A Unix time in µs: what a latency is when one of its stamps is 0.
    const FAR: i64 = 1_800_000_000_000_000;

    fn figures(latencies_us: impl IntoIterator<Item = i64>) -> [Option<f64>; 2] {
        let moments = Moments::of(latencies_us);
        [moments.mean_ms(), moments.sd_ms()]
    }

    /// The answers of Python's `fractions` and `decimal`, in which nothing is rounded before the end:
    ///     s, q = sum(x_us), sum(x * x for x in x_us)
    ///     variance = Fraction(n * q - s * s, n * n * 10**6)
    ///     print(float(Fraction(s, n * 1000)), float((Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()))
    /// NumPy 2.4.6's stand beside them, made by `x = np.array(x_us) / 1000; print(np.mean(x).item(), np.std(x).item())`.
    fn assert_answers(x_us: impl IntoIterator<Item = i64>, exact: [f64; 2], numpy: [f64; 2]) {
        let figures = figures(x_us).map(Option::unwrap);
        for ((figure, exact), numpy) in figures.into_iter().zip(exact).zip(numpy) {
            let ulp = exact.abs() * f64::EPSILON;
            assert!((figure - exact).abs() <= 2.0 * ulp, "{figure}, exactly {exact}");
            // NumPy rounds each x to 53 bits, and sums what it has rounded.
            assert!(
                (figure - numpy).abs() <= 1e-13 * numpy.abs() + 1e-4 * f64::from(exact > 1e9),
                "{figure}, NumPy {numpy}"
            );
        }
    }

    #[test]
    fn known_answers() {
        assert_answers([12345], [12.345, 0.0], [12.345, 0.0]);
        assert_answers([-1500, 2500], [0.5, 2.0], [0.5, 2.0]);
        assert_answers([1000, 1000, 7777], [3.259, 3.1947084374008217], [3.2590000000000003, 3.1947084374008217]);
        assert_answers([5; 7], [0.005, 0.0], [0.005, 0.0]);
        let squares = (1..=1000).map(|k| k * k);
        assert_answers(squares, [333.8335, 298.421727779748], [333.83349999999996, 298.421727779748]);
        let around_zero = (0..5000).map(|k| k * 7919 % 10007 - 5000);
        assert_answers(around_zero, [0.0062156, 2.889365731560586], [0.006215600000000001, 2.8893657315605856]);
        let many = (0..200_003).map(|k| k * k % 999_983);
        assert_answers(many, [498.2275767863482, 288.9752156553844], [498.22757678634815, 288.97521565538443]);
        let nearly_none = [-1].into_iter().chain([0; 999]);
        assert_answers(nearly_none, [-1e-6, 3.1606961258558214e-5], [-1e-6, 3.160696125855823e-5]);
        let extremes = [FAR, -FAR, 0];
        assert_answers(extremes, [0.0, 1469693845669.9067], [0.0, 1469693845669.907]);
    }

    /// Where NumPy loses digits: its answers are 2.890076922404398 and 0.00048828125.
    #[test]
    fn large_values_close_together_lose_nothing() {
        let offset = (0..1000).map(|k| FAR + k * 7919 % 10007);
        assert_eq!(figures(offset), [Some(1800000000005.007), Some(2.8900764957486853)]);
        assert_eq!(figures([FAR, FAR + 1]), [Some(1800000000000.0005), Some(0.0005)]);
        assert_eq!(figures([i64::MIN; 5]), [Some(-9223372036854775.808), Some(0.0)]);
        // Squares of 126 bits: past 128 after a few.
        let ends = [i64::MIN, i64::MAX].into_iter().cycle().take(1000);
        assert_eq!(figures(ends), [Some(-0.0005), Some(9223372036854775.8075)]);
    }

    #[test]
    fn of_nothing_there_is_none() {
        assert_eq!(figures([]), [None, None]);
    }

    proptest! {
        #[test]
        fn parts_blocks_and_counts_add_up(
            latencies_us in prop::collection::vec(prop_oneof![
                4 => -70_000_i64..200_000, 1 => i64::from(i32::MIN)..=i64::from(i32::MAX), 1 => Just(0)
            ], 1..300),
            at in any::<prop::sample::Index>(), count in 1_u64..5,
        ) {
            let whole = Moments::of(latencies_us.iter().copied());
            let (left, right) = latencies_us.split_at(at.index(latencies_us.len()));
            let mut parts = Moments::of(right.iter().copied());
            parts.merge(&Moments::of(left.iter().copied()));
            prop_assert_eq!(parts, whole);

            let small: Vec<i32> = latencies_us.iter().map(|&us| us as i32).collect();
            let mut blocks = Moments::default();
            blocks.add_larger(-50_000, &small);
            prop_assert_eq!(blocks, Moments::of(latencies_us.iter().copied().filter(|&us| us > -50_000)));

            let mut counted = Moments::default();
            latencies_us.iter().for_each(|&us| counted.add(us, count));
            prop_assert_eq!(counted.n(), whole.n() * count);
            prop_assert_eq!(counted.mean_ms(), whole.mean_ms());
            let [counted, whole] = [counted, whole].map(|moments| moments.sd_ms().unwrap());
            prop_assert!((counted - whole).abs() <= 4.0 * f64::EPSILON * whole);
        }

        #[test]
        fn the_offset_of_all_moves_the_mean_alone(
            latencies_us in prop::collection::vec(-200_000_i64..200_000, 1..300), offset_us in -FAR..FAR,
        ) {
            let [mean, sd] = figures(latencies_us.iter().copied()).map(Option::unwrap);
            let [moved, same] = figures(latencies_us.iter().map(|us| us + offset_us)).map(Option::unwrap);
            prop_assert!((moved - mean - offset_us as f64 / 1000.0).abs() < 1e-3);
            prop_assert!((sd - same).abs() <= 4.0 * f64::EPSILON * sd);
        }
    }
}
