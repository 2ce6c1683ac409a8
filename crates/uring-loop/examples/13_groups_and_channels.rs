//! Chapter 13 of the course, groups and channels:
//! `cargo run -p uring-loop --example 13_groups_and_channels`.

use std::process::ExitCode;

#[path = "13_groups_and_channels/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
