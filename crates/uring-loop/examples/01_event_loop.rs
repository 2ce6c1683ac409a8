//! Chapter 1 of the course, the event loop: `cargo run -p uring-loop --example 01_event_loop`.

use std::process::ExitCode;

#[path = "01_event_loop/mod.rs"]
mod chapter;
mod course;

fn main() -> ExitCode {
    course::main(&chapter::CHAPTER)
}
