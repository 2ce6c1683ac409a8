//! `compare exec`, `compare messages`, `compare pools`: programs that measure themselves once.

use benches::process::{measure_once, sibling};
use benches::report::Column;
use benches::rounds::Comparison;
use clap::Args;

use crate::{How, show, subjects};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Programs by name, as in PREFIX_NAME [default: all that are built]
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Only these rows, as in spawn or one-way [default: all]
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
}

/// One thing that all programs of a kind measure.
struct Row {
    name: &'static str,
    title: &'static str,
    arguments: &'static [&'static str],
    columns: &'static [(&'static str, &'static str, f64, usize)],
}

const NS: &[(&str, &str, f64, usize)] = &[("ns", "ns", 1.0, 1)];
const US: &[(&str, &str, f64, usize)] = &[("ns", "us", 1000.0, 2)];

const EXEC: &[Row] = &[
    Row {
        name: "spawn",
        title: "spawn and join a task, one after the other",
        arguments: &["spawn"],
        columns: NS,
    },
    Row {
        name: "spawn-many",
        title: "spawn and join a thousand tasks, each",
        arguments: &["spawn-many"],
        columns: NS,
    },
    Row {
        name: "yield",
        title: "yield with 1000 tasks",
        arguments: &["yield", "--tasks=1000"],
        columns: NS,
    },
    Row {
        name: "timeout",
        title: "timeout(60 s) round a future that is ready after one yield",
        arguments: &["timeout"],
        columns: NS,
    },
    Row {
        name: "sleep",
        title: "200 000 sleeping tasks, resident memory each",
        arguments: &["sleep", "--tasks=200000"],
        columns: &[("bytes", "bytes", 1.0, 0)],
    },
];

const MESSAGES: &[Row] = &[
    Row {
        name: "round-trip",
        title: "round trip between two cores",
        arguments: &["round-trip"],
        columns: US,
    },
    Row {
        name: "one-way",
        title: "one way between two cores, per message",
        arguments: &["one-way"],
        columns: NS,
    },
];

const POOLS: &[Row] = &[
    Row {
        name: "round-trip",
        title: "pool of 2, round trip of a task",
        arguments: &["round-trip"],
        columns: US,
    },
    Row {
        name: "submit",
        title: "pool of 2, many tasks",
        arguments: &["submit"],
        columns: &[("submit_ns", "submit ns", 1.0, 0), ("ns", "until done ns", 1.0, 0)],
    },
    Row {
        name: "map",
        title: "pool of 2, map in chunks of 1000, per item",
        arguments: &["map"],
        columns: &[("ns", "ns", 1.0, 2)],
    },
];

pub(crate) fn exec(options: &Options, how: &How) -> anyhow::Result<Vec<Comparison>> {
    let core = format!("--core={}", how.core);
    compare("exec_", EXEC, &[core], options, how)
}

pub(crate) fn messages(options: &Options, how: &How) -> anyhow::Result<Vec<Comparison>> {
    let cores = [format!("--core={}", how.core), format!("--other-core={}", how.other_core)];
    compare("msg_", MESSAGES, &cores, options, how)
}

pub(crate) fn pools(options: &Options, how: &How) -> anyhow::Result<Vec<Comparison>> {
    compare("pool_", POOLS, &[], options, how)
}

fn compare(
    prefix: &str,
    rows: &[Row],
    common: &[String],
    options: &Options,
    how: &How,
) -> anyhow::Result<Vec<Comparison>> {
    let programs = subjects(&options.programs, prefix)?;
    let wanted = |row: &&Row| options.rows.is_empty() || options.rows.iter().any(|r| r == row.name);
    let mut comparisons = Vec::new();
    for row in rows.iter().filter(wanted) {
        let comparison = Comparison::run(row.title, &programs, how.schedule(), |program| {
            let own = row.arguments.iter().map(|&argument| argument.to_owned());
            let program = sibling(&format!("{prefix}{program}"))?;
            measure_once(&program, own.chain(common.iter().cloned()))
        })?;
        let columns = row.columns.iter().map(|&(metric, header, scale, digits)| {
            Column::new(metric, header, scale, digits).with_ratios()
        });
        show(&comparison, &columns.collect::<Vec<_>>(), how);
        comparisons.push(comparison);
    }
    Ok(comparisons)
}
