//! Chapter 2 of the course, callbacks: `cargo run -p uring-loop --example 02_callbacks`.

use std::process::ExitCode;

#[path = "02_callbacks/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
