//! How many times as much one run measured as another, from few rounds of each.
//!
//! The rounds of two runs are not paired, as those of one run are. So every value of the one is
//! divided by every value of the other: the median of all these ratios is the estimate (that of
//! Hodges and Lehmann, on logarithms), and the interval is between two of them, counted off by the
//! distribution of Mann and Whitney's U. It holds whatever the distribution of the values is, as
//! long as both have the same one but for a factor, and it is exact for few values, where a
//! bootstrap of medians would only choose among the values that there are. (Hollander, Wolfe and
//! Chicken, Nonparametric Statistical Methods, 3rd ed., §4.2 and §4.3.)

use serde::Serialize;

/// How likely an interval is to hold the true ratio, at least.
const COVERED: f64 = 0.95;

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Ratio {
    pub(super) ratio: f64,
    /// None where there are too few values for one of 95 %.
    pub(super) interval: Option<Interval>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) confidence: f64,
}

/// `of` in units of `to`; `None` when one has no values, or one that is not above zero.
pub(super) fn ratio(of: &[f64], to: &[f64]) -> Option<Ratio> {
    let positive = |value: &f64| *value > 0.0 && value.is_finite();
    if of.is_empty() || to.is_empty() || !of.iter().chain(to).all(positive) {
        return None;
    }
    let mut ratios: Vec<f64> = of.iter().flat_map(|of| to.iter().map(move |to| of / to)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let count = ratios.len();
    // The middle on a logarithmic scale, so that swapping the two turns the ratio over.
    let ratio = (ratios[(count - 1) / 2] * ratios[count / 2]).sqrt();
    let interval = rank(of.len(), to.len()).map(|(rank, confidence)| Interval {
        low: ratios[rank - 1],
        high: ratios[count - rank],
        confidence,
    });
    Some(Ratio { ratio, interval })
}

/// The greatest rank, from 1, whose interval covers enough, and what it covers.
fn rank(n: usize, m: usize) -> Option<(usize, f64)> {
    let counts = u_counts(n, m);
    let all: f64 = counts.iter().sum();
    let mut below = 0.0;
    let mut best = None;
    for (rank, count) in counts.iter().enumerate() {
        below += count / all;
        let covered = 1.0 - 2.0 * below;
        if covered < COVERED {
            break;
        }
        best = Some((rank + 1, covered));
    }
    best
}

/// In how many orders of `n` and `m` values U is 0, 1, 2, …
///
/// The greatest of all values is one of the `n`, and then above all `m`, or it is one of the `m`.
fn u_counts(n: usize, m: usize) -> Vec<f64> {
    let mut table = vec![vec![vec![1.0]; m + 1]; n + 1];
    for i in 1..=n {
        for j in 1..=m {
            let mut counts = vec![0.0; i * j + 1];
            for (u, count) in table[i - 1][j].iter().enumerate() {
                counts[u + j] += count;
            }
            for (u, count) in table[i][j - 1].iter().enumerate() {
                counts[u] += count;
            }
            table[i][j] = counts;
        }
    }
    table[n][m].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_counted_as_in_the_tables() {
        assert_eq!(u_counts(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
        assert_eq!(u_counts(5, 5).iter().sum::<f64>(), 252.0);
        // Critical values of U at 5 %, two-sided: 2 for 5 and 5, 17 for 9 and 9; none for 3 and 3.
        assert_eq!(rank(5, 5).map(|(rank, _)| rank), Some(3));
        assert_eq!(rank(9, 9).map(|(rank, _)| rank), Some(18));
        assert_eq!(rank(3, 3), None);
        assert!(rank(4, 4).is_some_and(|(rank, covered)| rank == 1 && covered > 0.95));
    }

    #[test]
    fn a_factor_between_two_runs_is_found() {
        let before: Vec<f64> = (0..9).map(|round| 1.0 + f64::from(round) / 100.0).collect();
        let after: Vec<f64> = before.iter().rev().map(|value| value * 0.8).collect();
        let found = ratio(&after, &before).expect("values");
        let interval = found.interval.expect("nine rounds");
        assert!((found.ratio - 0.8).abs() < 0.001, "{found:?}");
        assert!(interval.low < 0.8 && interval.high > 0.8, "{found:?}");
        assert!(interval.low > 0.77 && interval.high < 0.83, "{found:?}");
        let other = ratio(&before, &after).expect("values");
        assert!((other.ratio * found.ratio - 1.0).abs() < 1e-12);
    }

    #[test]
    fn intervals_of_the_same_distribution_hold_1_as_often_as_they_claim() {
        // A fixed sequence (xorshift), so that the test can't fail by chance.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            1.0 + (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut missed = 0;
        for _ in 0..2_000 {
            let mut values = |count: usize| (0..count).map(|_| random()).collect::<Vec<f64>>();
            let (before, after) = (values(7), values(6));
            let interval = ratio(&after, &before).and_then(|ratio| ratio.interval);
            let interval = interval.expect("enough values");
            missed += usize::from(interval.low > 1.0 || interval.high < 1.0);
        }
        assert!((30..=100).contains(&missed), "{missed} of 2000, about 5 % are due");
    }

    #[test]
    fn few_values_have_an_estimate_and_no_interval() {
        let found = ratio(&[2.0, 2.0], &[1.0, 1.0]).expect("values");
        assert_eq!(found, Ratio { ratio: 2.0, interval: None });
        assert_eq!(ratio(&[], &[1.0]), None);
        assert_eq!(ratio(&[0.0], &[1.0]), None);
    }
}
