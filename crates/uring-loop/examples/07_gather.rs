//! Chapter 7 of the course, gathering: `cargo run -p uring-loop --example 07_gather`.

use std::process::ExitCode;

#[path = "07_gather/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
