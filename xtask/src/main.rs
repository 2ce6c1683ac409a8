//! The project's own commands: `cargo xtask --help`.
//!
//! This file is one match and the exit code; the flags are in `flags.rs`, and every command has a
//! module of its own. Results go to stdout, progress to stderr. Exit codes: 0 all is well, 1 the
//! command found something wrong, 2 it was called wrongly.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod doctor;
mod flags;
mod fuzz;
mod shell;
mod sim;
mod tidy;
mod workspace;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

use crate::flags::{Command, Flags};

fn main() -> ExitCode {
    let flags = Flags::parse();
    let done = match flags.command {
        Command::Ci(ci) => ci::run(&ci),
        Command::Tidy => tidy::run(),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Bench(bench) => bench::run(&bench),
        Command::Sim(flags) => sim::run(&flags),
        Command::Fuzz(flags) => fuzz::run(&flags),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // The reader has seen enough: `cargo xtask doctor | head`.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
