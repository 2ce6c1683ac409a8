//! What becomes of children that nobody waits for any more, and of what they leave: each test in a
//! process of its own, which has no children in the end, and no descriptor more than before.

use std::future::{Future, ready};
use std::os::unix::process::ExitStatusExt;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use uring_loop::op::opcode;
use uring_loop::process::{Child, Command, Stdio};
use uring_loop::signal::{SignalKind, signals};
use uring_loop::testing::{Fault, Faults, SimConfig};
use uring_loop::time::sleep;
use uring_loop::{Builder, EventLoop, run, spawn, yield_now};

use crate::process::until_quiet;
use crate::support::{in_child, on_sim_with, open_descriptors, poll_once, small};

const MS: Duration = Duration::from_millis(1);
const KERNELS: [&[u8]; 2] = [&[], &[opcode::WAITID]];

/// Whether this process has a child, running or waiting to be reaped.
fn has_children() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::All, flags) {
        Ok(_) => true,
        Err(Errno::ECHILD) => false,
        Err(errno) => panic!("waitid: {errno}"),
    }
}

/// Whether one waits to be reaped.
fn has_zombies() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::All, flags), Err(Errno::ECHILD) | Ok(WaitStatus::StillAlive))
}

fn until(what: &str, mut come: impl FnMut() -> bool) {
    let start = Instant::now();
    while !come() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not yet");
        std::thread::sleep(MS);
    }
}

/// Runs rounds on one loop; then nothing is in flight, and when the loop is gone there are no
/// children and no descriptors left.
fn leaves_nothing<F: Future<Output = ()>>(builder: Builder, mut round: impl FnMut(usize) -> F) {
    drop(EventLoop::new().expect("a ring")); // What a process keeps for good, it has now.
    let before = open_descriptors();
    let mut event_loop = builder.build().expect("a ring");
    for turns in 0..24 {
        event_loop.run_until_complete(round(turns % 8)).expect("not cancelled");
    }
    until_quiet(&mut event_loop);
    assert!(!has_children(), "a child was not reaped");
    let statistics = event_loop.statistics();
    assert_eq!((statistics.orphans, statistics.tasks), (0, 0), "{statistics}");
    if let Some((free, all)) = statistics.buffers {
        assert_eq!(free, all, "buffers were not given back");
    }
    drop(event_loop);
    assert_eq!(open_descriptors(), before, "descriptors were left open");
}

async fn run_for<F: Future>(future: F, turns: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..turns {
        if let Poll::Ready(output) = poll_once(&mut future).await {
            return Some(output);
        }
        std::thread::sleep(MS / 2);
        yield_now().await;
    }
    if turns.is_multiple_of(2) {
        return None;
    }
    match select(future, ready(())).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn sleeping() -> Child {
    Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("it is there")
}

#[test]
fn children_dropped_at_every_point_leave_nothing() {
    in_child("process_end::children_dropped_at_every_point_leave_nothing", || {
        for lacks in KERNELS {
            leaves_nothing(small().without(lacks), |turns| async move {
                // Its end of the pipes goes, and it ends by itself.
                let mut child = cat().spawn().expect("it is there");
                drop(run_for(child.communicate(vec![1; 100_000]), turns).await);
                drop(child);
                let child = cat().spawn().expect("it is there");
                drop(run_for(child.wait(), turns).await);
                drop(child);
                let mut killed = cat().kill_on_drop(true).spawn().expect("it is there");
                let mut output = killed.stdout.take().expect("piped");
                drop(run_for(output.recv(), turns).await);
                drop(killed);
                assert!(output.recv().await.expect("the end").is_empty());
                drop(run_for(Command::new("true").output(), turns).await);
                drop(run_for(Command::new("true").status(), turns).await);
                let task = spawn(async { Command::new("echo").output().await });
                for _ in 0..turns {
                    yield_now().await;
                }
                task.abort();
            });
        }
    });
}

#[test]
fn a_child_that_runs_on_is_reaped_by_the_loop() {
    in_child("process_end::a_child_that_runs_on_is_reaped_by_the_loop", || {
        for lacks in KERNELS {
            let mut event_loop = small().without(lacks).build().expect("a ring");
            event_loop
                .run_until_complete(async {
                    drop(Command::new("sleep").arg("0.05").spawn().expect("it is there"));
                    assert!(has_children());
                    while has_children() {
                        sleep(MS).await;
                    }
                })
                .expect("not cancelled");
        }
    });
}

#[test]
fn a_cancelled_task_kills_what_it_started() {
    in_child("process_end::a_cancelled_task_kills_what_it_started", || {
        run(async {
            let task = spawn(async { sleeping().wait().await });
            while !has_children() {
                yield_now().await;
            }
            task.cancel();
            assert!(task.await.expect_err("asked").is_cancelled());
            while has_children() {
                sleep(MS).await;
            }
        })
        .expect("a ring");
    });
}

#[test]
fn the_end_of_a_loop_reaps_what_was_killed() {
    in_child("process_end::the_end_of_a_loop_reaps_what_was_killed", || {
        for lacks in KERNELS {
            // Dropped in the loop, at its end, after it; with a wait in flight and without.
            for waits in [false, true] {
                let mut event_loop = small().without(lacks).build().expect("a ring");
                let kept = event_loop
                    .run_until_complete(async {
                        let dropped = sleeping();
                        let kept = sleeping();
                        if waits {
                            assert!(poll_once(&mut dropped.wait()).await.is_pending());
                            assert!(poll_once(&mut kept.wait()).await.is_pending());
                        }
                        drop(spawn(async { sleeping().wait().await }));
                        yield_now().await;
                        drop(dropped);
                        kept
                    })
                    .expect("not cancelled");
                drop(event_loop);
                drop(kept);
                until("the last of them", || !has_zombies());
                assert!(!has_children(), "lacking {lacks:?}, waiting {waits}");
            }
        }
    });
}

#[test]
fn a_child_outlives_its_loop_if_nobody_kills_it() {
    in_child("process_end::a_child_outlives_its_loop_if_nobody_kills_it", || {
        let child = run(async {
            let child = Command::new("sleep").arg("1000").spawn().expect("it is there");
            assert!(poll_once(&mut child.wait()).await.is_pending());
            child
        })
        .expect("a ring");
        assert!(has_children() && !has_zombies());
        // Without its loop it can be looked at and killed.
        assert_eq!(child.try_wait().expect("our child"), None);
        child.start_kill().expect("it runs");
        drop(child);
        assert!(!has_children());
    });
}

#[test]
fn a_status_is_not_lost_with_the_loop() {
    in_child("process_end::a_status_is_not_lost_with_the_loop", || {
        for lacks in KERNELS {
            let mut event_loop = small().without(lacks).build().expect("a ring");
            let (words, go) = std::io::pipe().expect("room");
            let child = event_loop.run_until_complete(async {
                let child = Command::shell("read word; exit 9").stdin(words).spawn();
                let child = child.expect("a shell");
                assert!(poll_once(&mut child.wait()).await.is_pending());
                child
            });
            let child = child.expect("not cancelled");
            drop(go); // It ends while nobody enters the kernel.
            until("its end", has_zombies);
            drop(event_loop);
            let status = child.try_wait().expect("our child").expect("it has ended");
            assert_eq!(status.code(), Some(9));
        }
    });
}

#[test]
fn a_status_that_somebody_else_took_is_an_error_in_words() {
    in_child("process_end::a_status_that_somebody_else_took_is_an_error_in_words", || {
        for lacks in KERNELS {
            let mut event_loop = small().without(lacks).build().expect("a ring");
            event_loop
                .run_until_complete(async {
                    let child = Command::new("true").spawn().expect("it is there");
                    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
                    nix::sys::wait::waitpid(pid, None).expect("our child");
                    for _ in 0..2 {
                        let error = child.wait().await.expect_err("it was taken");
                        assert!(error.to_string().contains("SIGCHLD"), "{error}");
                    }
                    child.try_wait().expect_err("it was taken");
                })
                .expect("not cancelled");
        }
        // SAFETY: ignoring a signal runs no code.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("it can be ignored");
        run(async {
            for _ in 0..20 {
                // Gone before it had a descriptor, or later.
                let ended = async { Command::new("true").spawn()?.wait().await };
                let error = ended.await.expect_err("it is lost");
                assert!(error.to_string().contains("SIGCHLD"), "{error}");
            }
        })
        .expect("a ring");
    });
}

#[test]
fn a_child_without_a_descriptor_for_it_is_not_left_running() {
    in_child("process_end::a_child_without_a_descriptor_for_it_is_not_left_running", || {
        run(async {
            use nix::sys::resource::{Resource, getrlimit, setrlimit};
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it has one");
            let mut full = false;
            let mut spawned = false;
            // Somewhere between no room at all and room enough, there is none for the pidfd.
            for room in 3..200 {
                setrlimit(Resource::RLIMIT_NOFILE, room, hard).expect("lower");
                let mut command = Command::new("sleep");
                command.arg("1000").stdin(Stdio::null()).kill_on_drop(true);
                match command.spawn() {
                    Ok(child) => {
                        spawned = true;
                        assert!(!child.kill().await.expect("our child").success());
                        break;
                    }
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), None, "with the name of the program");
                        assert!(error.to_string().starts_with("spawning `sleep`: "), "{error}");
                        full = true;
                        assert!(!has_children(), "with {room} descriptors");
                    }
                }
            }
            assert!(full && spawned);
        })
        .expect("a ring");
    });
}

#[test]
fn a_forked_copy_of_the_process_kills_nobody() {
    in_child("process_end::a_forked_copy_of_the_process_kills_nobody", || {
        run(async {
            let child = sleeping();
            // SAFETY: the child drops one value and leaves.
            match unsafe { nix::unistd::fork() }.expect("room") {
                nix::unistd::ForkResult::Child => {
                    drop(child);
                    std::process::exit(0);
                }
                nix::unistd::ForkResult::Parent { child: copy } => {
                    nix::sys::wait::waitpid(copy, None).expect("our copy");
                }
            }
            assert_eq!(child.try_wait().expect("our child"), None, "it runs");
        })
        .expect("a ring");
    });
}

#[test]
fn a_child_starts_with_signals_as_programs_expect_them() {
    in_child("process_end::a_child_starts_with_signals_as_programs_expect_them", || {
        let words = |output: &[u8], name: &str| {
            let text = String::from_utf8_lossy(output).into_owned();
            let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            let number = line.unwrap_or_else(|| panic!("no {name} in {text}"));
            u64::from_str_radix(number.trim(), 16).expect("a mask")
        };
        let bit = |kind: Signal| 1u64 << (kind as i32 - 1);
        run(async move {
            // Blocked, handled, ignored by us.
            let mut blocked = SigSet::thread_get_mask().expect("it has one");
            blocked.add(Signal::SIGUSR2);
            blocked.thread_set_mask().expect("it can be blocked");
            let mask = blocked.iter().fold(0, |mask, kind| mask | bit(kind));
            // SAFETY: ignoring a signal runs no code.
            unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }.expect("it can be ignored");
            let mut interrupts = signals(SignalKind::INTERRUPT).expect("it can be handled");
            let mut users = signals(SignalKind::USER1).expect("it can be handled");
            for by_fork in [false, true] {
                let mut command = Command::new("cat");
                command.arg("/proc/self/status");
                if by_fork {
                    command.setsid();
                }
                let output = command.output().await.expect("it is there").stdout;
                assert_eq!(words(&output, "SigBlk:"), mask, "nothing but what was");
                assert_eq!(words(&output, "SigCgt:"), 0, "nothing is handled");
                let ignored = words(&output, "SigIgn:");
                assert_eq!(ignored & bit(Signal::SIGHUP), bit(Signal::SIGHUP), "as it was");
                assert_eq!(ignored & bit(Signal::SIGPIPE), 0, "a child may end by it");
                // What comes to the child does not come to us, from its first moment on.
                let child = sleeping();
                child.signal(SignalKind::USER1).expect("it runs");
                child.signal(SignalKind::INTERRUPT).expect("it runs");
                let status = child.wait().await.expect("our child");
                assert!(matches!(status.signal(), Some(2 | 10)), "{status}");
                assert!(poll_once(&mut Box::pin(users.recv())).await.is_pending());
                assert!(poll_once(&mut Box::pin(interrupts.recv())).await.is_pending());
            }
        })
        .expect("a ring");
    });
}

#[test]
fn sigchld_can_be_listened_to_besides() {
    in_child("process_end::sigchld_can_be_listened_to_besides", || {
        run(async {
            let mut deaths = signals(SignalKind::CHILD).expect("it can be handled");
            let child = Command::new("true").spawn().expect("it is there");
            deaths.recv().await;
            assert!(child.wait().await.expect("our child").success());
        })
        .expect("a ring");
    });
}

#[test]
fn a_leader_of_a_session_has_no_terminal_and_a_group_of_its_own() {
    in_child("process_end::a_leader_of_a_session_has_no_terminal_and_a_group_of_its_own", || {
        run(async {
            for setsid in [false, true] {
                let mut command = Command::new("cat");
                command.arg("/proc/self/stat");
                if setsid {
                    command.setsid()
                } else {
                    command.process_group(0)
                };
                let output = command.output().await.expect("it is there").stdout;
                let text = String::from_utf8(output).expect("text");
                let fields: Vec<&str> =
                    text.rsplit_once(") ").expect("the name").1.split(' ').collect();
                let pid = text.split(' ').next().expect("a number");
                assert_eq!(fields[2], pid, "the group");
                assert_eq!(fields[3] == pid, setsid, "the session");
            }
            if std::fs::metadata("/proc/self")
                .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
            {
                let mut command = Command::new("id");
                command.gid(1).uid(1);
                let output = command.output().await.expect("it is there").stdout;
                let text = String::from_utf8(output).expect("text");
                assert!(text.starts_with("uid=1(") && text.contains("gid=1("), "{text}");
            }
        })
        .expect("a ring");
    });
}

/// The waits on a simulated kernel: late, interrupted, lost to a cancel; with real children.
#[test]
fn waits_that_come_late_or_are_interrupted_bring_the_status_all_the_same() {
    in_child(
        "process_end::waits_that_come_late_or_are_interrupted_bring_the_status_all_the_same",
        || {
            let faults = [
                Fault::Delay(1),
                Fault::Delay(5),
                Fault::Latency(1_000_000),
                Fault::Fail(Errno::EINTR as i32),
                Fault::Fail(Errno::EAGAIN as i32),
                Fault::LoseCancel,
            ];
            for (fault, lacks) in faults.into_iter().flat_map(|fault| KERNELS.map(|k| (fault, k))) {
                for turns in 0..4 {
                    let config = SimConfig {
                        faults: Faults::none().lose_cancel(0.5),
                        ..SimConfig::seeded(turns as u64)
                    };
                    on_sim_with(small().without(lacks), config, |sim| async move {
                        sim.next(opcode::WAITID, fault);
                        sim.next(opcode::POLL_ADD, fault);
                        let child = Command::shell("exit 4").spawn().expect("a shell");
                        drop(run_for(child.wait(), turns).await);
                        let status = child.wait().await.expect("our child");
                        assert_eq!(status.code(), Some(4));
                        // And one that is dropped with the wait in flight.
                        sim.next(opcode::WAITID, fault);
                        let child = sleeping();
                        drop(run_for(child.wait(), turns).await);
                        child.start_kill().expect("it runs");
                        child.wait().await.expect("our child");
                    });
                    assert!(!has_children(), "{fault:?} {lacks:?} {turns}");
                }
            }
        },
    );
}

#[test]
fn an_error_of_a_wait_is_told_and_the_next_one_has_the_status() {
    let config = SimConfig::seeded(2);
    on_sim_with(small(), config, |sim| async move {
        sim.next(opcode::WAITID, Fault::Fail(Errno::ENOMEM as i32));
        let child = Command::shell("exit 4").spawn().expect("a shell");
        let error = child.wait().await.expect_err("told");
        assert!(error.to_string().starts_with("waiting for a child: "), "{error}");
        assert_eq!(child.wait().await.expect("our child").code(), Some(4));
    });
}
