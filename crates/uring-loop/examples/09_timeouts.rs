//! Chapter 9 of the course, timeouts and shields: `cargo run -p uring-loop --example 09_timeouts`.

use std::process::ExitCode;

#[path = "09_timeouts/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
