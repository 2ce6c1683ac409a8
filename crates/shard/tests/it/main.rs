//! The behaviour of shards through their public API, on the kernel's rings.
#![cfg(not(loom))]

mod calls;
mod channel;
mod echo;
mod endurance;
mod entry;
mod everywhere;
mod kv;
mod links;
mod listeners;
mod peers;
mod processes;
mod program;
mod restart;
mod server;
mod services;
mod start;
mod stop;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine.
const GUARD: Duration = Duration::from_secs(120);

/// Runs a test in a thread of its own; one that hangs fails.
fn guarded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || done.send(test()));
    match is_done.recv_timeout(GUARD) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it sent nothing"))
        }
    }
}

/// The program of an example, built anew if need be: `cargo test --test it` builds none. With a
/// fault in it, it was built by who planted that.
fn example(name: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let own = std::env::current_exe().expect("it runs");
    let folder = own.ancestors().nth(2).expect("target/debug/deps/it");
    BUILD.call_once(|| {
        if std::env::var_os("MUTANT").is_some() {
            return;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "-q", "-p", env!("CARGO_PKG_NAME"), "--examples", "--target-dir"]);
        build.arg(folder.parent().expect("target"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.status();
        assert!(built.is_ok_and(|status| status.success()), "the examples cannot be built");
    });
    folder.join("examples").join(name)
}

/// The CPUs we may use.
fn cpus() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().expect("the mask can be read");
    ids.into_iter().map(|id| id.id).collect()
}

/// `count` shards' worth of CPUs, used again and again if there are fewer.
fn seats(count: usize) -> Vec<usize> {
    cpus().into_iter().cycle().take(count).collect()
}

/// Two CPUs; or says that the test is skipped, by name.
fn two_cpus(test: &str) -> Option<[usize; 2]> {
    match *cpus() {
        [first, second, ..] => Some([first, second]),
        _ => {
            println!("skipped: {test}: it needs two CPUs, and the affinity mask has one");
            None
        }
    }
}

/// How many threads of this process have names that begin so.
fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc is mounted");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    // A thread that has just ended has no name.
    tasks.flatten().filter_map(|task| name(task).ok()).filter(|at| at.starts_with(prefix)).count()
}

/// Waits until `condition` holds; the guard of the test ends it.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < GUARD, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
