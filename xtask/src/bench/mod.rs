//! `cargo xtask bench`: pieces of work under models of concurrency, side by side.
//!
//! Nothing is measured in this process. It builds the `workload` program of `benches` in release
//! ([`drive`]), runs it once per workload, model and round ([`plan`], [`kinds`], [`others`]), and
//! under growing load ([`points`] says where that ends), tells how long the rest will take
//! ([`progress`]), and reads the line each run prints ([`sample`]).
//!
//! What came of it ([`summary`], [`curve`], [`crossing`], [`verdict`]) and what spoilt it
//! ([`warn`]) goes to the terminal ([`table`]) and into a [`record`], from which the report
//! ([`html`]) and the comparison with another ([`compare`]) are made.

mod compare;
mod crossing;
mod curve;
mod drive;
#[cfg(test)]
mod fixture;
mod html;
mod kinds;
mod others;
mod plan;
mod points;
mod progress;
mod record;
mod sample;
// The same statistics as in the peers' comparison. That package builds its peers, so it can't be a
// dependency of this one.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../benches/src/stats.rs"]
mod stats;
mod summary;
mod table;
mod text;
mod verdict;
mod warn;

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::CommandFactory as _;

use self::drive::Driver;
use self::others::Others;
use self::plan::Plan;
use self::warn::Warning;
use self::warn::others::Used;
use crate::doctor::machine::Machine;
use crate::flags::{BenchFlags, Flags};
use crate::workspace::Workspace;

/// Measures and prints; false when a run failed.
pub(crate) fn run(flags: &BenchFlags) -> Result<bool> {
    if let [a, b] = &flags.compare[..] {
        compare::run(a, b, flags.json.as_ref().map(Option::as_deref))?;
        return Ok(true);
    }
    if let Some(path) = &flags.html {
        return draw(path, flags.picture.as_deref());
    }
    let plan = Plan::among(flags.filter.as_deref(), flags.quick, Others::of(flags));
    if plan.pairs.is_empty() {
        let filter = flags.filter.as_deref().unwrap_or_default();
        let kind = clap::error::ErrorKind::InvalidValue;
        let message = format!(
            "no workload and no model is called {filter:?}; they are: {}",
            plan::names().collect::<Vec<_>>().join(", ")
        );
        Flags::command().error(kind, message).exit();
    }
    let json = match &flags.json {
        Some(None) => {
            let kind = clap::error::ErrorKind::MissingRequiredArgument;
            Flags::command().error(kind, "--json needs a file, but for --compare").exit()
        }
        file => file.as_ref().and_then(Option::as_deref),
    };
    let mut out = anstream::stdout();
    if flags.list {
        write!(out, "{}", plan.list())?;
        return Ok(true);
    }
    measure(&plan, json, &mut out)
}

/// Makes the report of a record anew, beside it, and a picture if one is asked for.
fn draw(path: &Path, picture: Option<&Path>) -> Result<bool> {
    let record = record::read(path)?;
    let page = record::beside(path, "html");
    html::write(&page, &record)?;
    writeln!(anstream::stdout(), "report: {}", page.display())?;
    if let Some(picture) = picture {
        html::draw(picture, &record)?;
        writeln!(anstream::stdout(), "picture: {}", picture.display())?;
    }
    Ok(true)
}

/// Builds, measures, prints and keeps a record; false when a run failed.
fn measure(plan: &Plan, json: Option<&Path>, out: &mut impl Write) -> Result<bool> {
    let driver = Driver::build(&Workspace::load()?, plan.has_peers())?;
    let (machine, environment) = (Machine::this(), driver.environment()?);
    let cores = environment.cores();
    let mut warnings = warn::before(&environment, &machine);
    tell(&warnings);
    let before = Used::now(&machine, &environment.allowed_cores)?;
    let measured = driver.measure(plan)?;
    let after = Used::now(&machine, &environment.allowed_cores)?;
    let mut spoilt = before.warnings(&after, measured.took, cores);
    spoilt.extend(warn::rounds(measured.rounds, plan.quick));
    tell(&spoilt);
    warnings.extend(spoilt);
    let summaries = summary::summarise(plan, &measured.samples, &measured.left_out);
    for summary in &summaries {
        writeln!(out, "{}", table::render(summary, cores))?;
    }
    for failure in &measured.failures {
        writeln!(out, "failed: {failure}")?;
    }
    writeln!(out, "{}", measured.coverage(plan))?;
    let path = json.map_or_else(|| record::default_path(&environment), Path::to_owned);
    let record = record::of(environment, warnings, plan, &measured, &summaries);
    record::write(&path, &record)?;
    let page = record::beside(&path, "html");
    html::write(&page, &record)?;
    writeln!(out, "record: {}\nreport: {}", path.display(), page.display())?;
    Ok(measured.failures.is_empty())
}

fn tell(warnings: &[Warning]) {
    for warning in warnings {
        anstream::eprintln!("warning: {}\n   mend: {}", warning.what, warning.mend);
    }
}
