//! Chapter 10 of the course, locks: `cargo run -p uring-loop --example 10_locks`.

use std::process::ExitCode;

#[path = "10_locks/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
