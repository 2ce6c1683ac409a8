//! Chapter 14 of the course, children: `cargo run -p uring-loop --example 14_children`.

use std::process::ExitCode;

#[path = "14_children/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
