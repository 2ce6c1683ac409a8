//! What all comparisons share: who takes part, how often, on which cores; and saying so when that
//! cannot be.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use benches::process;
use benches::report::{self, Column, Record};
use benches::rounds::{Comparison, Schedule};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct How {
    /// Rounds; nine or more decide a difference within noise, below six no interval reaches 95 %
    #[arg(long, default_value_t = 9, value_parser = count, global = true)]
    pub(crate) rounds: usize,
    /// Cores others may keep busy during a sample, and share the machine may be slower than its
    /// best
    #[arg(long, default_value_t = 0.15, value_parser = share, global = true)]
    pub(crate) tolerance: f64,
    /// How often a sample is taken anew when that is exceeded
    #[arg(long, default_value_t = 3, global = true)]
    pub(crate) retakes: usize,
    /// Seconds to wait for quiet before each attempt; 0 takes the machine as it is
    #[arg(long, default_value_t = 10.0, value_parser = seconds, global = true)]
    pub(crate) patience: f64,
    /// Whom ratios are shown against [default: the floors of the kind, and tokio]
    #[arg(long, value_delimiter = ',', global = true)]
    pub(crate) against: Vec<String>,
    /// Core of the measured program
    #[arg(long, default_value_t = 0, global = true)]
    pub(crate) core: usize,
    /// Core of the load maker, or of the second thread
    #[arg(long, default_value_t = 1, global = true)]
    pub(crate) other_core: usize,
    /// Where the JSON record goes [default: target/measurements/WHAT-TIME.json]
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
}

impl How {
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            rounds: self.rounds,
            tolerance: self.tolerance,
            retakes: self.retakes,
            patience: Duration::from_secs_f64(self.patience),
        }
    }

    /// Refuses cores that cannot be used, before anything is measured; `--other-core` counts only
    /// where `two` sides are pinned.
    pub(crate) fn check_cores(&self, two: bool) -> anyhow::Result<()> {
        let usable: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        let sides = [("--core", self.core), ("--other-core", self.other_core)];
        for (option, core) in &sides[..if two { 2 } else { 1 }] {
            ensure!(
                usable.contains(core),
                "{option} {core}: this process may use only the cores {usable:?}"
            );
        }
        ensure!(
            !two || self.core != self.other_core,
            "--core and --other-core are both {}: two sides on one core measure the scheduler",
            self.core
        );
        Ok(())
    }
}

/// A number of things: at least one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// A time that can be waited for: up to a day.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(time) if (0.0..=86400.0).contains(&time) => Ok(time),
        Ok(_) => Err("seconds from 0 to 86400 are meant".to_owned()),
        Err(error) => Err(format!("{error}: seconds are meant, as in 0.5")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share >= 0.0 => Ok(share),
        _ => Err("a share is meant, as in 0.15 for 15 %".to_owned()),
    }
}

/// Those asked for, or all that are built. `NAME:LABEL` is the program `NAME`.
pub(crate) fn subjects(asked: &[String], prefix: &str) -> anyhow::Result<Vec<String>> {
    let built = process::siblings(prefix)?;
    if built.is_empty() {
        bail!("no program {prefix}* is built: cargo build --profile bench -p benches --bins");
    }
    let mut seen = BTreeSet::new();
    for name in asked {
        let program = name.split(':').next().unwrap_or(name);
        ensure!(
            built.iter().any(|built| built == program),
            "there is no program {prefix}{program}; built are {}",
            built.join(", ")
        );
        ensure!(
            seen.insert(name),
            "{name} is named twice; a second one needs a label, as {name}:b"
        );
    }
    Ok(if asked.is_empty() { built } else { asked.to_vec() })
}

/// Whom `subjects` are compared with: whom the user named, or those of `usual` that take part.
pub(crate) fn against(
    how: &How,
    subjects: &[String],
    usual: &[&str],
) -> anyhow::Result<Vec<String>> {
    if how.against.is_empty() {
        let usual = usual.iter().map(|&name| name.to_owned());
        return Ok(usual.filter(|name| subjects.contains(name)).collect());
    }
    for name in &how.against {
        ensure!(
            subjects.contains(name),
            "--against {name}: it takes no part; those who do are {}",
            subjects.join(", ")
        );
    }
    Ok(how.against.clone())
}

/// One run of this program.
pub(crate) struct Run<'a> {
    pub(crate) how: &'a How,
    pub(crate) record: Record,
}

impl Run<'_> {
    /// Prints a comparison that is complete, and puts it on record.
    pub(crate) fn done(
        &mut self,
        comparison: Comparison,
        columns: &[Column],
    ) -> anyhow::Result<()> {
        println!("{}", report::table(&comparison, columns));
        let disturbed = comparison.samples.iter().filter(|sample| sample.disturbed).count();
        if disturbed > 0 {
            let all = comparison.samples.len();
            println!("{disturbed} of {all} samples were disturbed by others\n");
        }
        self.record.add(comparison)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_negative_endless_or_of_no_size_is_accepted() {
        assert!(count("0").is_err() && count("-1").is_err() && count("7") == Ok(7));
        for bad in ["-1", "inf", "nan", "1e30", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert!(share("nan").is_err() && share("-0.1").is_err() && share("inf").is_ok());
    }
}
