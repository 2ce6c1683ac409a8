//! Numbers as one reads them.

/// Seconds with three digits and the unit that suits.
pub(super) fn seconds(value: f64) -> String {
    match value {
        v if v >= 1.0 => format!("{} s", three_digits(v)),
        v if v >= 1e-3 => format!("{} ms", three_digits(v * 1e3)),
        v => format!("{} µs", three_digits(v * 1e6)),
    }
}

/// Bytes in MiB.
pub(super) fn mib(bytes: f64) -> String {
    format!("{:.1}", bytes / 1_048_576.0)
}

/// Bytes in the unit that suits, for what one more of something costs.
pub(super) fn bytes(value: f64) -> String {
    match value {
        v if v >= 1_048_576.0 => format!("{} MiB", three_digits(v / 1_048_576.0)),
        v if v >= 10_240.0 => format!("{} KiB", three_digits(v / 1024.0)),
        v => format!("{v:.0} bytes"),
    }
}

/// `10 000`, with such a space; numbers of four digits have none.
pub(super) fn grouped(number: u64, space: char) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(space);
        }
        text.push(digit);
    }
    text
}

/// Three digits that count, as far as they lie behind the point.
pub(super) fn three_digits(value: f64) -> String {
    let digits = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// So many points of curves.
pub(super) fn points_of_curves(count: usize) -> String {
    match count {
        1 => "1 point of a curve".to_owned(),
        _ => format!("{count} points of curves"),
    }
}

/// `mark` when it is extrapolated, before the text.
pub(super) fn marked(extrapolated: bool, text: String) -> String {
    if extrapolated { format!("~{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(seconds(200.4), "200 s");
        assert_eq!(seconds(1.0), "1.00 s");
        assert_eq!(seconds(0.0231), "23.1 ms");
        assert_eq!(seconds(0.000_004_2), "4.20 µs");
        assert_eq!(three_digits(99.96), "100");
        assert_eq!(
            (grouped(9_999, ' '), grouped(1_234_567, ' ')),
            ("9999".into(), "1 234 567".into())
        );
        assert_eq!(bytes(194.0), "194 bytes");
        assert_eq!(bytes(16_384.0), "16.0 KiB");
        assert_eq!(bytes(2_500_000.0), "2.38 MiB");
        assert_eq!(marked(true, seconds(2.0)), "~2.00 s");
    }

    #[test]
    fn one_point_is_of_one_curve() {
        assert_eq!(points_of_curves(1), "1 point of a curve");
        assert_eq!(points_of_curves(2), "2 points of curves");
    }
}
