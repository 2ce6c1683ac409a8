//! The example `primes` of the crate `pool`, on as many machines as there are.
//!
//! ```text
//! apt-get install nats-server
//! nats-server -js -sd /tmp/primes &                              the queue, on one host
//!
//! cargo run -p pool-nats --example primes_cluster -- --agent &   an agent, on each host
//! cargo run -p pool-nats --example primes_cluster                a client, on any
//! cargo run -p pool-nats --example primes_cluster -- 97 91       numbers of your own
//! cargo run -p pool-nats --example primes_cluster -- --upto 1000000
//! ```
//!
//! `--server nats://HOST:4222` (first, or right after `--agent`) says where the queue is; this host
//! unless given. Kill an agent in the middle (`kill -9`), or the server, and start it again: the
//! count stays right.

use std::process::ExitCode;
use std::time::Duration;

use pool::Executor;
use pool_nats::{Agent, Functions, Queue, RemotePool};

const NUMBERS: [u64; 5] = [109999999, 108376355, 1276544678, 123555677, 234645542424];
const USAGE: &str =
    "usage: primes_cluster [--agent] [--server URL] [--upto N | NUMBER...]; see its source";

/// Trial division by the odd numbers up to the root.
fn is_prime(n: u64) -> bool {
    match n {
        0 | 1 => false,
        2 => true,
        n if n.is_multiple_of(2) => false,
        n => (3..=n.isqrt()).step_by(2).all(|divisor| !n.is_multiple_of(divisor)),
    }
}

/// What clients and agents know by name. It does no harm to check a number twice.
fn functions() -> Functions {
    Functions::new().add_idempotent("is_prime", is_prime)
}

/// As in `primes`: nothing here knows what kind of pool it is.
fn print_primes(pool: &impl Executor, numbers: &[u64]) -> Result<(), Box<dyn std::error::Error>> {
    for (number, prime) in numbers.iter().zip(pool.map(is_prime, numbers.to_vec())) {
        println!("{number} is prime: {}", if prime? { "True" } else { "False" });
    }
    Ok(())
}

fn count_primes(pool: &impl Executor, upto: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut count = 0;
    for prime in pool.map(is_prime, 1..=upto) {
        count += u64::from(prime?);
    }
    println!("{count} primes up to {upto}");
    Ok(())
}

fn run(flags: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let (agent, flags) = match flags {
        ["--agent", rest @ ..] => (true, rest),
        _ => (false, flags),
    };
    let (url, flags) = match flags {
        ["--server", url, rest @ ..] => (*url, rest),
        _ => ("nats://127.0.0.1:4222", flags),
    };
    let queue = Queue::new(url, "primes").ack_wait(Duration::from_secs(5));
    if agent {
        return Ok(Agent::new(queue, functions()).run()?);
    }
    let (upto, numbers) = match flags {
        [] => (None, NUMBERS.to_vec()),
        ["--upto", number] => (Some(number.parse()?), Vec::new()),
        [flag, ..] if flag.starts_with('-') => return Err(USAGE.into()),
        numbers => (None, numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?),
    };
    let pool = RemotePool::connect(queue, functions())?;
    if !pool.wait_for_workers(1, Duration::from_secs(2)) {
        eprintln!("no agent has been heard of yet: start this program with --agent somewhere");
    }
    match upto {
        Some(upto) => count_primes(&pool, upto),
        None => print_primes(&pool, &numbers),
    }
}

fn main() -> ExitCode {
    // First of all: the workers of an agent are this program, and turn aside here.
    pool::init();
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("primes_cluster: {error}");
            ExitCode::FAILURE
        }
    }
}
