//! Checks some numbers for being prime, each in another worker: processes, or threads when asked.
//!
//! ```text
//! cargo run -p pool --example primes                      worker processes, one per core
//! cargo run -p pool --example primes -- --processes 4     four worker processes
//! cargo run -p pool --example primes -- --threads         threads of this process
//! cargo run -p pool --example primes -- 97 91             numbers of your own
//! cargo run -p pool --example primes -- --upto 1000000    all up to there, with progress
//! ```

use std::process::ExitCode;
use std::sync::Mutex;

use pool::{Executor, ProcessPool, ThreadPool};

const NUMBERS: [u64; 5] = [109999999, 108376355, 1276544678, 123555677, 234645542424];

/// Trial division by the odd numbers up to the root.
fn is_prime(n: u64) -> bool {
    match n {
        0 | 1 => false,
        2 => true,
        n if n.is_multiple_of(2) => false,
        n => (3..=n.isqrt()).step_by(2).all(|divisor| !n.is_multiple_of(divisor)),
    }
}

fn print_primes(pool: &impl Executor, numbers: &[u64]) -> Result<(), Box<dyn std::error::Error>> {
    for (number, prime) in numbers.iter().zip(pool.map(is_prime, numbers.to_vec())) {
        println!("{number} is prime: {}", if prime? { "True" } else { "False" });
    }
    Ok(())
}

/// Counts the primes up to a number, and says how far it is.
fn count_primes(pool: &impl Executor, upto: u64) -> Result<(), Box<dyn std::error::Error>> {
    let percent = Mutex::new(0);
    let map = pool.map(is_prime, 1..=upto).on_progress(move |progress| {
        let now = progress.done * 100 / upto.max(1);
        // Once for each per cent, by whoever gets there first.
        let mut shown = percent.lock().expect("nobody panics with it");
        if *shown < now {
            *shown = now;
            eprint!("\r{now} % of {upto} numbers");
        }
    });
    let mut count = 0;
    for prime in map {
        count += u64::from(prime?);
    }
    eprintln!();
    println!("{count} primes up to {upto}");
    Ok(())
}

fn run(mut flags: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let mut processes = ProcessPool::builder();
    let (mut threads, mut upto) = (false, None);
    while let [flag, rest @ ..] = flags {
        match (*flag, rest) {
            ("--threads", _) => threads = true,
            ("--processes", [count, ..]) => processes = processes.workers(count.parse()?),
            ("--upto", [number, ..]) => upto = Some(number.parse()?),
            (flag, _) if flag.starts_with('-') => {
                return Err(
                    "usage: primes [--threads | --processes N] [--upto N | NUMBER...]".into()
                );
            }
            _ => break,
        }
        flags = if *flag == "--threads" { rest } else { &rest[1..] };
    }
    let numbers: Vec<u64> = flags.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let numbers = if numbers.is_empty() { NUMBERS.to_vec() } else { numbers };
    match (threads, upto) {
        (true, None) => print_primes(&ThreadPool::new(), &numbers),
        (true, Some(upto)) => count_primes(&ThreadPool::new(), upto),
        (false, None) => print_primes(&processes.build()?, &numbers),
        (false, Some(upto)) => count_primes(&processes.build()?, upto),
    }
}

fn main() -> ExitCode {
    // First of all: the workers of a process pool are this program, and turn aside here.
    pool::init();
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("primes: {error}");
            ExitCode::FAILURE
        }
    }
}
