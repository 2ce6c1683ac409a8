//! Chapter 4 of the course, promises: `cargo run -p uring-loop --example 04_promises`.

use std::process::ExitCode;

#[path = "04_promises/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
