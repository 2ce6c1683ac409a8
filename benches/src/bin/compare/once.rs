//! `compare exec`, `sync`, `files`, `tls`, `messages`, `pools`: programs that measure themselves
//! once.

use anyhow::ensure;
use benches::process::{measure_once, sibling};
use benches::report::Column;
use benches::rounds::Comparison;
use clap::Args;

use crate::how::{Run, against, subjects};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Programs by name, as in PREFIX_NAME [default: all that are built]
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Only these rows [default: all]
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
        name: "timeout-ready",
        title: "timeout(60 s) round a future that is ready at once",
        arguments: &["timeout-ready"],
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
    Row {
        name: "batched",
        title: "one way between two cores, 128 at a time, per message",
        arguments: &["batched"],
        columns: NS,
    },
    Row {
        name: "call",
        title: "a closure run on another core's loop, and its result",
        arguments: &["call"],
        columns: US,
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

/// Time per unit, and CPU time of all threads.
const WORK: &[(&str, &str, f64, usize)] =
    &[("ns", "us", 1000.0, 2), ("cpu_ns", "CPU us", 1000.0, 2)];

const FILES: &[Row] = &[
    Row {
        name: "random-1",
        title: "direct reads of 4 KiB at random, one at a time",
        arguments: &["random", "--depth=1"],
        columns: WORK,
    },
    Row {
        name: "random-32",
        title: "direct reads of 4 KiB at random, 32 at a time",
        arguments: &["random", "--depth=32"],
        columns: WORK,
    },
    Row {
        name: "random-128",
        title: "direct reads of 4 KiB at random, 128 at a time",
        arguments: &["random", "--depth=128"],
        columns: WORK,
    },
    Row {
        name: "sequential",
        title: "direct reads of 1 MiB, one after the other",
        arguments: &["sequential"],
        columns: WORK,
    },
    Row {
        name: "copy",
        title: "copies of files of 4 KiB, eight at a time",
        arguments: &["copy"],
        columns: WORK,
    },
];

const SYNC: &[Row] = &[
    Row {
        name: "lock",
        title: "a free lock, taken and given back",
        arguments: &["lock"],
        columns: NS,
    },
    Row {
        name: "lock-contended",
        title: "a lock that 100 tasks want, held over a yield",
        arguments: &["lock-contended"],
        columns: NS,
    },
    Row {
        name: "semaphore",
        title: "a free permit, taken and given back",
        arguments: &["semaphore"],
        columns: NS,
    },
    Row {
        name: "semaphore-contended",
        title: "10 permits that 100 tasks want, held over a yield",
        arguments: &["semaphore-contended"],
        columns: NS,
    },
    Row {
        name: "queue",
        title: "a queue with room for 64 from task to task, per item",
        arguments: &["queue"],
        columns: NS,
    },
    Row {
        name: "gather",
        title: "1000 tasks that yield once, gathered in order, each",
        arguments: &["gather"],
        columns: NS,
    },
];

const TLS: &[Row] = &[
    Row {
        name: "handshake",
        title: "a connection with a whole handshake, a byte, and its end",
        arguments: &["handshake"],
        columns: US,
    },
    Row {
        name: "resumed",
        title: "a connection that resumes a session, a byte, and its end",
        arguments: &["resumed"],
        columns: US,
    },
    Row {
        name: "round-trip",
        title: "100 bytes there and back",
        arguments: &["round-trip"],
        columns: US,
    },
    Row {
        name: "stream",
        title: "a long stream in pieces of 64 KiB, per KiB",
        arguments: &["stream"],
        columns: NS,
    },
];

pub(crate) fn exec(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let how = run.how;
    let common = vec![format!("--core={}", how.core)];
    Kind { prefix: "exec_", rows: EXEC, usual: &["floor", "tokio"], common }.compare(options, run)
}

pub(crate) fn files(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let common = vec![format!("--core={}", run.how.core)];
    Kind { prefix: "file_", rows: FILES, usual: &["floor", "std"], common }.compare(options, run)
}

pub(crate) fn sync(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let common = vec![format!("--core={}", run.how.core)];
    let usual = &["tokio", "async_lock"];
    Kind { prefix: "sync_", rows: SYNC, usual, common }.compare(options, run)
}

pub(crate) fn tls(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let common = vec![format!("--core={}", run.how.core)];
    Kind { prefix: "tls_", rows: TLS, usual: &["tokio"], common }.compare(options, run)
}

pub(crate) fn messages(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let how = run.how;
    let common = vec![format!("--core={}", how.core), format!("--other-core={}", how.other_core)];
    let usual = &["spin", "futex", "tokio"];
    Kind { prefix: "msg_", rows: MESSAGES, usual, common }.compare(options, run)
}

pub(crate) fn pools(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let usual = &["crossbeam", "rayon", "tokio"];
    Kind { prefix: "pool_", rows: POOLS, usual, common: Vec::new() }.compare(options, run)
}

/// Programs that measure the same rows.
struct Kind {
    prefix: &'static str,
    rows: &'static [Row],
    /// Whom the others are compared with, unless the user says otherwise.
    usual: &'static [&'static str],
    /// Arguments of every program.
    common: Vec<String>,
}

impl Kind {
    fn compare(&self, options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
        let programs = subjects(&options.programs, self.prefix)?;
        let against = against(run.how, &programs, self.usual)?;
        let rows = self.wanted(&options.rows)?;
        run.record.begin()?;
        rows.into_iter().try_for_each(|row| self.row(row, &programs, &against, run))
    }

    fn wanted(&self, names: &[String]) -> anyhow::Result<Vec<&'static Row>> {
        let known = |name: &String| self.rows.iter().any(|row| row.name == name);
        for name in names {
            let all: Vec<_> = self.rows.iter().map(|row| row.name).collect();
            ensure!(known(name), "there is no row {name}; there are {}", all.join(", "));
        }
        let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
        Ok(self.rows.iter().filter(wanted).collect())
    }

    fn row(
        &self,
        row: &Row,
        programs: &[String],
        against: &[String],
        run: &mut Run<'_>,
    ) -> anyhow::Result<()> {
        let comparison = Comparison::run(row.title, programs, run.how.schedule(), |program| {
            let own = row.arguments.iter().map(|&argument| argument.to_owned());
            let program = sibling(&format!("{}{program}", self.prefix))?;
            measure_once(&program, own.chain(self.common.iter().cloned()))
        })?
        .against(against);
        let columns = row.columns.iter().map(|&(metric, header, scale, digits)| {
            Column::new(metric, header, scale, digits).with_ratios()
        });
        run.done(comparison, &columns.collect::<Vec<_>>())
    }
}
