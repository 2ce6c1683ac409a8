//! What the machine has room for: threads, and open files.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use super::batch::WAITING_THREADS;
use super::report::Order;
use super::{Model, Workload};
use crate::foreign::Foreign;

/// Room for what else runs on the machine when threads are counted.
const SPARE_THREADS: usize = 500;

/// Descriptors of a process beside its connections: its streams, rings, pipes, and listeners.
const SPARE_FILES: usize = 64;

/// Why the machine has no room for so great a load; `None` when it has, or when less would do.
#[must_use]
pub fn refusal(order: &Order) -> Option<String> {
    if !order.exact {
        return None;
    }
    let units = order.load.min(order.count());
    let python_threads = order.model == Model::Foreign(Foreign::PythonThreads);
    let one_for_each = order.model == Model::ThreadPerJob && order.workload != Workload::Switches;
    if one_for_each || (python_threads && order.workload.is_served()) {
        let (most, limit) = most_threads();
        if units > most {
            return Some(format!("{units} threads at once: {limit} leaves room for {most}"));
        }
    }
    if order.model == Model::Sequential && order.workload.is_served() && units > backlog() {
        return Some(format!(
            "{units} connections at once: a server that is done with one before it accepts the \
             next leaves them to the kernel, which queues {} (net.core.somaxconn)",
            backlog()
        ));
    }
    let (open, most) = (connections(order), most_files());
    let wanted = open + SPARE_FILES;
    (wanted > most).then(|| {
        format!(
            "{open} connections at once need {wanted} descriptors in a process, and ulimit -Hn \
             gives {most}"
        )
    })
}

/// How many connections a process has at once.
fn connections(order: &Order) -> usize {
    let units = order.load.min(order.count());
    match (order.workload, order.model) {
        (Workload::Downloads, Model::Sequential | Model::ProcessPool) => 1,
        (Workload::Downloads, Model::ThreadPool) => units.min(WAITING_THREADS),
        (workload, _) if workload.has_counterpart() => units,
        _ => 0,
    }
}

/// How many jobs there may be where less would do, and what sets that limit; `None`: all of them.
#[must_use]
pub fn room(order: &Order) -> Option<(usize, String)> {
    let (threads, limit) = match order.model {
        Model::ThreadPerJob => most_threads(),
        _ => (usize::MAX, ""),
    };
    let files = match connections(order) {
        few if few < order.count() => usize::MAX,
        _ => most_files().saturating_sub(SPARE_FILES).max(1),
    };
    let (most, why) = match threads < files {
        true => (threads, format!("{limit} leaves room for {threads} threads")),
        false => (files, format!("ulimit -Hn leaves room for {files} connections")),
    };
    (most < order.count()).then_some((most, why))
}

/// How many threads this process may have, and what sets that limit.
#[must_use]
pub fn most_threads() -> (usize, &'static str) {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let pids = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/')).join("pids.max");
    let processes = getrlimit(Resource::RLIMIT_NPROC).map_or(u64::MAX, |(soft, _)| soft);
    [
        (usize::try_from(processes).ok(), "ulimit -u"),
        (number("/proc/sys/kernel/threads-max"), "kernel.threads-max"),
        (number("/proc/sys/kernel/pid_max"), "kernel.pid_max"),
        // stack, its guard, signal stack, its guard
        (number("/proc/sys/vm/max_map_count").map(|maps| maps / 4), "vm.max_map_count"),
        (number(&pids.to_string_lossy()), "pids.max of the control group"),
    ]
    .into_iter()
    .filter_map(|(most, name)| Some((most?.saturating_sub(SPARE_THREADS).max(1), name)))
    .min()
    .unwrap_or((usize::MAX, "nothing"))
}

/// How many connections the kernel accepts for a process that doesn't.
#[must_use]
pub fn backlog() -> usize {
    /// Since Linux 5.4.
    const USUAL: usize = 4096;
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    text.trim().parse().unwrap_or(USUAL)
}

/// How many descriptors a process may have once it has raised its limit.
#[must_use]
pub fn most_files() -> usize {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard);
    usize::try_from(hard).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_beyond_the_machine_is_refused_with_its_limit() {
        let order = |workload, model, load| Order {
            load,
            size: load,
            exact: true,
            ..Order::new(workload, model)
        };
        let threads = refusal(&order(Workload::Sleepers, Model::ThreadPerJob, usize::MAX >> 8));
        assert!(threads.as_ref().is_some_and(|why| why.contains("leaves room for")), "{threads:?}");
        let files = refusal(&order(Workload::Echo, Model::Coroutines, usize::MAX >> 8));
        assert!(files.as_ref().is_some_and(|why| why.contains("ulimit -Hn")), "{files:?}");
        assert_eq!(refusal(&order(Workload::Sleepers, Model::Coroutines, 100_000)), None);
        let few = order(Workload::Downloads, Model::ThreadPool, usize::MAX >> 8);
        assert_eq!(refusal(&few), None, "it has few connections at a time");
        let all = Order { exact: false, ..order(Workload::Downloads, Model::Coroutines, 1 << 40) };
        assert!(
            room(&all).is_some_and(|(most, why)| most < 1 << 40 && why.contains("connections"))
        );
        let all = Order { exact: false, ..order(Workload::Sleepers, Model::ThreadPerJob, 1 << 40) };
        assert!(room(&all).is_some_and(|(most, why)| most < 1 << 40 && why.contains("threads")));
        assert_eq!(room(&order(Workload::Sleepers, Model::Coroutines, 1 << 40)), None);
        let queue = refusal(&order(Workload::Echo, Model::Sequential, backlog() + 1));
        assert!(queue.as_ref().is_some_and(|why| why.contains("somaxconn")), "{queue:?}");
        assert_eq!(refusal(&order(Workload::Echo, Model::ThreadPerJob, 1)), None);
        let part = Order { exact: false, ..order(Workload::Echo, Model::Coroutines, usize::MAX) };
        assert_eq!(refusal(&part), None);
    }
}
