//! Small things several tests use.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use pool::{JobError, Panic, ProcessPool, WorkerDeath};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is: polls, and parks the thread until woken.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A process pool with so many workers.
pub(crate) fn processes(workers: usize) -> ProcessPool {
    ProcessPool::builder().workers(workers).build().unwrap()
}

/// Waits until `condition` holds; far longer than it should take.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
pub(crate) fn panic_of<R: std::fmt::Debug>(result: Result<R, JobError>) -> Panic {
    match result {
        Err(JobError::Panicked(panic)) => *panic,
        other => panic!("not a panic: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn death_of<R: std::fmt::Debug>(result: Result<R, JobError>) -> WorkerDeath {
    match result {
        Err(JobError::WorkerDied(death)) => *death,
        other => panic!("not a worker's death: {other:?}"),
    }
}

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The state letter of every child of this process: `Z` for a zombie.
pub(crate) fn children() -> Vec<(u32, char)> {
    let me = std::process::id();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The name, in parentheses, may hold anything; what follows the last one is plain.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = fields.next().and_then(|state| state.chars().next()).unwrap_or('?');
        if fields.next().and_then(|parent| parent.parse().ok()) == Some(me) {
            found.push((pid, state));
        }
    }
    found
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}

/// A file that is there or not: lets jobs in worker processes wait for the test, and tell it
/// things.
pub(crate) struct Flag(pub(crate) String);

impl Flag {
    pub(crate) fn new(name: &str) -> Flag {
        let flag = Flag(format!("/tmp/pool-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&flag.0);
        flag
    }

    pub(crate) fn raise(&self) {
        std::fs::write(&self.0, "").unwrap();
    }

    pub(crate) fn is_raised(&self) -> bool {
        std::fs::exists(&self.0).unwrap()
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A job for a worker process: raises one flag, waits for another.
pub(crate) fn raise_then_wait(started: String, go_on: String) -> u32 {
    Flag::raise(&std::mem::ManuallyDrop::new(Flag(started)));
    while !std::fs::exists(&go_on).unwrap() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::process::id()
}

/// The threads of this process that collect for the pool: there is none, or one.
pub(crate) fn collectors_of(pool: &ProcessPool) -> Vec<i32> {
    let id =
        format!("{pool:?}").split("id: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let wanted = format!("pool-{id}-collect");
    let collects = |task: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm"));
        // The kernel keeps 15 bytes.
        name.is_ok_and(|name| name.trim() == &wanted[..wanted.len().min(15)])
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| task.file_name().to_str().unwrap().parse().unwrap();
    tasks.filter(collects).map(name).collect()
}
