//! Runs the scenarios on simulated kernels, seed after seed, or on the machine's own.
//!
//! `cargo xtask sim` builds and runs this program. A failure names the scenario, the seed, and the
//! command that runs it again; so does one that aborts or never ends.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[expect(dead_code, reason = "rounds of everything are the part of `soak`")]
mod scenarios;

use scenarios::{ALL, Scenario, rig};

const HELP: &str = "\
Runs programs on simulated kernels where everything goes wrong now and then.

  --seeds N          so many seeds (default 100)
  --start S          the first seed (default 0)
  --scenario NAME    only this one
  --seconds N        start no further seed after so many seconds
  --kernel           on the machine's kernel, with what the scenarios do to themselves
  --keep-going       go on after a failure
  --list             tell which scenarios there are

The variable SIM_LOG names a file for what the simulated kernel did before a failure.
";

/// No seed takes as long. (Waiting is on a virtual clock.)
const STUCK: Duration = Duration::from_secs(120);

/// What runs at the moment, for a report from wherever things go wrong.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Current {
    scenario: &'static str,
    seed: u64,
    kernel: bool,
    since: Instant,
}

#[derive(Default)]
struct Flags {
    seeds: u64,
    start: u64,
    scenario: Option<String>,
    seconds: Option<u64>,
    kernel: bool,
    keep_going: bool,
    list: bool,
}

fn main() -> ExitCode {
    let flags = match flags() {
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
    if flags.list {
        for scenario in ALL {
            println!("{:11} {}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    tell_the_seed_of_a_panic();
    watch();
    match run(&flags) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn flags() -> Result<Option<Flags>, String> {
    let mut flags = Flags { seeds: 100, ..Flags::default() };
    // `--flag=value` is the same as `--flag value`.
    let split = |word: String| match word.split_once('=') {
        Some((flag, value)) => vec![flag.to_owned(), value.to_owned()],
        None => vec![word],
    };
    let mut words = std::env::args().skip(1).flat_map(split);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => flags.seeds = number(&value()?)?,
            "--start" => flags.start = number(&value()?)?,
            "--seconds" => flags.seconds = Some(number(&value()?)?),
            "--scenario" => flags.scenario = Some(known(value()?)?),
            "--kernel" => flags.kernel = true,
            "--keep-going" => flags.keep_going = true,
            "--list" => flags.list = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("{other:?} is no flag")),
        }
    }
    Ok(Some(flags))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn known(name: String) -> Result<String, String> {
    match ALL.iter().any(|scenario| scenario.name == name) {
        true => Ok(name),
        false => Err(format!("there is no scenario {name:?}; --list tells which there are")),
    }
}

/// Runs what is asked for, and counts failures.
fn run(flags: &Flags) -> u64 {
    let start = Instant::now();
    let limit = flags.seconds.map(Duration::from_secs);
    let (mut ran, mut failed) = (0_u64, 0_u64);
    let mut shown = Instant::now();
    for seed in flags.start..flags.start.saturating_add(flags.seeds) {
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            break;
        }
        for scenario in ALL {
            if flags.scenario.as_ref().is_some_and(|name| name != scenario.name) {
                continue;
            }
            ran += 1;
            failed += u64::from(!passes(scenario, seed, flags.kernel));
            if failed > 0 && !flags.keep_going {
                println!("1 failure in {ran} runs, seed {seed}");
                return failed;
            }
        }
        if shown.elapsed() > Duration::from_secs(2) {
            shown = Instant::now();
            println!("seed {seed}: {ran} runs, {failed} failures");
        }
    }
    println!("{ran} runs, {failed} failures in {:.0?}", start.elapsed());
    failed
}

fn passes(scenario: &'static Scenario, seed: u64, kernel: bool) -> bool {
    let current = Current { scenario: scenario.name, seed, kernel, since: Instant::now() };
    *CURRENT.lock().expect("no panic") = Some(current);
    let run = if kernel { rig::on_kernel } else { rig::on_sim };
    let passed = catch_unwind(AssertUnwindSafe(|| run(scenario, seed))).is_ok();
    *CURRENT.lock().expect("no panic") = None;
    passed
}

impl Current {
    fn tell(&self, what: &str) {
        let kernel = if self.kernel { " --kernel" } else { "" };
        let (scenario, seed) = (self.scenario, self.seed);
        // A closed stderr is no reason to lose the exit code.
        let _ = writeln!(
            std::io::stderr(),
            "\nFAILED: {scenario} with seed {seed}: {what}\n  \
             again: cargo xtask sim --seeds 1 --start {seed} --scenario {scenario}{kernel}"
        );
    }
}

/// Tells it before anything else: a panic in a panic aborts.
fn tell_the_seed_of_a_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let current = CURRENT.lock().map(|current| *current).unwrap_or_default();
        if let Some(current) = current {
            current.tell("it panics");
        }
        usual(panic);
    }));
}

/// Ends the program when one seed takes too long.
fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let current = *CURRENT.lock().expect("no panic");
            if let Some(current) = current.filter(|current| current.since.elapsed() > STUCK) {
                current.tell("it does not end");
                std::process::exit(1);
            }
        }
    });
}
