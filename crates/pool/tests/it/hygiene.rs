//! What a process pool leaves behind: nothing. These look at the whole process, so they run alone.

use pool::{Exit, Job, JobError, JobState, ProcessPool};

use crate::support::{children, death_of, eventually, open_descriptors, processes};

crate::tests![
    alone_many_deaths_leave_no_zombie_and_no_descriptor,
    alone_many_pools_leave_nothing,
    alone_ten_thousand_jobs_a_thousand_kills_and_a_hundred_recycles_leave_nothing,
    alone_an_idle_pool_and_a_long_wait_use_no_processor,
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

/// No child, no descriptor and no thread more than before the pool.
#[track_caller]
fn all_is_as((descriptors, tasks): (usize, usize)) {
    assert_eq!(children(), []);
    assert_eq!(open_descriptors(), descriptors);
    // A joined thread stays listed until the kernel has taken it apart.
    eventually("the threads are gone", || threads() <= tasks);
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
    // Two workers, each with a socket and a pidfd; epoll, kick and alarm. (Those of the last dead
    // are closed a moment after it was waited for.)
    eventually("the descriptors are those of two workers", || {
        open_descriptors() == before.0 + 2 * 2 + 3
    });
    drop(pool);
    all_is_as(before);
}

fn forever() {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Mappings of pages shared with workers.
fn pages() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("pool-worker")).count()
}

fn alone_ten_thousand_jobs_a_thousand_kills_and_a_hundred_recycles_leave_nothing() {
    let before = (open_descriptors(), threads());
    assert_eq!((children(), pages()), (vec![], 0));
    let pool = processes(2);
    let jobs: Vec<Job<u32>> = (0..10_000).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
    // Others go on meanwhile, and none of them is hit.
    for round in 0..1000u32 {
        let stuck = pool.submit(forever, ());
        let others: Vec<Job<u32>> = (0..4).map(|n| pool.submit(|n: u32| n, (n,))).collect();
        eventually("it runs", || stuck.state() == JobState::Running);
        assert!(stuck.kill());
        assert!(matches!(stuck.wait(), Err(JobError::Killed(_))), "round {round}");
        for (n, job) in others.into_iter().enumerate() {
            assert_eq!(job.wait(), Ok(n as u32), "round {round}");
        }
    }
    let statistics = pool.statistics();
    assert_eq!((statistics.deaths, statistics.done), (1000, 14_000));
    assert_eq!(
        (statistics.backlog, statistics.workers.iter().map(|w| w.queued).sum()),
        (0, 0usize)
    );
    drop(pool);
    let pool = ProcessPool::builder().workers(2).max_tasks_per_worker(1).build().unwrap();
    for n in 0..100u32 {
        assert_eq!(pool.submit(|n: u32| n, (n,)).wait(), Ok(n));
    }
    assert!(pool.statistics().started >= 100);
    drop(pool);
    all_is_as(before);
    assert_eq!(pages(), 0);
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
    all_is_as(before);
}

fn alone_a_worker_has_only_its_own_descriptors() {
    let pool = processes(2);
    let links = || -> Vec<String> {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.display().to_string()))
            .collect()
    };
    for _ in 0..6 {
        let links = pool.submit(links, ()).wait().unwrap();
        // Its end of the socket and the watchdog's copy of it. (What the test was started with it
        // has too: pipes and files.)
        let sockets = links.iter().filter(|link| link.starts_with("socket:")).count();
        assert_eq!(sockets, 2, "{links:?}");
        let parents = ["anon_inode:", "/memfd:"];
        assert!(
            !links.iter().any(|link| parents.iter().any(|of| link.starts_with(of))),
            "{links:?}"
        );
    }
}

/// Processor time of this process and its children that live, in ticks of 10 ms.
fn ticks() -> u64 {
    let of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The name, in parentheses, may hold anything; the state behind it is the third field,
        // utime and stime are the 14th and 15th: proc_pid_stat(5).
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    of(std::process::id()) + children().iter().map(|(pid, _)| of(*pid)).sum::<u64>()
}

fn alone_an_idle_pool_and_a_long_wait_use_no_processor() {
    let pool = processes(2);
    // So dense that both sides watch their rings.
    for n in 0..2000u32 {
        assert_eq!(pool.submit(|n: u32| n, (n,)).wait(), Ok(n));
    }
    let half_a_second = std::time::Duration::from_millis(500);
    let before = ticks();
    std::thread::sleep(half_a_second);
    let idle = ticks() - before;
    assert!(idle <= 5, "an idle pool has used {idle} of 50 ticks");
    let before = ticks();
    pool.submit(std::thread::sleep, (half_a_second,)).wait().unwrap();
    let waiting = ticks() - before;
    assert!(waiting <= 5, "a wait has used {waiting} of 50 ticks");
}
