//! Chapter 5 of the course, tasks: `cargo run -p uring-loop --example 05_tasks`.

use std::process::ExitCode;

#[path = "05_tasks/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
