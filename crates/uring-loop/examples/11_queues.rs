//! Chapter 11 of the course, queues: `cargo run -p uring-loop --example 11_queues`.

use std::process::ExitCode;

#[path = "11_queues/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
