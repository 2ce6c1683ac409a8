//! Chapter 3 of the course, coroutines: `cargo run -p uring-loop --example 03_coroutines`.

use std::process::ExitCode;

#[path = "03_coroutines/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
