//! Machines as their files show them, and what is made of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// A folder with these files; gone when dropped.
pub(super) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let path = dir.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

/// A machine in the words of `lscpu -p=CPU,CORE,SOCKET,NODE`: one line for each CPU.
fn machine(allowed: &str, lines: &str, more: &[(&str, &str)]) -> (tempfile::TempDir, Topology) {
    let number = |text: &str| text.trim().parse::<usize>().expect("a number");
    let cpus: Vec<[usize; 4]> = lines
        .split_whitespace()
        .map(|line| line.split(',').map(number).collect::<Vec<_>>().try_into().expect("four"))
        .collect();
    let list = |of: &dyn Fn(&[usize; 4]) -> bool| {
        let ids: Vec<_> = cpus.iter().filter(|cpu| of(cpu)).map(|cpu| cpu[0].to_string()).collect();
        ids.join(",")
    };
    let mut files = vec![(
        "/proc/thread-self/status".to_owned(),
        format!("Name:\tx\nCpus_allowed_list:\t{allowed}\n"),
    )];
    for [cpu, core, package, _] in &cpus {
        let folder = format!("{CPUS}/cpu{cpu}/topology");
        let threads = list(&|other| (other[1], other[2]) == (*core, *package));
        files.push((format!("{folder}/core_cpus_list"), threads));
        files.push((format!("{folder}/physical_package_id"), package.to_string()));
    }
    let nodes: BTreeSet<_> = cpus.iter().map(|cpu| cpu[3]).collect();
    let mut online = String::new();
    for node in &nodes {
        files.push((format!("{NODES}/node{node}/cpulist"), list(&|cpu| cpu[3] == *node)));
        write!(online, "{node},").expect("a string");
    }
    files.push((format!("{NODES}/online"), online.trim_end_matches(',').to_owned()));
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let dir = tree(&[&files, more].concat());
    let topology = Topology::read(dir.path()).expect("it has a mask");
    (dir, topology)
}

fn place(topology: &Topology, placement: &Placement, count: Option<usize>) -> Vec<usize> {
    topology.place(placement, count).expect("it fits")
}

/// As Intel servers number them: first threads of both sockets, then the second ones.
const TWO_SOCKETS: &str = "0,0,0,0 1,1,0,0 2,2,1,1 3,3,1,1 4,0,0,0 5,1,0,0 6,2,1,1 7,3,1,1";

#[test]
fn two_sockets_with_two_threads_a_core() {
    let (_dir, topology) = machine("0-7", TWO_SOCKETS, &[]);
    assert_eq!(topology.to_string(), "8 CPUs (0-7): 4 cores, 2 packages, 2 nodes");
    let place = |placement| place(&topology, &placement, None);
    assert_eq!(place(Placement::All), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(place(Placement::Cores), [0, 1, 2, 3]);
    assert_eq!(place(Placement::Spread), [0, 2, 1, 3, 4, 6, 5, 7]);
    assert_eq!(place(Placement::Pack), [0, 4, 1, 5, 2, 6, 3, 7]);
    assert_eq!(place(Placement::List(vec![7, 0, 7])), [7, 0, 7]);
}

#[test]
fn of_two_sockets_a_mask_shows_a_part() {
    // One core of the first socket by its second thread, and the second socket whole.
    let (_dir, topology) = machine("5-7,2-3", TWO_SOCKETS, &[]);
    assert_eq!(topology.to_string(), "5 CPUs (2-3,5-7): 3 cores, 2 packages, 2 nodes");
    assert_eq!(place(&topology, &Placement::Cores, None), [2, 3, 5]);
    assert_eq!(place(&topology, &Placement::Spread, Some(3)), [5, 2, 3]);
    assert_eq!(place(&topology, &Placement::Pack, None), [5, 2, 6, 3, 7]);
    let error = topology.place(&Placement::List(vec![0]), None).expect_err("not allowed");
    assert!(error.to_string().contains("CPU 0: it is not in the affinity mask"), "{error}");
}

/// A laptop with two fast cores of two threads and four slow ones of one.
#[test]
fn a_hybrid_machine_takes_its_fast_cores_first() {
    let lines = "0,0,0,0 1,0,0,0 2,1,0,0 3,1,0,0 4,2,0,0 5,3,0,0 6,4,0,0 7,5,0,0";
    let kinds = [("/sys/devices/cpu_core/cpus", "0-3\n"), ("/sys/devices/cpu_atom/cpus", "4-7\n")];
    let (_dir, topology) = machine("0-7", lines, &kinds);
    let shown = "8 CPUs (0-7): 6 cores, 1 package, 1 node, 4 CPUs on slow cores";
    assert_eq!(topology.to_string(), shown);
    assert_eq!(place(&topology, &Placement::Cores, None), [0, 2, 4, 5, 6, 7]);
    assert_eq!(place(&topology, &Placement::Spread, None), [0, 2, 1, 3, 4, 5, 6, 7]);
    assert_eq!(place(&topology, &Placement::Pack, Some(4)), [0, 1, 2, 3]);
}

#[test]
fn an_arm_machine_with_big_cores_behind_takes_them_first() {
    let lines = "0,0,0,0 1,1,0,0 2,2,0,0 3,3,0,0";
    let capacity = [0, 1, 2, 3].map(|cpu| format!("{CPUS}/cpu{cpu}/cpu_capacity"));
    let [a, b, c, d] = &capacity;
    let more = [(a.as_str(), "446\n"), (b, "446\n"), (c, "1024\n"), (d, "1024\n")];
    let (_dir, topology) = machine("0-3", lines, &more);
    assert_eq!(place(&topology, &Placement::Cores, None), [2, 3, 0, 1]);
    assert_eq!(place(&topology, &Placement::All, None), [0, 1, 2, 3]);
}

#[test]
fn a_container_with_a_quota_gets_as_many_shards_as_it_can_run() {
    let quota = [
        ("/proc/self/cgroup", "0::/\n"),
        ("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("/sys/fs/cgroup/cpu.max", "150000 100000\n"),
    ];
    let (_dir, topology) = machine("0-7", TWO_SOCKETS, &quota);
    assert!(topology.to_string().ends_with("; quota 1.50 CPUs"), "{topology}");
    assert_eq!(topology.parallelism(), 2);
    assert_eq!(place(&topology, &Placement::All, None), [0, 1]);
    assert_eq!(place(&topology, &Placement::Pack, None), [0, 4]);
    // Who says how many, gets as many.
    assert_eq!(place(&topology, &Placement::All, Some(3)), [0, 1, 2]);
    assert_eq!(place(&topology, &Placement::List(vec![4, 5, 6]), None), [4, 5, 6]);
}

#[test]
fn a_small_quota_leaves_one_shard() {
    let quota = [
        ("/proc/self/cgroup", "0::/\n"),
        ("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("/sys/fs/cgroup/cpu.max", "5000 100000\n"),
    ];
    let (_dir, topology) = machine("0-7", TWO_SOCKETS, &quota);
    assert_eq!(place(&topology, &Placement::Cores, None), [0]);
}

#[test]
fn one_cpu_without_any_file_but_its_mask_is_a_machine_too() {
    let dir = tree(&[("/proc/self/status", "Cpus_allowed_list:\t3\n")]);
    let topology = Topology::read(dir.path()).expect("it has a mask");
    assert_eq!(topology.to_string(), "1 CPU (3): 1 core, 1 package, 1 node");
    for placement in [Placement::All, Placement::Cores, Placement::Spread, Placement::Pack] {
        assert_eq!(place(&topology, &placement, None), [3]);
    }
    let error = topology.place(&Placement::Cores, Some(2)).expect_err("there is one");
    assert!(error.to_string().contains("2 shards, but the affinity mask has 1 core"), "{error}");
}

#[test]
fn a_machine_that_shows_no_mask_is_refused() {
    let dir = tree(&[]);
    let error = Topology::read(dir.path()).expect_err("nothing is there");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn this_machine_has_what_the_mask_says() {
    let topology = Topology::this().expect("it can be read");
    let ids: Vec<_> = topology.cpus().iter().map(|cpu| cpu.id).collect();
    assert_eq!(ids, cpus::inherited().expect("it can be read"));
}

proptest! {
    /// Whatever the machine, a policy takes each CPU at most once, and all but `Cores` take all.
    #[test]
    fn every_order_is_made_of_the_mask(
        shape in proptest::collection::vec(
            (0..8_usize, 0..2_usize, 0..3_usize, any::<bool>()),
            1..24,
        ),
    ) {
        let cpu = |(id, (core, package, node, efficient)): (usize, &(usize, usize, usize, bool))| {
            Cpu { id, core: *core, package: *package, node: *node, efficient: *efficient }
        };
        let cpus: Vec<_> = shape.iter().enumerate().map(cpu).collect();
        let topology = Topology { cpus, quota: None };
        let all: Vec<_> = (0..shape.len()).collect();
        for placement in [Placement::All, Placement::Spread, Placement::Pack] {
            let mut placed = place(&topology, &placement, None);
            placed.sort_unstable();
            prop_assert_eq!(&placed, &all);
        }
        let cores = place(&topology, &Placement::Cores, None);
        prop_assert_eq!(cores.len(), {
            let kinds = topology.cpus.iter().map(|cpu| (cpu.package, cpu.core));
            kinds.collect::<BTreeSet<_>>().len()
        });
    }
}
