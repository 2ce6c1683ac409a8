//! What a process has used so far, read from /proc: CPU time of all its threads, memory, switches.
//!
//! Facts: proc_pid_schedstat (Documentation/scheduler/sched-stats.rst: the first number is the time
//! spent on a CPU in nanoseconds), proc_pid_status(5), proc_pid_statm(5).

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::Context;

/// A reading of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU, user and kernel, of all threads alive.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Times a thread gave the CPU up to wait.
    pub voluntary: u64,
    /// Times a thread had it taken away.
    pub involuntary: u64,
}

/// Reads process `pid` now.
///
/// # Errors
///
/// When the process is gone or its files cannot be read.
pub fn of(pid: u32) -> anyhow::Result<Usage> {
    let threads = threads(pid, |_| true)?;
    Ok(Usage { resident: resident(pid)?, ..threads })
}

/// CPU time of all threads of this process but the main one, and of all processes that descend from
/// it and are alive.
///
/// # Errors
///
/// As [`of`].
pub fn cpu_of_all_but_main() -> anyhow::Result<Duration> {
    let own = std::process::id();
    let mut cpu = threads(own, |thread| thread != own.to_string().as_str())?.cpu;
    for pid in descendants(own)? {
        // One that has ended meanwhile is no error: then it is none that is alive.
        cpu += threads(pid, |_| true).map_or(Duration::ZERO, |usage| usage.cpu);
    }
    Ok(cpu)
}

/// The processes that `ancestor` has started, and those that they have.
fn descendants(ancestor: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("listing /proc")? {
        let entry = entry?;
        let pid: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if let (Some(pid), Some(parent)) = (pid, field(&status, "PPid:")) {
            parents.push((pid, u32::try_from(parent)?));
        }
    }
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

/// All but the memory, of those threads of a process whose ids are wanted.
fn threads(pid: u32, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Usage> {
    let mut usage = Usage::default();
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("listing {tasks}"))? {
        let task = task?;
        if !task.file_name().to_str().is_some_and(&wanted) {
            continue;
        }
        match thread(&task.path()) {
            // A thread that ended between the listing and the reading is no error.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            one => {
                let one = one.with_context(|| format!("reading a thread of {pid}"))?;
                usage.cpu += one.cpu;
                usage.voluntary += one.voluntary;
                usage.involuntary += one.involuntary;
            }
        }
    }
    Ok(usage)
}

/// Resident memory of process `pid` in bytes.
///
/// # Errors
///
/// As [`of`].
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(field(&text, "Rss:").context("no Rss in smaps_rollup")? * 1024)
}

fn thread(path: &std::path::Path) -> io::Result<Usage> {
    let times = fs::read_to_string(path.join("schedstat"))?;
    let status = fs::read_to_string(path.join("status"))?;
    let on_cpu = times.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(Usage {
        cpu: Duration::from_nanos(on_cpu),
        resident: 0,
        voluntary: field(&status, "voluntary_ctxt_switches:").unwrap_or(0),
        involuntary: field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0),
    })
}

/// The number that follows `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_cpu_time_grows_with_work() {
        let before = of(std::process::id()).unwrap();
        let mut sum = 0_u64;
        // schedstat moves at a tick or a switch: work until it does
        while of(std::process::id()).unwrap().cpu == before.cpu {
            (0..100_000_u64).for_each(|i| sum = std::hint::black_box(sum ^ i));
        }
        assert!(before.resident > 100_000, "{before:?}");
    }

    #[test]
    fn descendants_are_children_and_theirs() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 100 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = shell.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut io::BufReader::new(said), &mut line).unwrap();
        let sleeper: u32 = line.trim().parse().unwrap();
        let found = descendants(std::process::id()).unwrap();
        let sleeps = nix::unistd::Pid::from_raw(sleeper as i32);
        nix::sys::signal::kill(sleeps, nix::sys::signal::Signal::SIGKILL).unwrap();
        let shell_was = shell.id();
        shell.wait().unwrap();
        assert!(found.contains(&shell_was) && found.contains(&sleeper), "{found:?}");
        assert!(!found.contains(&std::process::id()) && !found.contains(&1), "{found:?}");
    }

    #[test]
    fn a_field_is_found_at_the_beginning_of_a_line_only() {
        let text = "nonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t42\n";
        assert_eq!(field(text, "voluntary_ctxt_switches:"), Some(42));
        assert_eq!(field(text, "Rss:"), None);
    }
}
