//! The kernel: its version, who may make rings, and huge pages.

use super::machine::{Machine, chosen};
use super::report::{Group, Row};

/// From `linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;

/// What came with which kernel. Only a hint: distributions carry features back, so the library
/// tries and never asks the version. Source: the "available since" lines of io_uring_setup(2),
/// io_uring_register(2) and io_uring_enter(2).
const SINCE: &[(Version, &str)] = &[
    ((5, 19), "provided-buffer rings and multishot accept: a buffer is held by every idle read"),
    ((6, 0), "multishot recv and zero-copy send: one submission for each read, one copy per send"),
    ((6, 1), "DEFER_TASKRUN: completions interrupt whatever runs"),
    ((6, 6), "NO_SQARRAY: an indirection for each submission"),
    ((6, 13), "messages from threads without a ring, timeouts by region: bells use an eventfd"),
];

type Version = (u32, u32);

pub(super) fn group(machine: &Machine) -> Group {
    let rows = vec![version(machine), disabled(machine), huge_pages(machine)];
    Group { title: "kernel", rows }
}

fn version(machine: &Machine) -> Row {
    let name = "version";
    let Some(text) = machine.read("/proc/sys/kernel/osrelease") else { return Row::unseen(name) };
    let Some(have) = parse(&text) else { return Row::new(name, text) };
    let row = Row::new(name, text);
    let missing = SINCE.iter().filter(|(since, _)| have < *since);
    let missing: Vec<_> = missing.map(|((a, b), what)| format!("no {what} ({a}.{b})")).collect();
    match missing.last().is_some() {
        true => row.costs(missing.join("; "), "a newer kernel; what was granted is under `ring`"),
        false => row,
    }
}

/// "6.18.44-fc" is (6, 18).
fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Documentation/admin-guide/sysctl/kernel.rst, `io_uring_disabled` and `io_uring_group`.
fn disabled(machine: &Machine) -> Row {
    let name = "io_uring_disabled";
    let Some(value) = machine.read("/proc/sys/kernel/io_uring_disabled") else {
        return Row::new(name, "no such sysctl (kernels before 6.6, or built without io_uring)");
    };
    let everybody = "sysctl -w kernel.io_uring_disabled=0";
    match value.as_str() {
        "0" => Row::new(name, "0: everybody may make rings"),
        "1" => {
            let group = machine.read("/proc/sys/kernel/io_uring_group").unwrap_or("-1".into());
            let row = Row::new(name, format!("1: only CAP_SYS_ADMIN and group {group}"));
            if machine.capable(CAP_SYS_ADMIN) || groups(machine).contains(&group) {
                return row;
            }
            let join = "put this user into that group (sysctl kernel.io_uring_group)";
            row.blocks("io_uring_setup fails with EPERM", format!("{everybody}, or {join}"))
        }
        _ => Row::new(name, format!("{value}: nobody may make rings"))
            .blocks("io_uring_setup fails with EPERM, for root too", everybody),
    }
}

/// The effective group and the supplementary ones.
fn groups(machine: &Machine) -> Vec<String> {
    let effective = machine.status("Gid").unwrap_or_default();
    let effective = effective.split_whitespace().nth(1).map(str::to_owned);
    let others = machine.status("Groups").unwrap_or_default();
    effective.into_iter().chain(others.split_whitespace().map(str::to_owned)).collect()
}

fn huge_pages(machine: &Machine) -> Row {
    let name = "transparent huge pages";
    let text = machine.read("/sys/kernel/mm/transparent_hugepage/enabled");
    match text.as_deref().map(|text| chosen(text).unwrap_or(text)) {
        None => Row::unseen(name),
        Some("never") => Row::new(name, "never").costs(
            "more page-table walks in large buffer pools",
            "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(word) => Row::new(name, word),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::made_of;
    use super::super::report::Weight;
    use super::*;

    fn disabled_with(value: &str, group: &str, status: &str) -> Option<Weight> {
        let files = [
            ("/proc/sys/kernel/io_uring_disabled", value),
            ("/proc/sys/kernel/io_uring_group", group),
            ("/proc/self/status", status),
        ];
        let (_dir, machine) = made_of(&files);
        disabled(&machine).finding.map(|finding| finding.weight)
    }

    #[test]
    fn the_version_is_the_first_two_numbers() {
        assert_eq!(parse("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(parse("5.4"), Some((5, 4)));
        assert_eq!(parse("linux"), None);
    }

    #[test]
    fn an_old_kernel_is_told_what_it_lacks() {
        let row = |release| {
            let (_dir, machine) = made_of(&[("/proc/sys/kernel/osrelease", release)]);
            version(&machine).finding.map(|finding| finding.costs)
        };
        assert_eq!(row("6.18.44"), None);
        assert_eq!(row("6.13.0"), None);
        let costs = row("6.1.0-18-amd64").expect("two are missing");
        assert!(costs.contains("(6.6)") && costs.contains("(6.13)") && !costs.contains("(6.1)"));
    }

    #[test]
    fn a_kernel_that_refuses_rings_blocks() {
        let user = "Gid:\t7 7 7 7\nGroups:\t4 24\nCapEff:\t0000000000000000\n";
        let root = "Gid:\t0 0 0 0\nGroups:\t\nCapEff:\t000001ffffffffff\n";
        assert_eq!(disabled_with("0", "-1", user), None);
        assert_eq!(disabled_with("1", "-1", user), Some(Weight::Blocks));
        assert_eq!(disabled_with("1", "24", user), None);
        assert_eq!(disabled_with("1", "7", user), None);
        assert_eq!(disabled_with("1", "-1", root), None);
        assert_eq!(disabled_with("2", "-1", root), Some(Weight::Blocks));
    }

    #[test]
    fn huge_pages_are_the_word_in_brackets() {
        let row = |text| {
            let (_dir, machine) = made_of(&[("/sys/kernel/mm/transparent_hugepage/enabled", text)]);
            huge_pages(&machine)
        };
        assert_eq!(row("always [madvise] never"), Row::new("transparent huge pages", "madvise"));
        assert!(row("always madvise [never]").finding.is_some());
    }
}
