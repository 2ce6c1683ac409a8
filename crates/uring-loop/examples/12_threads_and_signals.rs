//! Chapter 12 of the course, threads and signals:
//! `cargo run -p uring-loop --example 12_threads_and_signals`.

use std::process::ExitCode;

#[path = "12_threads_and_signals/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
