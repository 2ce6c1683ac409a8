//! Process pools in bad weather: deaths of workers, of the parent, storms, signals.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use pool::{Exit, Job, JobError, ProcessPool};

use crate::support::{Flag, death_of, eventually, kill, processes, raise_then_wait};

crate::tests![
    a_death_costs_the_running_job_only,
    a_death_names_the_process_and_how_it_ended,
    a_worker_killed_from_outside_is_replaced,
    an_idle_workers_death_costs_nothing,
    jobs_in_a_dying_workers_queue_go_to_others,
    jobs_in_a_dying_workers_queue_can_still_be_cancelled,
    a_death_amid_large_arguments_does_not_hang,
    a_death_amid_a_large_result_does_not_hang,
    every_job_dying_does_not_break_the_pool,
    workers_that_die_at_their_start_break_the_pool,
    a_worker_that_closes_its_socket_is_replaced,
    shutdown_while_workers_die_ends,
    workers_end_with_their_parent,
    workers_outlive_the_thread_that_submitted,
    an_interrupt_does_not_reach_the_workers,
];

fn die(code: i32) -> i32 {
    match code {
        0 => code,
        6 => std::process::abort(),
        code => std::process::exit(code),
    }
}

fn a_death_costs_the_running_job_only() {
    let pool = processes(2);
    let jobs: Vec<Job<i32>> =
        (0..100).map(|n| pool.submit(die, (if n % 10 == 5 { 6 } else { 0 },))).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        match job.wait() {
            Ok(code) => assert!(code == 0 && n % 10 != 5, "job {n}"),
            died => {
                assert_eq!(death_of(died).exit, Exit::Signal(6), "job {n}");
                assert_eq!(n % 10, 5, "job {n} died for another");
            }
        }
    }
}

fn a_death_names_the_process_and_how_it_ended() {
    let pool = processes(1);
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    let death = death_of(pool.submit(die, (3,)).wait());
    assert_eq!((death.pid, death.exit), (pid, Exit::Code(3)));
    assert!(death.task.ends_with("die"), "{}", death.task);
    let text = JobError::WorkerDied(Box::new(death)).to_string();
    assert!(text.contains(&format!("worker process {pid} exited with code 3")), "{text}");
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    // A real fault, not a signal sent: address 8 is never mapped.
    let fault = || -> u8 {
        // SAFETY: it is not safe. That is the point: the process is to die of it.
        unsafe { std::ptr::read_volatile(std::hint::black_box(8usize) as *const u8) }
    };
    let death = death_of(pool.submit(fault, ()).wait());
    assert_eq!((death.pid, death.exit), (pid, Exit::Signal(11)));
}

fn a_worker_killed_from_outside_is_replaced() {
    let pool = processes(1);
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    let started = Flag::new("outside");
    let job = pool.submit(raise_then_wait, (started.0.clone(), "/nonexistent".to_owned()));
    eventually("the job runs", || started.is_raised());
    kill(pid, Signal::SIGKILL);
    let death = death_of(job.wait());
    assert_eq!((death.pid, death.exit), (pid, Exit::Signal(9)));
    assert_ne!(pool.submit(std::process::id, ()).wait(), Ok(pid));
}

fn an_idle_workers_death_costs_nothing() {
    let pool = processes(1);
    for _ in 0..6 {
        let pid = pool.submit(std::process::id, ()).wait().unwrap();
        kill(pid, Signal::SIGTERM);
        // Perhaps the next job finds it dying, perhaps gone; it must never be blamed for that.
        let next = pool.submit(std::process::id, ()).wait();
        match next {
            Ok(next) => assert_ne!(next, 0),
            // The signal may come after it has claimed the job.
            died => assert_eq!(death_of(died).exit, Exit::Signal(15)),
        }
    }
}

fn jobs_in_a_dying_workers_queue_go_to_others() {
    let pool = processes(1);
    let (started, never) = (Flag::new("queue"), "/nonexistent".to_owned());
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    let running = pool.submit(raise_then_wait, (started.0.clone(), never));
    eventually("the job runs", || started.is_raised());
    // More than its queue holds.
    let queued: Vec<_> = (0..50u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    kill(pid, Signal::SIGKILL);
    death_of(running.wait());
    for (n, job) in queued.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(n as u32));
    }
}

fn jobs_in_a_dying_workers_queue_can_still_be_cancelled() {
    let pool = processes(1);
    let started = Flag::new("cancel-dying");
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    let running = pool.submit(raise_then_wait, (started.0.clone(), "/nonexistent".to_owned()));
    eventually("the job runs", || started.is_raised());
    let queued: Vec<_> = (0..30u32).map(|n| pool.submit(|n: u32| n, (n,))).collect();
    kill(pid, Signal::SIGSTOP);
    let cancelled: Vec<bool> = queued.iter().step_by(2).map(Job::cancel).collect();
    assert!(cancelled.iter().all(|cancelled| *cancelled));
    kill(pid, Signal::SIGKILL);
    death_of(running.wait());
    for (n, job) in queued.into_iter().enumerate() {
        let expected = if n % 2 == 0 { Err(JobError::Cancelled) } else { Ok(n as u32) };
        assert_eq!(job.wait(), expected);
    }
}

fn a_death_amid_large_arguments_does_not_hang() {
    let pool = processes(1);
    let data = vec![7u8; 3_000_000];
    for _ in 0..5 {
        let crash = pool.submit(die, (6,));
        // Far more than a socket holds: it is written while the worker dies.
        let large: Vec<_> =
            (0..4).map(|_| pool.submit(|data: Vec<u8>| data.len(), (data.clone(),))).collect();
        death_of(crash.wait());
        for job in large {
            assert_eq!(job.wait(), Ok(3_000_000));
        }
    }
}

fn a_death_amid_a_large_result_does_not_hang() {
    let pool = processes(2);
    // The result is on its way while another thread of the worker ends the process.
    let fatal = |delay: u64| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(delay));
            std::process::abort()
        });
        vec![1u8; 20_000_000]
    };
    for delay in [0, 5_000, 20_000, 40_000, 80_000] {
        match pool.submit(fatal, (delay,)).wait() {
            Ok(data) => assert_eq!(data.len(), 20_000_000),
            died => assert_eq!(death_of(died).exit, Exit::Signal(6)),
        }
    }
}

fn every_job_dying_does_not_break_the_pool() {
    let pool = processes(2);
    let jobs: Vec<_> = (0..20).map(|_| pool.submit(die, (9,))).collect();
    for job in jobs {
        assert_eq!(death_of(job.wait()).exit, Exit::Code(9));
    }
    assert_eq!(pool.submit(die, (0,)).wait(), Ok(0));
}

fn workers_that_die_at_their_start_break_the_pool() {
    let builder = ProcessPool::builder().workers(2).initializer(|| std::process::exit(41));
    let pool = builder.build().unwrap();
    let jobs: Vec<_> = (0..10u8).map(|n| pool.submit(|n: u8| n, (n,))).collect();
    for job in jobs {
        let error = job.wait().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, JobError::Broken(_)), "{text}");
        assert!(text.contains("exited with code 41"), "{text}");
    }
    assert!(matches!(pool.submit(|| 1u8, ()).wait(), Err(JobError::Broken(_))));
    pool.shutdown(true, false);
}

fn a_worker_that_closes_its_socket_is_replaced() {
    let pool = processes(1);
    let close_all = || {
        for fd in 3..64 {
            // SAFETY: it pulls the rug from under the worker, whose death is the point.
            unsafe { libc_close(fd) };
        }
    };
    // It cannot say that it is done: what is large goes by the socket. Nobody must wait for that
    // for ever.
    let close_all_and_answer = move || {
        close_all();
        vec![1u8; 1 << 20]
    };
    let death = death_of(pool.submit(close_all_and_answer, ()).wait());
    assert!(matches!(death.exit, Exit::Signal(9) | Exit::Code(_)), "{death:?}");
    // What is small it can still say, and then it goes by itself: the next job may need the socket.
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    assert_eq!(pool.submit(close_all, ()).wait(), Ok(()));
    eventually("it is gone", || pool.statistics().workers.iter().all(|worker| worker.pid != pid));
    assert_eq!(pool.submit(|| 1u8, ()).wait(), Ok(1));
}

// SAFETY: this is how close(2) declares it.
unsafe extern "C" {
    #[link_name = "close"]
    fn libc_close(fd: i32) -> i32;
}

fn shutdown_while_workers_die_ends() {
    for wait in [true, false] {
        let pool = processes(2);
        let jobs: Vec<_> = (0..12).map(|n| pool.submit(die, (n % 2 * 6,))).collect();
        pool.shutdown(wait, false);
        for (n, job) in jobs.into_iter().enumerate() {
            match n % 2 {
                0 => assert_eq!(job.wait(), Ok(0)),
                _ => assert_eq!(death_of(job.wait()).exit, Exit::Signal(6)),
            }
        }
    }
}

const ROLE: &str = "POOL_TEST_ROLE";

/// What this program does as a child of the next test.
pub(crate) fn child_roles() {
    if std::env::var(ROLE).as_deref() == Ok("parent") {
        let pool = processes(2);
        let announce_and_stay = || {
            println!("{}", std::process::id());
            std::thread::sleep(Duration::from_secs(600));
        };
        let jobs = [pool.submit(announce_and_stay, ()), pool.submit(announce_and_stay, ())];
        for job in jobs {
            let _ = job.wait();
        }
    }
}

fn workers_end_with_their_parent() {
    let exe = std::env::current_exe().unwrap();
    let mut parent = Command::new(exe).env(ROLE, "parent").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pids: Vec<String> = (0..2).map(|_| lines.next().unwrap().unwrap()).collect();
    let alive = |pid: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Whoever inherits it may take its time to bury it.
        !stat.is_empty() && !stat.contains(") Z")
    };
    assert!(pids.iter().all(alive));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the workers are gone", || !pids.iter().any(alive));
}

fn workers_outlive_the_thread_that_submitted() {
    let pool = processes(1);
    let pid = std::thread::scope(|scope| {
        let first = scope.spawn(|| pool.submit(std::process::id, ()).wait().unwrap());
        first.join().unwrap()
    });
    // The thread is gone; had it started the worker, the kernel would have killed that now.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(pool.submit(std::process::id, ()).wait(), Ok(pid));
}

fn an_interrupt_does_not_reach_the_workers() {
    let pool = processes(1);
    let group = || nix::unistd::getpgrp().as_raw();
    assert_ne!(pool.submit(group, ()).wait().unwrap(), group());
    let pid = pool.submit(std::process::id, ()).wait().unwrap();
    let (started, go_on) = (Flag::new("interrupt-1"), Flag::new("interrupt-2"));
    let job = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    kill(pid, Signal::SIGINT);
    go_on.raise();
    assert_eq!(job.wait(), Ok(pid));
    // Programs it starts are not deaf to it.
    let killed = || {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        kill(child.id(), Signal::SIGINT);
        std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap())
    };
    assert_eq!(pool.submit(killed, ()).wait(), Ok(Some(2)));
}
