//! Echo, files, pipes, names, children and descriptors that travel, with cancels, resets and
//! half-closes in between, on the machine's kernel for some time; then nothing of it may be left.
//!
//! `cargo run --release -p uring-loop --example soak -- --seconds 600`. It is an example and not a
//! benchmark, since it measures nothing, and not a test alone, since it is there to run for long.

use std::process::ExitCode;
use std::time::Duration;

mod rounds;
#[expect(dead_code, reason = "the half of it for simulated kernels is `sim`'s")]
#[path = "../sim/scenarios/mod.rs"]
mod scenarios;

const HELP: &str = "\
Everything at once on the machine's kernel, with cancels and resets; then nothing may be left.

  --seconds N    for so long (default 10)
  --seed S       what is left to chance follows from it (default 1)
";

fn main() -> ExitCode {
    let (seconds, seed) = match flags() {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    println!("soaking for {seconds} s with seed {seed}");
    let soaked = rounds::soak(seed, Duration::from_secs(seconds), true);
    println!("{} rounds: {}", soaked.rounds, soaked.statistics);
    println!("{} KiB of memory when warm, {} KiB at the end", soaked.warm >> 10, soaked.end >> 10);
    println!("nothing is left");
    ExitCode::SUCCESS
}

fn flags() -> Result<Option<(u64, u64)>, String> {
    let (mut seconds, mut seed) = (10, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--seconds" => &mut seconds,
            "--seed" => &mut seed,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("{other:?} is no flag")),
        };
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        *place = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    }
    Ok(Some((seconds, seed)))
}
