//! Numbers as they stand in the report: short on axes, with three digits beside bars.

use crate::bench::text;

/// What a number counts, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    /// Resident memory; the scale is in MiB.
    Mebibytes,
    /// Memory of one thing; the scale is in bytes.
    Bytes,
    /// Things, or things a second.
    Count,
}

impl Unit {
    /// Beside a mark of an axis: as short as it can be.
    pub(super) fn tick(self, value: f64) -> String {
        match self {
            Self::Seconds => match value {
                0.0 => "0".to_owned(),
                v if v >= 0.999 => format!("{} s", bare(v)),
                v if v >= 0.000_999 => format!("{} ms", bare(v * 1e3)),
                v if v >= 0.000_000_999 => format!("{} µs", bare(v * 1e6)),
                v => format!("{} ns", bare(v * 1e9)),
            },
            Self::Bytes => match value {
                v if v >= 999_999.0 => format!("{} MB", bare(v / 1e6)),
                v if v >= 9_999.0 => format!("{} kB", bare(v / 1e3)),
                v => format!("{} B", bare(v)),
            },
            Self::Mebibytes if value >= 1023.0 => format!("{} GiB", bare(value / 1024.0)),
            Self::Mebibytes => format!("{} MiB", bare(value)),
            Self::Count => match value {
                v if v >= 999_999.0 => format!("{} M", bare(v / 1e6)),
                v if v >= 9_999.0 => format!("{} k", bare(v / 1e3)),
                v => bare(v),
            },
        }
    }

    /// Beside a bar or in a table: three digits.
    pub(super) fn full(self, value: f64) -> String {
        match self {
            Self::Seconds => seconds(value),
            Self::Bytes => text::bytes(value),
            Self::Mebibytes if value >= 1024.0 => {
                format!("{} GiB", text::three_digits(value / 1024.0))
            }
            Self::Mebibytes => format!("{} MiB", text::three_digits(value)),
            Self::Count if value >= 999.5 => grouped(value.round() as u64),
            Self::Count => text::three_digits(value),
        }
    }
}

/// Three digits and a unit, down to nanoseconds.
pub(super) fn seconds(value: f64) -> String {
    match value {
        v if v <= 0.0 => "0 s".to_owned(),
        v if v < 1e-6 => format!("{} ns", text::three_digits(v * 1e9)),
        v => text::seconds(v),
    }
}

/// `10 000`, with spaces that don't break.
pub(super) fn grouped(number: u64) -> String {
    text::grouped(number, '\u{202f}')
}

/// Without zeros at the end.
fn bare(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        let seconds = [0.0, 20.0, 1.0, 0.05, 2e-5, 1e-7].map(|value| Unit::Seconds.tick(value));
        assert_eq!(seconds, ["0", "20 s", "1 s", "50 ms", "20 µs", "100 ns"]);
        let counts = [1.0, 0.5, 5_000.0, 20_000.0, 3e6].map(|value| Unit::Count.tick(value));
        assert_eq!(counts, ["1", "0.5", "5000", "20 k", "3 M"]);
        assert_eq!(Unit::Mebibytes.tick(50.0), "50 MiB");
        assert_eq!(Unit::Mebibytes.tick(2048.0), "2 GiB");
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(Unit::Seconds.full(0.0204), "20.4 ms");
        assert_eq!(Unit::Seconds.full(4.2e-6), "4.20 µs");
        assert_eq!(seconds(4.2e-8), "42.0 ns");
        assert_eq!(Unit::Mebibytes.full(3.456), "3.46 MiB");
        assert_eq!(Unit::Count.full(123_456.7), "123\u{202f}457");
        assert_eq!(Unit::Count.full(12.34), "12.3");
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(grouped(9_999), "9999");
        assert_eq!(grouped(1_000_000), "1\u{202f}000\u{202f}000");
    }
}
