//! Medians and what can be said about them from few rounds.
//!
//! The interval is the distribution-free one of order statistics: of n independent values, the
//! median lies between the k-th smallest and the k-th largest with probability
//! 1 - 2 P(Binomial(n, 1/2) < k). Nine rounds give 96 %; below six no interval reaches 95 %.
//! (David and Nagaraja, Order Statistics, 3rd ed., §7.1.)

use serde::{Deserialize, Serialize};

/// A median and its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Lower end of the interval for the median.
    pub low: f64,
    /// Upper end of the interval for the median.
    pub high: f64,
    /// Probability that the interval covers the true median.
    pub confidence: f64,
}

impl Summary {
    /// Half the width of the interval, as a share of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.high - self.low) / 2.0 / self.median.abs() }
    }
}

/// Summarises `values`; `None` when there are none.
///
/// # Panics
///
/// When a value is not a number.
#[must_use]
pub fn summarise(values: &[f64]) -> Option<Summary> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| a.partial_cmp(b).expect("a measured value is a number"));
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let count = sorted.len();
    let median = f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]);
    let (rank, confidence) = interval_rank(count);
    let (low, high) = (sorted[rank - 1], sorted[count - rank]);
    Some(Summary { count, median, min, max, low, high, confidence })
}

/// The greatest rank, from 1, whose interval covers the median with at least 95 %, or 1 when there
/// is none; and what it covers.
fn interval_rank(count: usize) -> (usize, f64) {
    let covered = |rank: usize| 1.0 - 2.0 * below(count, rank);
    let rank = (1..=count.div_ceil(2)).rev().find(|&rank| covered(rank) >= 0.95).unwrap_or(1);
    (rank, covered(rank).max(0.0))
}

/// P(Binomial(count, 1/2) < rank)
fn below(count: usize, rank: usize) -> f64 {
    let mut term = 0.5_f64.powi(count as i32);
    let mut sum = 0.0;
    for i in 0..rank {
        sum += term;
        term *= (count - i) as f64 / (i + 1) as f64;
    }
    sum
}

/// Summarises the ratios of values taken in the same round; `None` when a baseline is zero.
///
/// # Panics
///
/// When a value is not a number.
#[must_use]
pub fn ratios(subject: &[f64], baseline: &[f64]) -> Option<Summary> {
    if baseline.contains(&0.0) {
        return None;
    }
    let ratios: Vec<f64> = subject.iter().zip(baseline).map(|(s, b)| s / b).collect();
    summarise(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_rounds_leave_out_one_at_each_end() {
        let values = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0];
        let summary = summarise(&values).unwrap();
        assert_eq!((summary.median, summary.low, summary.high), (5.0, 2.0, 8.0));
        assert!((summary.confidence - 0.9609).abs() < 1e-4, "{summary:?}");
    }

    #[test]
    fn five_rounds_are_too_few_and_say_so() {
        let summary = summarise(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((summary.low, summary.high), (1.0, 5.0));
        assert!((summary.confidence - 0.9375).abs() < 1e-4, "{summary:?}");
    }

    #[test]
    fn one_round_claims_nothing() {
        let summary = summarise(&[7.0]).unwrap();
        assert_eq!((summary.median, summary.confidence), (7.0, 0.0));
        assert_eq!(summarise(&[]), None);
    }

    #[test]
    fn an_even_number_has_its_median_between() {
        assert_eq!(summarise(&[4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        assert_eq!(ratios(&[0.0, 1.0], &[0.0, 1.0]), None);
    }

    #[test]
    fn drift_that_hits_both_sides_leaves_the_ratio_alone() {
        let baseline = [100.0, 200.0, 150.0, 300.0, 120.0, 180.0];
        let subject = baseline.map(|value| value * 0.9);
        let ratio = ratios(&subject, &baseline).unwrap();
        assert!((ratio.low - 0.9).abs() < 1e-12 && (ratio.high - 0.9).abs() < 1e-12);
    }
}
