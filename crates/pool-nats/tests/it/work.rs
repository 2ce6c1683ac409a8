//! What the jobs of the tests do, by name.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::parent_id;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pool_nats::Functions;

pub(crate) fn square(n: u64) -> u64 {
    n * n
}

/// Takes its time.
pub(crate) fn slow_square(n: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(2));
    n * n
}

pub(crate) fn quarter(n: u32) -> u32 {
    assert!(n.is_multiple_of(4), "{n} is not a multiple of 4");
    n / 4
}

/// Adds a line to a file as it begins, another as it ends; takes so many milliseconds.
pub(crate) fn note(path: String, line: u64, millis: u64) -> u64 {
    append(&path, &format!("begin {line}"));
    std::thread::sleep(Duration::from_millis(millis));
    append(&path, &format!("end {line}"));
    line
}

/// The same, as a function that may run once.
pub(crate) fn note_once(path: String, line: u64, millis: u64) -> u64 {
    note(path, line, millis)
}

fn append(path: &str, line: &str) {
    // One write of few bytes is one line, whoever else writes.
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Adds a line, and waits until a file is there.
pub(crate) fn note_and_wait(path: String, line: u64, until: String) -> u64 {
    append(&path, &format!("begin {line}"));
    while !std::fs::exists(&until).unwrap() {
        std::thread::sleep(Duration::from_millis(2));
    }
    line
}

/// Adds a line, and takes its worker down.
pub(crate) fn abort(path: String) -> u64 {
    append(&path, "abort");
    std::process::abort()
}

/// Takes its worker down the first time.
pub(crate) fn abort_once(path: String) -> u64 {
    match std::fs::exists(&path).unwrap() {
        true => 7,
        false => abort(path),
    }
}

/// The same, as a function that may run once.
pub(crate) fn abort_once_once(path: String) -> u64 {
    abort_once(path)
}

/// Takes the agent down: a worker is its child.
pub(crate) fn shoot_the_agent(path: String) -> u64 {
    append(&path, "shot");
    kill(Pid::from_raw(parent_id() as i32), Signal::SIGKILL).unwrap();
    std::thread::sleep(Duration::from_secs(60));
    0
}

pub(crate) fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

pub(crate) fn bytes_of(length: usize) -> Vec<u8> {
    (0..length).map(|n| n as u8).collect()
}

pub(crate) fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

pub(crate) fn functions() -> Functions {
    Functions::new()
        .add_idempotent("square", square)
        .add_idempotent("slow_square", slow_square)
        .add_idempotent("quarter", quarter)
        .add_idempotent("note", note)
        .add("note_once", note_once)
        .add_idempotent("note_and_wait", note_and_wait)
        .add_idempotent("abort", abort)
        .add_idempotent("abort_once", abort_once)
        .add("abort_once_once", abort_once_once)
        .add_idempotent("shoot_the_agent", shoot_the_agent)
        .add_idempotent("length", length)
        .add_idempotent("bytes_of", bytes_of)
        .add_idempotent("sleep", sleep)
}

/// As an older build might have them.
pub(crate) fn other_functions() -> Functions {
    Functions::new().add_idempotent("square", |n: u32| n * n).add_idempotent("quarter", quarter)
}
