//! Chapter 15 of the course, servers and protocols:
//! `cargo run -p uring-loop --example 15_servers`.

use std::process::ExitCode;

#[path = "15_servers/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
