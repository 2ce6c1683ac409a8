//! Chapter 6 of the course, cancellation: `cargo run -p uring-loop --example 06_cancellation`.

use std::process::ExitCode;

#[path = "06_cancellation/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
