//! What confines this process: a container, a seccomp filter, rights it has not.

use super::machine::Machine;
use super::report::{Group, Row};

pub(super) fn group(machine: &Machine) -> Group {
    Group { title: "confinement", rows: vec![container(machine), seccomp(machine)] }
}

/// The files that runtimes leave behind; systemd's own list is in systemd-detect-virt(1).
fn container(machine: &Machine) -> Row {
    let name = "container";
    let environment = machine.read("/proc/1/environ").unwrap_or_default();
    let variable = environment.split('\0').find_map(|entry| entry.strip_prefix("container="));
    let kind = match variable {
        Some(kind) => kind,
        None if machine.has("/.dockerenv") => "docker",
        None if machine.has("/run/.containerenv") => "podman",
        None if machine.has("/run/systemd/container") => "systemd-nspawn or the like",
        None => "none seen",
    };
    Row::new(name, kind)
}

/// `Seccomp:` of proc_pid_status(5): 0 off, 1 strict, 2 filter. What a filter refuses cannot be
/// read; Docker's default refuses io_uring since 25.0 (github.com/moby/moby/pull/46762).
fn seccomp(machine: &Machine) -> Row {
    let name = "seccomp";
    match machine.status("Seccomp").as_deref() {
        None => Row::unseen(name),
        Some("0") => Row::new(name, "off"),
        Some("1") => Row::new(name, "strict").blocks(
            "only read, write and exit are allowed",
            "run it outside of whatever turned strict mode on",
        ),
        Some(_) => {
            let filters = machine.status("Seccomp_filters").unwrap_or("?".into());
            Row::new(name, format!("{filters} filters")).costs(
                "io_uring_setup may be refused with EPERM or ENOSYS (Docker does since 25.0)",
                "allow io_uring_setup, io_uring_enter and io_uring_register in the profile: \
                 docker run --security-opt seccomp=PROFILE.json",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::made_of;
    use super::super::report::Weight;
    use super::*;

    #[test]
    fn containers_are_known_by_what_they_leave() {
        let kind = |path, text| {
            let (_dir, machine) = made_of(&[(path, text)]);
            container(&machine).value
        };
        assert_eq!(kind("/.dockerenv", ""), "docker");
        assert_eq!(kind("/run/.containerenv", ""), "podman");
        assert_eq!(kind("/proc/1/environ", "HOME=/\0container=lxc\0X=y\0"), "lxc");
        assert_eq!(kind("/etc/hostname", "x"), "none seen");
    }

    #[test]
    fn a_filter_may_cost_and_strict_mode_blocks() {
        let weight = |status| {
            let (_dir, machine) = made_of(&[("/proc/self/status", status)]);
            seccomp(&machine).finding.map(|finding| finding.weight)
        };
        assert_eq!(weight("Seccomp:\t0\n"), None);
        assert_eq!(weight("Seccomp:\t1\n"), Some(Weight::Blocks));
        assert_eq!(weight("Seccomp:\t2\nSeccomp_filters:\t1\n"), Some(Weight::Costs));
    }
}
