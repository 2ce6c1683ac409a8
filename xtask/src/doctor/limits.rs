//! What this process may use: locked memory, descriptors, the backlog of a listener.

use super::machine::Machine;
use super::report::{Group, Row};

/// From `linux/capability.h`: its holders are not counted against the limit of locked memory.
const CAP_IPC_LOCK: u32 = 14;
/// The kernel's own default since 5.16; less is an old or a strict set-up.
const MEMLOCK: u64 = 8 << 20;
const DESCRIPTORS: u64 = 8192;
/// The kernel's own default since 5.4.
const BACKLOG: u64 = 4096;

pub(super) fn group(machine: &Machine) -> Group {
    let limits = machine.read("/proc/self/limits").unwrap_or_default();
    let rows = vec![memlock(machine, &limits), descriptors(&limits), backlog(machine)];
    Group { title: "limits", rows }
}

/// A soft and a hard limit; `None` is "unlimited".
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
struct Limit {
    soft: Option<u64>,
    hard: Option<u64>,
}

/// A line of `/proc/self/limits`: name, soft, hard, unit, by runs of blanks.
fn limit(text: &str, name: &str) -> Option<Limit> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = rest.split_whitespace();
    let mut number = || match words.next()? {
        "unlimited" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    Some(Limit { soft: number()?, hard: number()? })
}

/// Rings were counted as locked memory before 5.12; buffers registered with one still are
/// (io_uring_register(2)).
fn memlock(machine: &Machine, limits: &str) -> Row {
    let name = "RLIMIT_MEMLOCK";
    let Some(limit) = limit(limits, "Max locked memory") else { return Row::unseen(name) };
    let Some(soft) = limit.soft else { return Row::new(name, "unlimited") };
    if machine.capable(CAP_IPC_LOCK) {
        return Row::new(name, format!("{}, not applied: CAP_IPC_LOCK", bytes(soft)));
    }
    let row = Row::new(name, bytes(soft));
    if soft >= MEMLOCK {
        return row;
    }
    row.costs(
        "registered buffers beyond it fail with ENOMEM (before 5.12 the rings too)",
        "ulimit -l, memlock in /etc/security/limits.conf, or LimitMEMLOCK= of systemd",
    )
}

fn descriptors(limits: &str) -> Row {
    let name = "RLIMIT_NOFILE";
    let Some(limit) = limit(limits, "Max open files") else { return Row::unseen(name) };
    let said = |n: Option<u64>| n.map_or("unlimited".to_owned(), |n| n.to_string());
    let row = Row::new(name, format!("{} (hard {})", said(limit.soft), said(limit.hard)));
    match limit.soft {
        Some(soft) if soft < DESCRIPTORS => row.costs(
            format!("at most {soft} connections and files at once: accept fails with EMFILE"),
            "ulimit -n (up to the hard limit needs no rights), or LimitNOFILE= of systemd",
        ),
        _ => row,
    }
}

fn backlog(machine: &Machine) -> Row {
    let name = "net.core.somaxconn";
    let Some(text) = machine.read("/proc/sys/net/core/somaxconn") else { return Row::unseen(name) };
    let small = text.parse::<u64>().is_ok_and(|n| n < BACKLOG);
    let row = Row::new(name, text);
    if !small {
        return row;
    }
    row.costs(
        "a burst of connections overflows the backlog: clients wait a second and try again",
        format!("sysctl -w net.core.somaxconn={BACKLOG}"),
    )
}

fn bytes(n: u64) -> String {
    match n {
        _ if n >= 1 << 20 => format!("{} MiB", n >> 20),
        _ if n >= 1 << 10 => format!("{} KiB", n >> 10),
        _ => format!("{n} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::made_of;
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max open files            1024                 524288               files     
Max locked memory         65536                unlimited            bytes     ";

    const NOBODY: &str = "CapEff:\t0000000000000000\n";

    #[test]
    fn limits_are_read_by_name() {
        let files = limit(LIMITS, "Max open files").expect("it is there");
        assert_eq!(files, Limit { soft: Some(1024), hard: Some(524_288) });
        let locked = limit(LIMITS, "Max locked memory").expect("it is there");
        assert_eq!(locked, Limit { soft: Some(65536), hard: None });
        assert_eq!(limit(LIMITS, "Max patience"), None);
    }

    #[test]
    fn little_locked_memory_matters_to_those_it_is_counted_for() {
        let (_dir, machine) = made_of(&[("/proc/self/status", NOBODY)]);
        let row = memlock(&machine, LIMITS);
        assert_eq!(row.value, "64 KiB");
        assert!(row.finding.is_some());
        assert!(memlock(&machine, &LIMITS.replace("65536", "8388608")).finding.is_none());
        let (_dir, root) = made_of(&[("/proc/self/status", "CapEff:\t0000000000004000\n")]);
        assert!(memlock(&root, LIMITS).finding.is_none());
    }

    #[test]
    fn few_descriptors_are_told_with_the_way_up() {
        let row = descriptors(LIMITS);
        assert_eq!(row.value, "1024 (hard 524288)");
        assert!(row.finding.is_some_and(|finding| finding.costs.contains("1024 connections")));
        assert!(descriptors(&LIMITS.replace("1024  ", "65536 ")).finding.is_none());
    }

    #[test]
    fn a_short_backlog_is_told() {
        let row = |text| {
            let (_dir, machine) = made_of(&[("/proc/sys/net/core/somaxconn", text)]);
            backlog(&machine)
        };
        assert!(row("128\n").finding.is_some());
        assert!(row("4096\n").finding.is_none());
    }
}
