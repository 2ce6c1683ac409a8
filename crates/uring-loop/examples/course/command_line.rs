//! The command line that all chapters have.

use std::io;
use std::process::ExitCode;

use super::{Chapter, Demo, Serve, stage};

const HELP: &str = "\
Usage: cargo run -p uring-loop --example CHAPTER -- [options] [demo ...]

Runs the demos of a chapter that are named, or all. The column on the left is the time on the
loop's clock; nothing stands there where no loop runs.

  --list             show which demos there are, and what they teach
  --real-time        really wait, instead of letting the clock jump
  --plain            without the time
  --serve[=ADDRESS]  run the one demo that is named as a server, until Ctrl+C
  --help             this";

/// What an example of the course does.
pub(crate) fn main(chapter: &Chapter) -> ExitCode {
    match chosen(chapter) {
        Ok(Chosen::Shown(demos)) => show(&demos),
        Ok(Chosen::Served(demo, serve, address)) => told(demo, (serve.run)(&address)),
        Err(Stop::Done) => ExitCode::SUCCESS,
        Err(Stop::Misuse(what)) => {
            eprintln!("{what}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// What is run.
enum Chosen<'a> {
    Shown(Vec<&'a Demo>),
    Served(&'a Demo, Serve, String),
}

/// Why nothing is run.
enum Stop {
    Done,
    Misuse(String),
}

/// Reads the arguments and sets the stage.
fn chosen(chapter: &Chapter) -> Result<Chosen<'_>, Stop> {
    let (mut demos, mut serve) = (Vec::new(), None);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--real-time" => stage().real_time = true,
            "--plain" => stage().plain = true,
            "--serve" => serve = Some(None),
            "--list" => return list(chapter),
            "--help" | "-h" => {
                println!("{}\n\n{HELP}", chapter.title);
                return Err(Stop::Done);
            }
            name => match chapter.demos.iter().find(|demo| demo.name == name) {
                Some(demo) => demos.push(demo),
                None => match name.strip_prefix("--serve=") {
                    Some(address) => serve = Some(Some(address.to_owned())),
                    None => return misuse(format!("{name}: no such demo here; see --list")),
                },
            },
        }
    }
    match serve {
        Some(address) => served(&demos, address),
        None if demos.is_empty() => Ok(Chosen::Shown(chapter.demos.iter().collect())),
        None => Ok(Chosen::Shown(demos)),
    }
}

fn served<'a>(demos: &[&'a Demo], address: Option<String>) -> Result<Chosen<'a>, Stop> {
    let [demo] = demos else {
        return misuse("--serve runs one demo: name it".to_owned());
    };
    let Some(serve) = demo.serve else {
        return misuse(format!("{} is no server", demo.name));
    };
    stage().real_time = true;
    Ok(Chosen::Served(demo, serve, address.unwrap_or_else(|| serve.address.to_owned())))
}

fn misuse<T>(what: String) -> Result<T, Stop> {
    Err(Stop::Misuse(what))
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
        if told(demo, (demo.main)()) == ExitCode::FAILURE {
            result = ExitCode::FAILURE;
        }
    }
    result
}

fn told(demo: &Demo, ended: io::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", demo.name);
            ExitCode::FAILURE
        }
    }
}
