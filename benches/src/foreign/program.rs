//! Which program does a model: this one, or a foreign one. It is called with `job` or `serve`,
//! reads what to do from the first line of its stdin, and says in the last of its stdout what it
//! found.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::python::{self, Scripts};
use crate::workloads::Model;
use crate::workloads::report::{Finding, Order};

/// The program beside this one that has the other runtimes.
const PEERS: &str = "workload_peers";

/// A program that speaks as `workload job` and `workload serve` do.
#[derive(Debug)]
pub enum Program {
    /// This one.
    Ours,
    /// `workload_peers`, which understands the same words.
    Peers(PathBuf),
    /// An interpreter with our scripts.
    Python {
        /// The interpreter.
        interpreter: PathBuf,
        /// What it runs.
        scripts: Scripts,
    },
}

impl Program {
    /// The program of `model`, or why there is none on this machine.
    ///
    /// # Errors
    ///
    /// When scripts can't be written.
    pub fn of(model: Model) -> anyhow::Result<Result<Self, String>> {
        let Model::Foreign(model) = model else { return Ok(Ok(Self::Ours)) };
        if !model.is_python() {
            let program = std::env::current_exe()?.with_file_name(PEERS);
            let there = program.is_file().then_some(Self::Peers(program));
            let missing = || format!("there is no {PEERS} (`cargo xtask bench --peers` builds it)");
            return Ok(there.ok_or_else(missing));
        }
        match python::interpreter() {
            Ok(interpreter) => Ok(Ok(Self::Python { interpreter, scripts: Scripts::write()? })),
            Err(why) => Ok(Err(why)),
        }
    }

    /// The command for one of its roles.
    ///
    /// # Errors
    ///
    /// When this program doesn't know where it is.
    pub fn command(&self, role: &str) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Ours => Command::new(std::env::current_exe()?),
            Self::Peers(program) => Command::new(program),
            Self::Python { interpreter, scripts } => {
                let mut command = Command::new(interpreter);
                // Without files of bytecode, which would be thrown away.
                command.arg("-B").arg(scripts.main());
                command
            }
        };
        command.arg(role);
        Ok(command)
    }

    /// The order in the words it understands.
    ///
    /// # Errors
    ///
    /// When there is nothing to do in it.
    pub fn order(&self, order: &Order) -> anyhow::Result<Value> {
        match self {
            Self::Ours | Self::Peers(_) => Ok(serde_json::to_value(order)?),
            Self::Python { .. } => python::order(order),
        }
    }

    /// Reads what it found.
    ///
    /// # Errors
    ///
    /// When that isn't understood, or a result in it is wrong.
    pub fn finding(&self, line: &str, order: &Order) -> anyhow::Result<Finding> {
        let finding = match self {
            Self::Ours | Self::Peers(_) => serde_json::from_str(line).map_err(anyhow::Error::from),
            Self::Python { .. } => python::finding(line, order),
        };
        let shown: String = line.chars().take(200).collect();
        finding.with_context(|| format!("a process said {shown:?}"))
    }
}
