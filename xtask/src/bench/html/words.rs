//! What the curves say, in sentences.

use super::look;
use super::unit::grouped;
use crate::bench::crossing::{self, Crossing, Reign};
use crate::bench::curve::{Curve, Fate};

/// At most so many crossings stand in the open; the others can be unfolded.
const FEW: usize = 4;

/// Who is fastest under which load.
pub(in crate::bench) fn reigns(curve: &Curve) -> Option<String> {
    let reigns = crossing::reigns(curve);
    let sentences = reigns.iter().map(|reign| said(reign, &curve.unit));
    let text = sentences.collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then(|| format!("Fastest {text}."))
}

fn said(reign: &Reign, unit: &str) -> String {
    let loads = match (reign.from, reign.to) {
        (1, 1) => "with one alone".to_owned(),
        (from, to) if from == to => format!("with {} {unit}", grouped(from as u64)),
        (from, to) => format!("with {} to {} {unit}", grouped(from as u64), grouped(to as u64)),
    };
    let mut text = format!("{loads}: {}", look::label(&reign.model));
    if reign.all_level {
        text += " (level with all others)";
    } else if !reign.level.is_empty() {
        let level: Vec<String> = reign.level.iter().map(|model| look::label(model)).collect();
        text += &format!(" (level with {})", level.join(", "));
    }
    text
}

/// The crossings that matter most (of models that are fastest somewhere), and all others.
pub(in crate::bench) fn crossings(curve: &Curve) -> (Vec<String>, Vec<String>) {
    let best: Vec<String> = crossing::reigns(curve).into_iter().map(|reign| reign.model).collect();
    let matters = |crossing: &Crossing| {
        usize::from(best.contains(&crossing.faster)) + usize::from(best.contains(&crossing.slower))
    };
    let mut all = crossing::all(curve);
    all.sort_by_key(|crossing| std::cmp::Reverse(matters(crossing)));
    let few = all.iter().take_while(|crossing| matters(crossing) > 0).count().min(FEW);
    let mut texts: Vec<String> = all.iter().map(|one| overtakes(one, &curve.unit)).collect();
    let rest = texts.split_off(few);
    (texts, rest)
}

/// `From about 300 connections on, a loop per core is faster than one thread in sequence.`
fn overtakes(crossing: &Crossing, unit: &str) -> String {
    let (from, to) = crossing.between;
    format!(
        "From about {} {unit} on, {} is faster than {} (it was slower with {}, and is clearly \
         faster with {}).",
        grouped(crossing::about(crossing.at) as u64),
        look::label(&crossing.faster),
        look::label(&crossing.slower),
        grouped(from as u64),
        grouped(to as u64),
    )
}

/// What was refused or left out of the curve: `ProcessPool with 1, 10 connections: why`.
pub(super) fn gaps(curve: &Curve) -> Vec<String> {
    let mut gaps: Vec<(String, String, Vec<String>)> = Vec::new();
    for point in &curve.points {
        for (model, fate) in &point.models {
            let why = match fate {
                Fate::Refused { refused } => refused.clone(),
                Fate::LeftOut { left_out } => format!("left out, {left_out}"),
                Fate::Missing { .. } => "no run came to an end, or no time was left".to_owned(),
                Fate::Measured(_) => continue,
            };
            let load = grouped(point.load as u64);
            let known = gaps.iter_mut().find(|gap| gap.0 == *model && gap.1 == why);
            match known {
                Some(gap) => gap.2.push(load),
                None => gaps.push((model.clone(), why, vec![load])),
            }
        }
    }
    gaps.sort_by_key(|gap| look::rank(&gap.0));
    let unit = &curve.unit;
    gaps.into_iter()
        .map(|(model, why, loads)| {
            format!("{} with {} {unit}: {why}", look::label(&model), loads.join(", "))
        })
        .collect()
}

/// With a capital letter.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn who_is_fastest_where_is_told() {
        let text = reigns(&fixture::curve()).expect("measured");
        assert!(text.starts_with("Fastest with one alone: a thread per job; with"), "{text}");
        assert!(text.ends_with("10\u{202f}000 connections: a loop per core."), "{text}");
    }

    #[test]
    fn crossings_of_the_fastest_come_first() {
        let (first, rest) = crossings(&fixture::curve());
        assert!(first[0].contains("a loop per core is faster than a thread per job"), "{first:?}");
        assert!(first.len() + rest.len() >= 3, "{first:?} {rest:?}");
        let gone = first
            .iter()
            .chain(&rest)
            .any(|text| text.contains("one thread in sequence is faster than a thread per job"));
        assert!(gone, "{first:?} {rest:?}");
    }

    #[test]
    fn gaps_of_one_kind_are_told_once() {
        let gaps = gaps(&fixture::curve());
        assert_eq!(gaps.len(), 2, "{gaps:?}");
        assert!(gaps[0].starts_with("a thread per job with 10\u{202f}000 connections: left out"));
        assert!(gaps[1].contains("ProcessPool with 1, 10, 100, 1000, 10"), "{gaps:?}");
    }
}
