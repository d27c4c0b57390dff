//! Fields of recorded lines as numbers: the inner loop of reading CSV, eight digits at a time.

/// Digits that always fit 63 bits; longer numbers take the slow way, which knows where 64 bits end.
const DIGITS_THAT_FIT: usize = 18;

/// The non-negative integer that begins at `at`, and where it ends. None when there are no digits or too many for the
/// fast way; what stands there then, a sign perhaps, is for [`slow`].
#[inline]
pub fn digits(line: &[u8], at: usize) -> Option<(i64, usize)> {
    let (mut value, mut end) = (0_u64, at);
    while end - at + 8 <= DIGITS_THAT_FIT
        && let Some(eight) = line.get(end..end + 8).and_then(|bytes| bytes.try_into().ok()).and_then(eight_digits)
    {
        value = value * 100_000_000 + eight;
        end += 8;
    }
    while let Some(&byte) = line.get(end)
        && byte.is_ascii_digit()
    {
        if end - at == DIGITS_THAT_FIT {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
        end += 1;
    }
    (end > at).then_some((value as i64, end))
}

/// Any integer of 64 bits.
pub fn slow(field: &[u8]) -> Option<i64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The value of eight ASCII digits: pairs, then fours, then all eight are put together in one register.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // A digit less '0' is at most 9, so that adding 0x76 leaves its high bit clear.
    let values = u64::from_le_bytes(bytes) ^ ZEROS;
    if (values.wrapping_add(0x7676_7676_7676_7676) | values) & HIGH_BITS != 0 {
        return None;
    }
    let pairs = (values * 10) + (values >> 8);
    let high = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    Some(high.wrapping_add(low) >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_where_the_digits_do() {
        assert_eq!(digits(b"0,", 0), Some((0, 1)));
        assert_eq!(digits(b"x1795591769669639,1", 1), Some((1_795_591_769_669_639, 17)));
        assert_eq!(digits(b"999999999999999999", 0), Some((999_999_999_999_999_999, 18)));
        for none in ["", ",", "-1", "+1", " 1", "1234567890123456789"] {
            assert_eq!(digits(none.as_bytes(), 0), None, "{none}");
        }
        assert_eq!(digits(b"12345678x", 0), Some((12_345_678, 8)));
        assert_eq!(digits(b"1234567:", 0), Some((1_234_567, 7)), "the byte after 9");
    }

    #[test]
    fn the_slow_way_knows_where_64_bits_end() {
        assert_eq!(slow(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(slow(b"-5"), Some(-5));
        for none in [&b"9223372036854775808"[..], b"1.0", b" 1", b"", b"\xff"] {
            assert_eq!(slow(none), None);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_parser(number in 0_u64..1_000_000_000_000_000_000, tail in "[^0-9]?[0-9]{0,9}") {
            let text = format!("{number}");
            prop_assume!(!tail.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert_eq!(digits(format!("{text}{tail}").as_bytes(), 0), Some((number as i64, text.len())));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0_usize..40) {
            if let Some((value, end)) = digits(&bytes, at) {
                prop_assert_eq!(slow(&bytes[at..end]), Some(value));
            }
        }
    }
}
