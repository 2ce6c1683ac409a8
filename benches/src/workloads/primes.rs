//! Work for the CPU: checking numbers for being prime by trial division, and a millisecond of it.
//!
//! The answers are checked with another method, Miller and Rabin's, which is exact below 3.3e24
//! with the first 13 primes as bases (Sorenson and Webster, Strong pseudoprimes to twelve prime
//! bases, Math. Comp. 86, 2017); the first 12 do below 3.1e23.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Five numbers that look hard and are not: all have a small factor.
pub const EASY: [u64; 5] = [109999999, 108376355, 1276544678, 123555677, 234645542424];

/// Primes of 14 and 15 digits in turn with products of two primes of 7 and 8 digits, each of which
/// costs millions of divisions.
pub const HARD: [u64; 16] = [
    112272535094309,
    99998740002673,
    155555555555021,
    174594841817057,
    248163264128261,
    280252009920433,
    314159265359057,
    527864869610149,
    433494437433583,
    543656752817161,
    577215664901609,
    748332068011009,
    693147180559957,
    948683341622777,
    60221407600021,
    61237351872199,
];

/// `count` numbers: the easy ones, then the hard ones over and over.
pub fn numbers(count: usize) -> impl Iterator<Item = u64> {
    EASY.into_iter().chain(HARD.into_iter().cycle()).take(count)
}

/// `count` numbers that are alike hard, over and over: two jobs take twice as long as one.
pub fn hard_numbers(count: usize) -> impl Iterator<Item = u64> {
    HARD.into_iter().cycle().take(count)
}

/// `count` of `size` numbers, spread over all of them, so that what a part costs tells what all do.
pub fn sample(size: usize, count: usize) -> impl Iterator<Item = u64> {
    let places = (0..count).map(move |n| n * size / count);
    let all: Vec<u64> = numbers(size).collect();
    places.map(move |place| all[place])
}

/// Trial division by the odd numbers up to the root.
#[must_use]
pub fn by_trial(n: u64) -> bool {
    match n {
        0 | 1 => false,
        2 => true,
        n if n.is_multiple_of(2) => false,
        n => (3..=n.isqrt()).step_by(2).all(|divisor| !n.is_multiple_of(divisor)),
    }
}

/// Miller and Rabin's test, exact for every `u64`.
#[must_use]
pub fn by_powers(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(&base) = BASES.iter().find(|&&base| n.is_multiple_of(base)) {
        return n == base;
    }
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    BASES.iter().all(|&base| {
        let mut x = power(base, odd, n);
        x == 1
            || (0..twos).any(|_| {
                let strong = x == n - 1;
                x = product(x, x, n);
                strong
            })
    })
}

fn product(a: u64, b: u64, modulus: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64
}

fn power(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = product(result, base, modulus);
        }
        base = product(base, base, modulus);
        exponent >>= 1;
    }
    result
}

/// Divides `n` by the first `divisions` odd numbers from 3 on and sums up what is left: the inner
/// loop of trial division, with an answer that shows whether all of it was done.
#[must_use]
pub fn work(n: u64, divisions: u64) -> u64 {
    (0..divisions).fold(0, |sum: u64, i| sum.wrapping_add(n % (2 * i + 3)))
}

/// How many divisions of [`work`] take `target` of CPU time on this core, now.
///
/// The median of nine tries. Take it once, and give it to all that are compared.
///
/// # Errors
///
/// When the clock of the thread can't be read.
pub fn calibrate(target: Duration) -> anyhow::Result<u64> {
    const TRY: u64 = 200_000;
    let mut speeds = Vec::new();
    for &n in &HARD[..9] {
        let before: Duration = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into();
        std::hint::black_box(work(n, std::hint::black_box(TRY)));
        let after: Duration = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into();
        speeds.push(TRY as f64 / (after - before).as_secs_f64());
    }
    speeds.sort_unstable_by(f64::total_cmp);
    Ok((speeds[speeds.len() / 2] * target.as_secs_f64()).max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn both_methods_agree_on_small_numbers() {
        for n in 0..20_000 {
            assert_eq!(by_trial(n), by_powers(n), "{n}");
        }
    }

    #[test]
    fn the_easy_numbers_are_no_primes_and_the_hard_ones_alternate() {
        assert!(EASY.iter().all(|&n| !by_powers(n) && !by_trial(n)));
        for (index, &n) in HARD.iter().enumerate() {
            assert_eq!(by_powers(n), index % 2 == 0, "{n}");
            assert!((13..=14).contains(&n.ilog10()), "{n} has 14 or 15 digits");
            assert!((3..7_000_000).step_by(2).all(|d| !n.is_multiple_of(d)), "{n} is hard");
        }
    }

    #[test]
    fn numbers_go_round() {
        let all: Vec<u64> = numbers(25).collect();
        assert_eq!((all[0], all[5], all[21], all[24]), (EASY[0], HARD[0], HARD[0], HARD[3]));
    }

    #[test]
    fn a_part_is_as_hard_as_the_whole() {
        assert!(sample(53, 53).eq(numbers(53)));
        let divisions = |n: u64| {
            let divisor = (3..=n.isqrt()).step_by(2).find(|&divisor| n.is_multiple_of(divisor));
            divisor.unwrap_or(n.isqrt()) / 2
        };
        let costs: BTreeMap<u64, u64> =
            EASY.into_iter().chain(HARD).map(|n| (n, divisions(n))).collect();
        let mean = |numbers: Vec<u64>| {
            numbers.iter().map(|n| costs[n]).sum::<u64>() as f64 / numbers.len() as f64
        };
        for (size, count) in [(133, 16), (53, 10)] {
            let ratio = mean(sample(size, count).collect()) / mean(numbers(size).collect());
            assert!((0.95..1.05).contains(&ratio), "{count} of {size}: {ratio}");
        }
    }

    #[test]
    fn work_left_out_shows_in_the_answer() {
        assert_eq!(work(100, 3), 100 % 3 + 100 % 7);
        assert_ne!(work(HARD[0], 999), work(HARD[0], 1000));
        assert!(calibrate(Duration::from_millis(1)).unwrap() > 1000);
    }
}
