//! A small test harness that prints like the standard one.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// A test: its name and what it does.
pub(crate) type Test = (&'static str, fn());

/// A row of tests named `module::function`.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::runner::Test] =
            &[$((concat!(module_path!(), "::", stringify!($name)), $name as fn())),*];
    };
}

/// Longer than any test takes; a hang is reported, not waited out by a human.
const HANG: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Options {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
    threads: Option<usize>,
}

fn options() -> Options {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        match name {
            "--exact" => options.exact = true,
            "--list" => options.list = true,
            "--ignored" => options.ignored = true,
            "--skip" => options.skip.extend(inline.or_else(|| args.next())),
            "--test-threads" => {
                options.threads = inline.or_else(|| args.next()).and_then(|n| n.parse().ok());
            }
            "--format" | "--color" | "--logfile" | "-Z" if inline.is_none() => drop(args.next()),
            name if name.starts_with('-') => {}
            _ => options.filters.push(arg),
        }
    }
    options
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        let hit = |pattern: &String| {
            if self.exact { name == pattern } else { name.contains(pattern.as_str()) }
        };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

/// The name as libtest gives it: without the crate's own.
fn short(name: &str) -> &str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let options = options();
    let tests: Vec<Test> = tests.iter().map(|(name, run)| (short(name), *run)).collect();
    let all = tests.len();
    let chosen: VecDeque<Test> =
        tests.into_iter().filter(|(name, _)| !options.ignored && options.wants(name)).collect();
    if options.list {
        for (name, _) in &chosen {
            println!("{name}: test");
        }
        println!("\n{} tests, 0 benchmarks", chosen.len());
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} test{}", chosen.len(), if chosen.len() == 1 { "" } else { "s" });
    let begun = Instant::now();
    let filtered = all - chosen.len();
    let failed = run(chosen.clone(), options.threads.unwrap_or(2).max(1));
    let passed = chosen.len() - failed.len();
    if !failed.is_empty() {
        println!("\nfailures:");
        failed.iter().for_each(|name| println!("    {name}"));
    }
    println!(
        "\ntest result: {}. {passed} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered \
         out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        failed.len(),
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Tests whose names hold "alone" look at the whole process: they run after all others, singly.
fn run(tests: VecDeque<Test>, threads: usize) -> Vec<&'static str> {
    let (alone, shared): (VecDeque<Test>, VecDeque<Test>) =
        tests.into_iter().partition(|(name, _)| name.contains("alone"));
    let mut failed = run_on(shared, threads);
    failed.extend(run_on(alone, 1));
    failed
}

fn run_on(tests: VecDeque<Test>, threads: usize) -> Vec<&'static str> {
    let queue = Mutex::new(tests);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((name, test)) = queue.lock().unwrap().pop_front() else { return };
                    let ok = guarded(name, test);
                    println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
                    if !ok {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// Runs a test on a thread of its name. A hang ends the whole run: its threads cannot be stopped.
fn guarded(name: &'static str, test: fn()) -> bool {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ = done.send(panic::catch_unwind(AssertUnwindSafe(test)).is_ok());
    });
    let thread = thread.expect("starting a test's thread");
    match wait.recv_timeout(HANG) {
        Ok(ok) => {
            thread.join().expect("the test's panic was caught");
            ok
        }
        Err(_) => {
            println!("test {name} ... FAILED (hangs for {HANG:?})");
            std::process::exit(101);
        }
    }
}
