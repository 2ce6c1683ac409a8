//! What a process pool leaves behind: nothing. These look at the whole process, so they run alone.

use pool::{Exit, Job};

use crate::support::{children, death_of, eventually, open_descriptors, processes};

crate::tests![
    alone_many_deaths_leave_no_zombie_and_no_descriptor,
    alone_many_pools_leave_nothing,
    alone_a_worker_has_only_its_own_descriptors,
];

fn maybe_die(n: u32) -> u32 {
    match n % 4 {
        1 => std::process::abort(),
        3 => nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).map(|()| 0).unwrap(),
        _ => n,
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn alone_many_deaths_leave_no_zombie_and_no_descriptor() {
    let before = (open_descriptors(), threads());
    assert_eq!(children(), []);
    let pool = processes(2);
    let jobs: Vec<Job<u32>> = (0..200).map(|n| pool.submit(maybe_die, (n,))).collect();
    let mut deaths = 0;
    for (n, job) in jobs.into_iter().enumerate() {
        match job.wait() {
            Ok(value) => assert_eq!(value as usize, n),
            died => {
                let signal = if n % 4 == 1 { 6 } else { 9 };
                assert_eq!(death_of(died).exit, Exit::Signal(signal));
                deaths += 1;
            }
        }
    }
    assert_eq!(deaths, 100);
    eventually("the dead are buried and two workers live", || {
        let children = children();
        children.len() == 2 && children.iter().all(|(_, state)| *state != 'Z')
    });
    // Two workers, each with a socket and a pidfd; epoll, kick and alarm.
    assert_eq!(open_descriptors(), before.0 + 2 * 2 + 3);
    drop(pool);
    assert_eq!(children(), []);
    assert_eq!((open_descriptors(), threads()), before);
}

fn alone_many_pools_leave_nothing() {
    let before = (open_descriptors(), threads());
    for round in 0..20u32 {
        let pool = processes(2);
        let jobs = [pool.submit(maybe_die, (round,)), pool.submit(maybe_die, (0,))];
        for job in jobs {
            let _ = crate::support::block_on(job);
        }
    }
    assert_eq!(children(), []);
    assert_eq!((open_descriptors(), threads()), before);
}

fn alone_a_worker_has_only_its_own_descriptors() {
    let pool = processes(2);
    let count = || open_descriptors();
    // Standard ones, its socket, the watchdog's copy, and the directory it reads to count them.
    let mine: Vec<_> = (0..6).map(|_| pool.submit(count, ())).collect();
    for job in mine {
        assert_eq!(job.wait(), Ok(6));
    }
}
