//! The command line that all chapters have.

use std::io;
use std::process::ExitCode;

use super::{Chapter, Demo, stage};

const HELP: &str = "\
Usage: cargo run -p uring-loop --example CHAPTER -- [options] [demo ...]

Runs the demos of a chapter that are named, or all. The column on the left is the time on the
loop's clock; nothing stands there where no loop runs.

  --list       show which demos there are, and what they teach
  --real-time  really wait, instead of letting the clock jump
  --plain      without the time
  --help       this";

/// What an example of the course does.
pub(crate) fn main(chapter: &Chapter) -> ExitCode {
    match chosen(chapter) {
        Ok(demos) => show(&demos),
        Err(Stop::Done) => ExitCode::SUCCESS,
        Err(Stop::Misuse(what)) => {
            eprintln!("{what}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Why nothing is run.
enum Stop {
    Done,
    Misuse(String),
}

/// Reads the arguments and sets the stage.
fn chosen(chapter: &Chapter) -> Result<Vec<&Demo>, Stop> {
    let mut demos = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--real-time" => stage().real_time = true,
            "--plain" => stage().plain = true,
            "--list" => return list(chapter),
            "--help" | "-h" => {
                println!("{}\n\n{HELP}", chapter.title);
                return Err(Stop::Done);
            }
            name => match chapter.demos.iter().find(|demo| demo.name == name) {
                Some(demo) => demos.push(demo),
                None => return Err(Stop::Misuse(format!("{name}: no such demo here; see --list"))),
            },
        }
    }
    if demos.is_empty() { Ok(chapter.demos.iter().collect()) } else { Ok(demos) }
}

fn list<T>(chapter: &Chapter) -> Result<T, Stop> {
    println!("{}\n", chapter.title);
    for Demo { name, teaches, .. } in chapter.demos {
        println!("  {name:<20} {teaches}");
    }
    Err(Stop::Done)
}

fn show(demos: &[&Demo]) -> ExitCode {
    let mut result = ExitCode::SUCCESS;
    for (number, demo) in demos.iter().enumerate() {
        if demos.len() > 1 {
            let gap = if number > 0 { "\n" } else { "" };
            println!("{gap}{}: {}", demo.name, demo.teaches);
        }
        let ended: io::Result<()> = (demo.main)();
        if let Err(error) = ended {
            eprintln!("{}: {error}", demo.name);
            result = ExitCode::FAILURE;
        }
    }
    result
}
