//! Where one model overtakes another as the load grows, and who is fastest under which load.
//!
//! A lead counts only where the intervals part; where they overlap, nothing is said.

use std::cmp::Ordering;

use super::curve::{Curve, Figures};

/// A model that is slower under small loads, and faster under great ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Crossing {
    pub(super) faster: String,
    pub(super) slower: String,
    /// The greatest load under which it was clearly behind, and the least under which it was
    /// clearly ahead from then on.
    pub(super) between: (usize, usize),
    /// Where the medians cross, between the two.
    pub(super) at: f64,
}

/// Loads under which one model has the best median.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reign {
    pub(super) model: String,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Others whose intervals overlap with its, under each of these loads.
    pub(super) level: Vec<String>,
    /// These are all that there are.
    pub(super) all_level: bool,
}

/// All crossings of the curve, by where they are.
pub(super) fn all(curve: &Curve) -> Vec<Crossing> {
    let models = curve.models();
    let mut crossings = Vec::new();
    for (index, a) in models.iter().enumerate() {
        for b in &models[index + 1..] {
            crossings.extend(of_pair(curve, a, b));
        }
    }
    crossings.sort_by(|a, b| a.at.total_cmp(&b.at));
    crossings
}

fn of_pair(curve: &Curve, a: &str, b: &str) -> Vec<Crossing> {
    let both: Vec<(usize, &Figures, &Figures)> = curve
        .points
        .iter()
        .filter_map(|point| Some((point.load, point.figures(a)?, point.figures(b)?)))
        .collect();
    let mut crossings = Vec::new();
    let mut led: Option<(usize, Ordering)> = None;
    for (index, (_, of_a, of_b)) in both.iter().enumerate() {
        let Some(lead) = lead(of_a, of_b) else { continue };
        if let Some((before, earlier)) = led
            && earlier != lead
        {
            let (faster, slower) = if lead == Ordering::Greater { (a, b) } else { (b, a) };
            crossings.push(Crossing {
                faster: faster.to_owned(),
                slower: slower.to_owned(),
                between: (both[before].0, both[index].0),
                at: meeting(&both[before..=index]),
            });
        }
        led = Some((index, lead));
    }
    crossings
}

/// Whether `a` does clearly more in a second than `b` (`Greater`) or clearly less.
fn lead(a: &Figures, b: &Figures) -> Option<Ordering> {
    let one_round = a.rate.count < 2 || b.rate.count < 2;
    match () {
        () if one_round => None,
        () if a.rate.low > b.rate.high => Some(Ordering::Greater),
        () if a.rate.high < b.rate.low => Some(Ordering::Less),
        () => None,
    }
}

/// Where two lines through the medians meet, with both axes logarithmic.
fn meeting(points: &[(usize, &Figures, &Figures)]) -> f64 {
    let ahead =
        |point: &(usize, &Figures, &Figures)| (point.1.rate.median / point.2.rate.median).ln();
    for pair in points.windows(2) {
        let (before, after) = (ahead(&pair[0]), ahead(&pair[1]));
        if before.signum() != after.signum() {
            let part = before / (before - after);
            let (from, to) = ((pair[0].0 as f64).ln(), (pair[1].0 as f64).ln());
            return (from + part * (to - from)).exp();
        }
    }
    points.last().map_or(0.0, |point| point.0 as f64)
}

/// Who has the best median from which load to which.
pub(super) fn reigns(curve: &Curve) -> Vec<Reign> {
    let mut reigns: Vec<Reign> = Vec::new();
    for point in &curve.points {
        let measured = || {
            let models = curve.models().into_iter();
            models.filter_map(|model| Some((model, point.figures(model)?)))
        };
        let best = measured().max_by(|a, b| a.1.rate.median.total_cmp(&b.1.rate.median));
        let Some((best, figures)) = best else { continue };
        let level: Vec<String> = measured()
            .filter(|(model, of)| *model != best && of.rate.high >= figures.rate.low)
            .map(|(model, _)| model.to_owned())
            .collect();
        let all_level = !level.is_empty() && level.len() + 1 == measured().count();
        match reigns.last_mut() {
            Some(last) if last.model == best => {
                last.to = point.load;
                last.level.retain(|model| level.contains(model));
                last.all_level &= all_level;
            }
            _ => {
                let (from, to) = (point.load, point.load);
                reigns.push(Reign { model: best.to_owned(), from, to, level, all_level });
            }
        }
    }
    reigns
}

/// As round as the loads that it was found between allow: `about 300`.
pub(super) fn about(load: f64) -> usize {
    let digits = load.max(1.0).log10().floor();
    let unit = 10f64.powf((digits).max(0.0));
    let rounded = if load < 10.0 { load.round() } else { (load / unit).round() * unit };
    rounded.max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::curve::{Fate, Point};
    use super::super::stats;
    use super::*;

    /// A rate with so many per cent of spread to each side.
    fn figures(rate: f64, spread: f64) -> Fate {
        let around = |value: f64| {
            stats::summarise(&[value * (1.0 - spread), value, value * (1.0 + spread)])
                .expect("three values")
        };
        Fate::Measured(Box::new(Figures {
            wall_s: around(1.0 / rate),
            rate: around(rate),
            cpu_s: around(1.0),
            p50_s: 1.0,
            p99_s: 1.0,
            peak_bytes: 1.0,
            threads: 1.0,
            processes: 1.0,
            switches: 0.0,
        }))
    }

    fn curve(points: &[(usize, f64, f64)], spread: f64) -> Curve {
        let point = |&(load, a, b): &(usize, f64, f64)| {
            let models =
                [("a", a), ("b", b)].map(|(name, rate)| (name.to_owned(), figures(rate, spread)));
            Point { load, size: load, models: BTreeMap::from(models) }
        };
        Curve { unit: "jobs".into(), points: points.iter().map(point).collect() }
    }

    #[test]
    fn a_lead_that_changes_hands_is_a_crossing() {
        let curve = curve(&[(1, 10.0, 5.0), (10, 20.0, 10.0), (100, 20.0, 40.0)], 0.05);
        let crossings = all(&curve);
        assert_eq!(crossings.len(), 1, "{crossings:?}");
        let crossing = &crossings[0];
        assert_eq!((crossing.faster.as_str(), crossing.slower.as_str()), ("b", "a"));
        assert_eq!(crossing.between, (10, 100));
        assert!((crossing.at - 31.6).abs() < 0.1, "halfway, on logarithmic axes: {crossing:?}");
        assert_eq!(about(crossing.at), 30);
        let reigns = reigns(&curve);
        assert_eq!((reigns[0].model.as_str(), reigns[0].from, reigns[0].to), ("a", 1, 10));
        assert_eq!((reigns[1].model.as_str(), reigns[1].from), ("b", 100));
        let level = |reign: &Reign| reign.all_level || !reign.level.is_empty();
        assert!(!reigns.iter().any(level), "{reigns:?}");
    }

    #[test]
    fn medians_that_cross_within_the_spread_say_nothing() {
        let curve = curve(&[(1, 10.0, 9.0), (10, 20.0, 21.0)], 0.2);
        assert_eq!(all(&curve), []);
        let reign = &reigns(&curve)[0];
        assert!(reign.level == ["b"] && reign.all_level, "{reign:?}");
    }

    #[test]
    fn loads_where_nothing_is_clear_lie_between_the_two_that_count() {
        let points = [(1, 20.0, 10.0), (10, 15.0, 14.0), (100, 15.0, 16.0), (1000, 10.0, 20.0)];
        let crossings = all(&curve(&points, 0.1));
        assert_eq!(crossings[0].between, (1, 1000));
        assert!(crossings[0].at > 10.0 && crossings[0].at < 100.0, "{crossings:?}");
    }

    #[test]
    fn one_round_crosses_nothing() {
        let mut curve = curve(&[(1, 10.0, 5.0), (10, 5.0, 10.0)], 0.0);
        for point in &mut curve.points {
            for fate in point.models.values_mut() {
                if let Fate::Measured(figures) = fate {
                    figures.rate.count = 1;
                }
            }
        }
        assert_eq!(all(&curve), []);
    }

    #[test]
    fn loads_are_told_as_round_as_they_are_known() {
        assert_eq!([0.4, 3.4, 31.6, 287.0, 950.0, 4_300.0].map(about), [1, 3, 30, 300, 1000, 4000]);
    }
}
