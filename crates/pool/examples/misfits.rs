//! Jobs that no pool likes, among thousands of good ones: each costs itself, and nobody else.
//!
//! ```text
//! cargo run -p pool --example misfits                 5000 good jobs
//! cargo run -p pool --example misfits -- 20000        more of them
//! ```

use std::process::ExitCode;
use std::time::Duration;

use pool::{Job, JobError, JobOptions, ProcessPool};

fn good(n: u64) -> u64 {
    (1..=n % 1000).fold(n, |sum, k| sum.wrapping_mul(31).wrapping_add(k))
}

fn segfault() -> u64 {
    // As a stray pointer in some C library would; to write one here would take unsafe code. The
    // first signal only ends the standard library's handler, which expects the same fault again.
    loop {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV);
    }
}

fn leak() -> u64 {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1u8; 1 << 20]);
    }
}

fn never_return() -> u64 {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn run(good_jobs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let pool = ProcessPool::builder().memory_limit(256 << 20).build()?;
    let limit = Duration::from_secs(2);
    let named = |name: &str| JobOptions::new().name(name).timeout(limit);
    let misfits: [&dyn Fn() -> Job<u64>; 5] = [
        &|| pool.submit_with(named("segfaults"), segfault, ()),
        &|| pool.submit_with(named("aborts"), || std::process::abort(), ()),
        &|| pool.submit_with(named("leaks"), leak, ()),
        &|| pool.submit_with(named("never returns"), never_return, ()),
        &|| pool.submit_with(named("panics"), || panic!("on purpose"), ()),
    ];
    let mut jobs: Vec<(u64, Job<u64>)> = Vec::new();
    let mut bad: Vec<Job<u64>> = Vec::new();
    let every = (good_jobs / misfits.len() as u64).max(1);
    for n in 0..good_jobs {
        jobs.push((n, pool.submit(good, (n,))));
        if n % every == every / 2
            && let Some(misfit) = misfits.get((n / every) as usize)
        {
            bad.push(misfit());
        }
    }
    // One more, by hand.
    let killed = pool.submit_with(JobOptions::new().name("is killed"), never_return, ());
    let mut right = 0;
    for (n, job) in jobs {
        right += u64::from(job.wait()? == good(n));
    }
    while killed.state() == pool::JobState::Pending {
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill();
    bad.push(killed);
    for job in bad {
        match job.wait() {
            Ok(value) => return Err(format!("a misfit came to a result: {value}").into()),
            Err(JobError::Panicked(panic)) => println!("  {}: {}", panic.task, panic.message),
            Err(error) => println!("  {error}"),
        }
    }
    println!("{right} of {good_jobs} other jobs finished with the right answer");
    println!("{} workers died", pool.statistics().deaths);
    Ok(())
}

fn main() -> ExitCode {
    // First of all: the workers of a process pool are this program, and turn aside here.
    pool::init();
    let jobs = std::env::args().nth(1).map_or(Ok(5000), |text| text.parse());
    let done = jobs.map_err(Into::into).and_then(run);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("misfits: {error}");
            ExitCode::FAILURE
        }
    }
}
