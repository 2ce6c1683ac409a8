//! What a run costs and what it consists of: CPU time and switches by getrusage(2), threads,
//! memory and cores by /proc.
//!
//! A process notes the cores of its own threads ([`note`]); child processes are seen from outside
//! ([`Watch`]), by the measured process itself when its last job is done and by its parent every
//! few milliseconds.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

use super::report::{Cost, Pin, Seen};

/// Confines the calling thread, and those it starts later, to `cores`.
///
/// # Errors
///
/// When none of them exists or is allowed.
pub fn confine(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core).with_context(|| format!("no core {core}"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("confining to {cores:?}"))
}

/// The cost of this process and of the children it has waited for, so far.
///
/// # Errors
///
/// When getrusage(2) fails.
pub fn cost() -> anyhow::Result<Cost> {
    let mut cost = Cost::default();
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            cost.cpu += Duration::from_secs(time.tv_sec() as u64)
                + Duration::from_micros(time.tv_usec() as u64);
        }
        cost.voluntary += usage.voluntary_context_switches() as u64;
        cost.involuntary += usage.involuntary_context_switches() as u64;
    }
    Ok(cost)
}

/// What was added from `before` to `after`.
#[must_use]
pub fn difference(after: Cost, before: Cost) -> Cost {
    Cost {
        cpu: after.cpu.saturating_sub(before.cpu),
        voluntary: after.voluntary.saturating_sub(before.voluntary),
        involuntary: after.involuntary.saturating_sub(before.involuntary),
    }
}

static NOTES: Mutex<BTreeMap<(String, String), usize>> = Mutex::new(BTreeMap::new());

/// Notes where the calling thread may run.
pub fn note(who: &str) {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let cores = field(&status, "Cpus_allowed_list:").unwrap_or("unknown");
    note_as(who, cores, 1);
}

fn note_as(who: &str, cores: &str, count: usize) {
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    *notes.entry((who.to_owned(), cores.to_owned())).or_default() += count;
}

/// Adds what another process noted.
pub fn note_all(pins: &[Pin]) {
    pins.iter().for_each(|pin| note_as(&pin.who, &pin.cores, pin.count));
}

/// All that was noted in this process.
#[must_use]
pub fn notes() -> Vec<Pin> {
    let notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    let pin = |((who, cores), &count): (&(String, String), &usize)| Pin {
        who: who.clone(),
        cores: cores.clone(),
        count,
    };
    notes.iter().map(pin).collect()
}

/// Looks at a process from time to time, and at its descendants when asked to.
#[derive(Debug)]
pub struct Watch {
    root: u32,
    descendants: bool,
    peaks: BTreeMap<u32, u64>,
    seen: Seen,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(root: u32, descendants: bool) -> Self {
        Self { root, descendants, peaks: BTreeMap::new(), seen: Seen::default() }
    }

    /// Looks now.
    pub fn look(&mut self) {
        let pids = if self.descendants { family(self.root) } else { vec![self.root] };
        let (mut threads, mut processes) = (0, 0);
        for pid in pids {
            // One that has ended meanwhile is no error.
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let number = |name| field(&status, name).and_then(|text| text.parse::<u64>().ok());
            processes += 1;
            threads += number("Threads:").unwrap_or(0);
            // kB; the peak belongs to the memory, so that exec begins anew. A zombie has none.
            if let Some(peak) = number("VmHWM:") {
                let known = self.peaks.entry(pid).or_default();
                *known = (*known).max(peak * 1024);
            }
        }
        let peak_bytes = self.peaks.values().sum();
        self.seen = self.seen.max(Seen { threads, processes, peak_bytes });
    }

    /// Takes in what another has seen.
    pub fn saw(&mut self, seen: Seen) {
        self.seen = self.seen.max(seen);
    }

    /// The most that was seen.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Looks, and notes where the child processes may run, as `who`.
    pub fn look_and_note(&mut self, who: &str) {
        self.look();
        let mut pids = Vec::new();
        descendants(self.root, &mut pids);
        for pid in pids {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            note_as(who, field(&status, "Cpus_allowed_list:").unwrap_or("unknown"), 1);
        }
    }
}

/// A process and its descendants.
#[must_use]
pub fn family(root: u32) -> Vec<u32> {
    let mut pids = vec![root];
    descendants(root, &mut pids);
    pids
}

/// Adds the descendants of `pid`. See proc_pid_task(5), `children`.
fn descendants(pid: u32, found: &mut Vec<u32>) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in text.split_whitespace().filter_map(|word| word.parse().ok()) {
            found.push(child);
            descendants(child, found);
        }
    }
}

/// The word that follows `name` at the begin of a line.
fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_seen_with_its_memory_and_threads() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut watch = Watch::new(std::process::id(), true);
        watch.look();
        let seen = watch.seen();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen.processes >= 2 && seen.threads >= 3, "{seen:?}");
        assert!(seen.peak_bytes > 200_000, "{seen:?}");
    }

    #[test]
    fn cost_grows_with_work() {
        let before = cost().unwrap();
        let mut after = before;
        while after.cpu == before.cpu {
            std::hint::black_box(super::super::primes::work(101, 100_000));
            after = cost().unwrap();
        }
        assert!(difference(after, before).cpu > Duration::ZERO);
        assert_eq!(
            difference(before, after),
            Cost { cpu: Duration::ZERO, ..difference(before, after) }
        );
    }

    #[test]
    fn a_thread_notes_its_own_cores() {
        let first = notes_of_a_pinned_thread();
        assert_eq!(first.count, 1);
        assert!(first.cores.parse::<usize>().is_ok(), "{first:?}");
    }

    fn notes_of_a_pinned_thread() -> Pin {
        let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap();
        let core = (0..CpuSet::count()).find(|&core| allowed.is_set(core).unwrap()).unwrap();
        std::thread::spawn(move || {
            confine(&[core]).unwrap();
            note("pinned");
        })
        .join()
        .unwrap();
        notes().into_iter().find(|pin| pin.who == "pinned").unwrap()
    }
}
