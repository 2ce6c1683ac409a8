//! From values to places on the paper, and the values worth a mark on the way.

/// A line from `from` to `to` (in pixels) on which the values from `low` to `high` lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Equal differences are equal lengths.
    pub(super) fn linear(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { logarithmic: false, low, high, from, to }
    }

    /// Equal ratios are equal lengths. Values up to 0 have no place; they are put at the lower end.
    pub(super) fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        let low = if low > 0.0 { low } else { f64::MIN_POSITIVE };
        let high = if high > low { high } else { low * 10.0 };
        Self { logarithmic: true, low, high, from, to }
    }

    /// Where a value lies, in pixels; outside of the scale at its ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            true if value <= 0.0 => 0.0,
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Up to `most` round values, ascending.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        match self.logarithmic {
            true => self.log_ticks(most.max(2)),
            false => linear_ticks(self.low, self.high, most.max(2)),
        }
    }

    /// As many round values in each decade as there is room for, or every so many decades.
    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let every = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        for steps in [&every[..], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]] {
            let ticks = self.decades(1, steps);
            if ticks.len() < 2 {
                break;
            }
            if ticks.len() <= most {
                return ticks;
            }
        }
        let sparse = (1..=30).map(|every| self.decades(every, &[1.0]));
        let ticks = sparse.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default();
        // Less than a decade: as on a linear scale, whose steps are round, too.
        if ticks.len() < 2 { linear_ticks(self.low, self.high, most) } else { ticks }
    }

    fn decades(&self, every: i32, steps: &[f64]) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = (first..=last).filter(|decade| decade.rem_euclid(every) == 0);
        let all =
            decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
        // What is at the end but for rounding counts.
        all.filter(|tick| *tick >= self.low * 0.999_999 && *tick <= self.high * 1.000_001).collect()
    }
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let rough = (high - low) / most as f64;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * magnitude).into_iter();
    let step = step.clone().find(|step| *step >= rough * 0.999_999).unwrap_or(magnitude * 10.0);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|count| count as f64 * step).collect()
}

/// A place with one digit behind the point: a tenth of a pixel is not seen, and files stay small.
pub(super) fn px(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(ticks: &[f64]) -> Vec<f64> {
        ticks.iter().map(|tick| (tick * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn values_lie_between_the_ends() {
        let scale = Scale::linear(0.0, 10.0, 100.0, 0.0);
        assert_eq!((scale.at(0.0), scale.at(5.0), scale.at(10.0)), (100.0, 50.0, 0.0));
        assert_eq!((scale.at(-3.0), scale.at(30.0)), (100.0, 0.0));
        let scale = Scale::log(1.0, 100.0, 0.0, 200.0);
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!((scale.at(0.0), scale.at(-1.0)), (0.0, 0.0));
    }

    #[test]
    fn a_scale_without_extent_has_places_all_the_same() {
        for scale in [Scale::linear(3.0, 3.0, 0.0, 9.0), Scale::log(3.0, 3.0, 0.0, 9.0)] {
            assert!(scale.at(3.0).is_finite() && !scale.ticks(4).is_empty(), "{scale:?}");
        }
        assert!(Scale::log(0.0, 0.0, 0.0, 9.0).at(1.0).is_finite());
    }

    #[test]
    fn linear_ticks_are_round() {
        let ticks = |low, high| rounded(&Scale::linear(low, high, 0.0, 1.0).ticks(5));
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 0.23), [0.0, 0.05, 0.1, 0.15, 0.2]);
        assert_eq!(ticks(7.0, 19.0), [10.0, 15.0]);
    }

    #[test]
    fn logarithmic_ticks_are_decades_or_as_many_as_fit() {
        let ticks = |low, high, most| rounded(&Scale::log(low, high, 0.0, 1.0).ticks(most));
        assert_eq!(ticks(1.0, 10_000.0, 6), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(ticks(0.8, 12.0, 6), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks(1.0, 1000.0, 7), [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]);
        assert_eq!(ticks(1e-6, 1e3, 4), [1e-6, 1e-3, 1.0, 1e3]);
        assert_eq!(ticks(0.017, 0.055, 5), [0.02, 0.03, 0.04, 0.05]);
        assert_eq!(ticks(4.1, 4.9, 4), [4.2, 4.4, 4.6, 4.8], "less than a decade");
        for most in 2..8 {
            let ticks = ticks(3e-5, 70.0, most);
            assert!((2..=most).contains(&ticks.len()), "{most}: {ticks:?}");
        }
    }
}
