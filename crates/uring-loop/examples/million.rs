//! A million tasks asleep at once on one loop, woken over one second.
//!
//! Prints what a sleeping task costs in memory, and how late the tasks woke. Run it as
//! `cargo run --release -p uring-loop --example million`; `--tasks N` takes another number.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use uring_loop::time::{now, sleep_until};
use uring_loop::{Statistics, spawn, yield_now};

const HELP: &str = "\
A million tasks asleep at once on one loop, woken over one second.

  --tasks N    how many (default 1000000)
";

/// The moments of waking lie in this time.
const OVER: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let tasks = match tasks_asked_for() {
        Ok(Some(tasks)) => tasks,
        Ok(None) => {
            print!("{HELP}");
            return Ok(());
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{HELP}");
            std::process::exit(2);
        }
    };
    uring_loop::run(sleepers(tasks))?
}

async fn sleepers(tasks: u32) -> io::Result<()> {
    let lateness = Rc::new(RefCell::new(Vec::with_capacity(tasks as usize)));
    // Its pages are not the tasks' memory.
    lateness.borrow_mut().resize(tasks as usize, 0_u32);
    lateness.borrow_mut().clear();

    let before = resident()?;
    let begin = Instant::now();
    // Late enough that all are asleep by then: making a task takes less than a microsecond, or, in
    // a debug build, a few.
    let first = now() + Duration::from_millis(500) + Duration::from_micros(5) * tasks;
    for index in 0..tasks {
        drop(spawn(sleeper(first + moment(index, tasks), lateness.clone())));
    }
    while asleep() < tasks as usize {
        yield_now().await;
    }
    let made = begin.elapsed();
    let memory = resident()?.saturating_sub(before);
    println!("{tasks} tasks asleep after {made:.2?}, {} bytes each", memory / u64::from(tasks));
    if now() >= first {
        println!("(the first moments were over by then: this machine is busy, or the build slow)");
    }

    sleep_until(first + OVER).await;
    while lateness.borrow().len() < tasks as usize {
        yield_now().await;
    }
    let mut lateness = lateness.borrow_mut();
    lateness.sort_unstable();
    let at =
        |share: f64| Duration::from_nanos(lateness[(share * f64::from(tasks - 1)) as usize].into());
    println!(
        "woken over {OVER:?}; late by p50 {:?}, p99 {:?}, max {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

async fn sleeper(moment: Instant, lateness: Rc<RefCell<Vec<u32>>>) {
    sleep_until(moment).await;
    let late = now() - moment;
    lateness.borrow_mut().push(u32::try_from(late.as_nanos()).unwrap_or(u32::MAX));
}

/// When a task wakes: each moment once, in no order (a multiplier without common divisor with any
/// number of tasks up to 4 billion is a prime above them).
fn moment(index: u32, tasks: u32) -> Duration {
    let shuffled = u64::from(index) * 4_294_967_311 % u64::from(tasks);
    Duration::from_nanos(OVER.as_nanos() as u64 * shuffled / u64::from(tasks))
}

/// How many tasks wait for their moment. One that has not had its first step does not.
fn asleep() -> usize {
    // The timers are those of the tasks: nothing else sleeps here.
    Statistics::current().timers
}

/// Resident memory of this process, in bytes.
fn resident() -> io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm has another form"))?;
    Ok(pages * 4096)
}

/// `None` if help was asked for.
fn tasks_asked_for() -> Result<Option<u32>, String> {
    let mut arguments = std::env::args().skip(1);
    let mut tasks = 1_000_000;
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--tasks" => {
                let value = arguments.next().ok_or("--tasks needs a value")?;
                tasks = value.parse().map_err(|_| format!("--tasks {value}: not a number"))?;
            }
            _ => return Err(format!("{name}: no such option")),
        }
    }
    if tasks == 0 { Err("--tasks 0: give at least 1".into()) } else { Ok(Some(tasks)) }
}
