//! Programs that measure themselves once: `compare exec`, `sync`, `files`, `udp`, `lines`, `tls`,
//! `children`, `messages`, `pools`. What they measure is in `rows.rs`.

use anyhow::ensure;
use benches::process::{Participant, measure_once};
use benches::report::Column;
use benches::rounds::Comparison;
use clap::Args;

use crate::how::{How, Run, against, subjects};
use crate::rows::{self, Row};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Programs by name, as in PREFIX_NAME [default: all that are built]
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Only these rows [default: all]
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
}

/// Programs that measure the same rows.
pub(crate) struct Kind {
    prefix: &'static str,
    rows: &'static [Row],
    /// Whom the others are compared with, unless the user says otherwise.
    usual: &'static [&'static str],
    cores: Cores,
}

/// How many cores a program is given.
#[derive(PartialEq, Eq)]
enum Cores {
    /// It takes what the machine has.
    Any,
    One,
    Two,
}

const fn kind(
    prefix: &'static str,
    rows: &'static [Row],
    usual: &'static [&'static str],
    cores: Cores,
) -> Kind {
    Kind { prefix, rows, usual, cores }
}

pub(crate) const EXEC: Kind = kind("exec_", rows::EXEC, &["floor", "tokio"], Cores::One);
pub(crate) const SYNC: Kind = kind("sync_", rows::SYNC, &["tokio", "async_lock"], Cores::One);
pub(crate) const FILES: Kind = kind("file_", rows::FILES, &["floor", "fio", "std"], Cores::One);
pub(crate) const UDP: Kind = kind("udp_", rows::UDP, &["floor", "tokio"], Cores::Two);
pub(crate) const LINES: Kind = kind("lines_", rows::LINES, &["tokio"], Cores::Two);
pub(crate) const TLS: Kind = kind("tls_", rows::TLS, &["tokio"], Cores::One);
pub(crate) const CHILDREN: Kind = kind("child_", rows::CHILDREN, &["std", "tokio"], Cores::One);
pub(crate) const MESSAGES: Kind =
    kind("msg_", rows::MESSAGES, &["spin", "futex", "tokio"], Cores::Two);
pub(crate) const POOLS: Kind =
    kind("pool_", rows::POOLS, &["floor", "crossbeam", "rayon", "tokio", "procspawn"], Cores::Any);

impl Kind {
    /// Whether a program has two sides, each on its core.
    pub(crate) fn has_two_sides(&self) -> bool {
        self.cores == Cores::Two
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.rows.iter().map(|row| row.name).collect()
    }

    pub(crate) fn compare(&self, options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
        let programs = subjects(&options.programs, self.prefix)?;
        let against = against(run.how, &programs, self.usual)?;
        let rows = self.wanted(&options.rows)?;
        run.record.begin()?;
        rows.into_iter().try_for_each(|row| self.row(row, &programs, &against, run))
    }

    fn wanted(&self, names: &[String]) -> anyhow::Result<Vec<&'static Row>> {
        let known = |name: &String| self.rows.iter().any(|row| row.name == name);
        for name in names {
            ensure!(known(name), "there is no row {name}; there are {}", self.names().join(", "));
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
        let cores = self.cores(run.how);
        let comparison = Comparison::run(row.title, programs, run.how.schedule(), |program| {
            let own = row.arguments.iter().map(|&argument| argument.to_owned());
            let program = Participant::named(self.prefix, program)?;
            measure_once(program, own.chain(cores.iter().cloned()))
        })?
        .against(against);
        let column =
            |&(metric, header, scale, digits): &_| Column::new(metric, header, scale, digits);
        let compared = row.columns.iter().map(|shown| column(shown).with_ratios());
        let columns: Vec<_> = compared.chain(row.also.iter().map(column)).collect();
        run.done(comparison, &columns)
    }

    /// Which cores a program is told to use.
    fn cores(&self, how: &How) -> Vec<String> {
        let one = || format!("--core={}", how.core);
        match self.cores {
            Cores::Any => Vec::new(),
            Cores::One => vec![one()],
            Cores::Two => vec![one(), format!("--other-core={}", how.other_core)],
        }
    }
}
