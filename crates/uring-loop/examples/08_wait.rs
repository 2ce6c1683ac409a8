//! Chapter 8 of the course, waiting for some of many: `cargo run -p uring-loop --example 08_wait`.

use std::process::ExitCode;

#[path = "08_wait/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
