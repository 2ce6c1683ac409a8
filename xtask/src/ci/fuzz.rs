//! Each target of `cargo xtask fuzz`, for a moment: a smoke test. For long runs it is called by
//! hand.

use anyhow::{Result, bail};

use super::Report;
use crate::fuzz;
use crate::workspace::Workspace;

/// Of each target.
const SECONDS: u32 = 3;

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let fed = fuzz::feed_all(workspace, SECONDS)?;
    let (mut runs, mut failures) = (0, Vec::new());
    for (name, result) in &fed {
        match result {
            Ok(0) => failures.push(format!("{name}: nothing was run")),
            Ok(count) => {
                anstream::println!("fuzz {name}: {count} inputs");
                runs += count;
            }
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(Report::passed(format!("{} targets, {runs} inputs", fed.len())))
}
