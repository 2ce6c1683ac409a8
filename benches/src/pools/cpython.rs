//! CPython as a contender: a script measures its `concurrent.futures` in the same rows, with the
//! same flags, and prints the same line of JSON. Here it is only started, if there is a `python3`.

use std::io::{self, Write};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Parser;

use super::Options;
use crate::once;
use crate::process::{NOT_INSTALLED, print_metrics};

/// A file of its own wherever this program is: workers that are started anew read it again.
const SCRIPT: &str = include_str!("cpython.py");

/// The whole of a `pool_cpython_*` program, for the pool of `threads` or of `processes`.
///
/// # Errors
///
/// When the script cannot be written or fails.
pub fn main(kind: &str) -> anyhow::Result<()> {
    // The script's flags are ours: what it would refuse is refused here, in the others' words.
    let _ = Options::parse();
    once::limit_life();
    let mut script = tempfile::Builder::new().suffix(".py").tempfile()?;
    script.write_all(SCRIPT.as_bytes()).context("writing a script for CPython")?;
    let mut python = Command::new("python3");
    python.arg(script.path()).arg(kind).args(std::env::args_os().skip(1));
    match python.status() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            print_metrics([(NOT_INSTALLED, 1.0)]);
            Ok(())
        }
        status => {
            let status = status.context("starting python3")?;
            ensure!(status.success(), "python3: {status}");
            Ok(())
        }
    }
}
