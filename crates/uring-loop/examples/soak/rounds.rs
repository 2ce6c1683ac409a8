//! The scenarios again and again on one loop of the kernel; after each round nothing may be left of
//! it, and over the rounds memory may not grow.

#[path = "children.rs"]
mod children;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use uring_loop::Statistics;

use crate::scenarios::rig::Rounds;

/// What a soak has done.
pub(crate) struct Soaked {
    pub(crate) rounds: u64,
    pub(crate) statistics: Statistics,
    /// Resident memory when warm, and at the end, in bytes.
    pub(crate) warm: u64,
    pub(crate) end: u64,
}

/// By how much resident memory may be above that of the warm loop: what one round needs that
/// another does not, and what the allocator cannot use again for being in pieces. A leak of 60 KiB
/// a round is found within the fewest rounds, a smaller one by a longer soak.
const ROOM: u64 = 2 << 20;

/// Rounds of which a third, at least, make the loop warm.
const FEWEST: u64 = 75;

/// Runs for so long, and for some rounds at least. `level`: memory must not grow.
///
/// # Panics
///
/// If a scenario fails, and if anything is left: an operation, an orphan, a task, a timer, a
/// buffer, a descriptor, a panic nobody heard of, memory.
pub(crate) fn soak(seed: u64, time: Duration, level: bool) -> Soaked {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let mut rounds = Rounds::new(seed, folder.path());
    let start = Instant::now();
    let (mut count, mut warm, mut end) = (0, 0, 0);
    let mut open = Vec::new();
    while count < FEWEST || start.elapsed() < time {
        rounds.next(children::run);
        count += 1;
        let mut now = open_descriptors();
        // A folder that a helper thread reads for nobody any more is closed when it is done.
        let patience = Instant::now() + Duration::from_secs(20);
        while count > 1 && now.len() > open.len() && Instant::now() < patience {
            rounds.rest();
            now = open_descriptors();
        }
        if count == 1 {
            open = now.clone(); // the ring, its bell, and the like
        }
        assert!(now.len() <= open.len(), "open are {now:?}, and were only {open:?}");
        end = resident();
        // The most of the first third: a high mark that what follows must not rise above.
        if count <= FEWEST / 3 || start.elapsed() < time / 3 {
            warm = end.max(warm);
        }
        assert!(
            !level || end <= warm + ROOM,
            "{} KiB more memory than when warm",
            (end - warm) >> 10
        );
    }
    let statistics = rounds.end();
    Soaked { rounds: count, statistics, warm, end }
}

/// What the descriptors of this process stand for.
fn open_descriptors() -> Vec<PathBuf> {
    let folder = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    // The one of the folder itself is gone when its name is read.
    folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

/// The second figure of /proc/PID/statm (proc_pid_statm(5)), in pages of x86-64. Larger ones make
/// the bound of this soak the wider by as much.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a figure") * 4096
}
