//! Signals: streams, callbacks, Ctrl+C. They concern the process, so each test has its own.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use uring_loop::signal::{SignalKind, ctrl_c, on_signal, signals};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, LoopThread, RunError, Runner, catch_cancel, run, spawn, yield_now};

use crate::support::{in_child, poll_once};

fn send(kind: Signal) {
    raise(kind).expect("it is a signal");
}

/// Sends this process a signal again and again, until it is dead or a minute has gone.
fn press_until_it_ends(kind: Signal) {
    thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(20));
            nix::sys::signal::kill(nix::unistd::Pid::this(), kind).expect("we live");
        }
    });
}

#[test]
fn a_signal_that_comes_while_the_loop_runs_or_sleeps_is_given_out() {
    in_child("signals::a_signal_that_comes_while_the_loop_runs_or_sleeps_is_given_out", || {
        run(async {
            let mut hangups = signals(SignalKind::HANGUP).expect("it can be handled");
            send(Signal::SIGHUP);
            hangups.recv().await;
            assert!(poll_once(&mut Box::pin(hangups.recv())).await.is_pending(), "only once");
            thread::spawn(|| {
                thread::sleep(Duration::from_millis(20)); // the loop sleeps by now
                nix::sys::signal::kill(nix::unistd::Pid::this(), Signal::SIGHUP).expect("we live");
            });
            hangups.recv().await;
        })
        .expect("a ring");
    });
}

#[test]
fn signals_that_come_together_count_as_one() {
    in_child("signals::signals_that_come_together_count_as_one", || {
        run(async {
            let mut users = signals(SignalKind::USER1).expect("it can be handled");
            for _ in 0..10 {
                send(Signal::SIGUSR1);
            }
            users.recv().await;
            let again = timeout(Duration::from_millis(20), users.recv()).await;
            assert!(again.is_err());
        })
        .expect("a ring");
    });
}

#[test]
fn every_listener_on_every_loop_hears_every_signal() {
    in_child("signals::every_listener_on_every_loop_hears_every_signal", || {
        let other = LoopThread::start(EventLoop::builder()).expect("a ring");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let heard = other.handle().spawn(move || async move {
            let mut users = signals(SignalKind::USER2).expect("it can be handled");
            ready.send(()).expect("somebody waits");
            users.recv().await;
        });
        is_ready.recv().expect("it listens");
        run(async {
            let mut one = signals(SignalKind::USER2).expect("it can be handled");
            let mut two = signals(SignalKind::USER2).expect("it can be handled");
            let deaf = signals(SignalKind::ALARM).expect("it can be handled");
            send(Signal::SIGUSR2);
            one.recv().await;
            two.recv().await;
            assert!(
                poll_once(&mut Box::pin({
                    let mut deaf = deaf;
                    async move { deaf.recv().await }
                }))
                .await
                .is_pending()
            );
        })
        .expect("a ring");
        heard.wait().expect("it heard too");
        other.stop();
    });
}

#[test]
fn a_stream_of_several_kinds_gives_out_each_and_tells_which() {
    in_child("signals::a_stream_of_several_kinds_gives_out_each_and_tells_which", || {
        run(async {
            let kinds = [SignalKind::USER1, SignalKind::HANGUP, SignalKind::USER1];
            let mut some = signals(kinds).expect("they can be handled");
            assert_eq!(some.kinds().collect::<Vec<_>>(), kinds[..2], "each once");
            assert_eq!(format!("{some:?}"), "Signals{SIGUSR1, SIGHUP}");
            for _ in 0..3 {
                send(Signal::SIGUSR1);
                send(Signal::SIGHUP);
            }
            let first = some.recv().await;
            let second = some.next().await.expect("it never ends");
            assert_ne!(first, second);
            assert!([first, second].iter().all(|kind| kinds.contains(kind)));
            let again = timeout(Duration::from_millis(20), some.recv()).await;
            assert!(again.is_err(), "each of them once");
            // One that comes all the time keeps the other from nothing.
            send(Signal::SIGUSR1);
            assert_eq!(some.recv().await, SignalKind::USER1);
            send(Signal::SIGUSR1);
            send(Signal::SIGHUP);
            assert_eq!(some.recv().await, SignalKind::HANGUP);
            assert_eq!(some.recv().await, SignalKind::USER1);
        })
        .expect("a ring");
    });
}

#[test]
fn a_wait_that_is_dropped_at_any_point_takes_no_signal_with_it() {
    in_child("signals::a_wait_that_is_dropped_at_any_point_takes_no_signal_with_it", || {
        run(async {
            let kinds = [SignalKind::USER1, SignalKind::USER2];
            let mut some = signals(kinds).expect("they can be handled");
            for turns in 0..4 {
                // It comes before, during or after the wait that is given up.
                for at in 0..=turns {
                    {
                        let mut waiting = Box::pin(some.recv());
                        let mut given = false;
                        for turn in 0..turns {
                            if turn == at {
                                send(Signal::SIGUSR2);
                            }
                            given |= poll_once(&mut waiting).await.is_ready();
                            if given {
                                break;
                            }
                            yield_now().await;
                        }
                        if given {
                            continue;
                        }
                    }
                    if at == turns {
                        send(Signal::SIGUSR2);
                    }
                    let next = timeout(Duration::from_secs(10), some.recv()).await;
                    assert_eq!(next, Ok(SignalKind::USER2), "{turns} {at}");
                }
            }
            // Woken, and then dropped without a poll.
            let mut waiting = Box::pin(some.recv());
            assert!(poll_once(&mut waiting).await.is_pending());
            send(Signal::SIGUSR1);
            yield_now().await;
            drop(waiting);
            assert_eq!(some.recv().await, SignalKind::USER1);
        })
        .expect("a ring");
    });
}

#[test]
fn no_kind_at_all_is_refused() {
    run(async {
        let error = signals([]).expect_err("nothing would come");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    })
    .expect("a ring");
}

#[test]
fn what_was_installed_before_comes_back_with_the_last_listener() {
    in_child("signals::what_was_installed_before_comes_back_with_the_last_listener", || {
        // SAFETY: ignoring a signal runs no code.
        unsafe { signal(Signal::SIGUSR1, SigHandler::SigIgn) }.expect("it can be ignored");
        run(async {
            let one = signals(SignalKind::USER1).expect("it can be handled");
            let two = signals(SignalKind::USER1).expect("it can be handled");
            drop(one);
            drop(two);
        })
        .expect("a ring");
        // SAFETY: as above.
        let before = unsafe { signal(Signal::SIGUSR1, SigHandler::SigIgn) };
        assert!(matches!(before, Ok(SigHandler::SigIgn)), "{before:?}");
    });
}

#[test]
fn a_loop_that_goes_takes_its_listeners_with_it() {
    in_child("signals::a_loop_that_goes_takes_its_listeners_with_it", || {
        let mut event_loop = EventLoop::new().expect("a ring");
        event_loop
            .run_until_complete(async {
                on_signal(SignalKind::USER2, || ()).expect("it can be handled");
                let mut hears = signals(SignalKind::USER2).expect("it can be handled");
                drop(spawn(async move { hears.recv().await }));
                yield_now().await;
            })
            .expect("not stopped");
        drop(event_loop);
        // SAFETY: the default action runs no code of ours.
        let before = unsafe { signal(Signal::SIGUSR2, SigHandler::SigDfl) };
        assert!(matches!(before, Ok(SigHandler::SigDfl)), "{before:?}");
    });
}

#[test]
fn signals_that_cannot_be_handled_are_refused_in_words() {
    run(async {
        for number in [libc_numbers::KILL, libc_numbers::STOP, libc_numbers::SEGV, 0, 65, -1] {
            let error = signals(SignalKind::from_number(number)).expect_err("refused");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains("cannot be listened to"), "{error}");
        }
    })
    .expect("a ring");
}

mod libc_numbers {
    pub(super) const KILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;
    pub(super) const STOP: i32 = nix::sys::signal::Signal::SIGSTOP as i32;
    pub(super) const SEGV: i32 = nix::sys::signal::Signal::SIGSEGV as i32;
}

#[test]
fn a_callback_runs_at_every_signal_until_it_is_cancelled() {
    in_child("signals::a_callback_runs_at_every_signal_until_it_is_cancelled", || {
        run(async {
            let count = Rc::new(Cell::new(0));
            let inner = count.clone();
            let kept = signals(SignalKind::USER1).expect("keeps the signal from killing us");
            let add = move || inner.set(inner.get() + 1);
            let callback = on_signal(SignalKind::USER1, add).expect("it can be handled");
            assert_eq!(callback.name(), "SIGUSR1");
            for expected in 1..=3 {
                send(Signal::SIGUSR1);
                while count.get() < expected {
                    yield_now().await;
                }
            }
            callback.cancel();
            send(Signal::SIGUSR1);
            sleep(Duration::from_millis(10)).await;
            assert_eq!(count.get(), 3);
            drop(kept);
        })
        .expect("a ring");
    });
}

#[test]
fn a_signal_in_a_thread_made_before_the_loop_reaches_it() {
    in_child("signals::a_signal_in_a_thread_made_before_the_loop_reaches_it", || {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let old = thread::spawn(move || {
            gone.recv().expect("told to");
            send(Signal::SIGTERM); // to this very thread
        });
        run(async {
            let mut terminate = signals(SignalKind::TERMINATE).expect("it can be handled");
            go.send(()).expect("it waits");
            terminate.recv().await;
        })
        .expect("a ring");
        old.join().expect("it lives");
    });
}

#[test]
fn a_child_process_gets_the_default_action() {
    in_child("signals::a_child_process_gets_the_default_action", || {
        run(async {
            let _terminate = signals(SignalKind::TERMINATE).expect("it can be handled");
            let status = std::process::Command::new("sh").args(["-c", "kill $$"]).status();
            use std::os::unix::process::ExitStatusExt as _;
            assert_eq!(status.expect("sh runs").signal(), Some(Signal::SIGTERM as i32));
        })
        .expect("a ring");
    });
}

#[test]
fn ctrl_c_is_waited_for() {
    in_child("signals::ctrl_c_is_waited_for", || {
        run(async {
            let waiter = spawn(ctrl_c());
            yield_now().await;
            send(Signal::SIGINT);
            waiter.await.expect("no panic").expect("it can be handled");
        })
        .expect("a ring");
    });
}

#[test]
fn the_first_ctrl_c_cancels_the_main_task_which_may_clean_up() {
    in_child("signals::the_first_ctrl_c_cancels_the_main_task_which_may_clean_up", || {
        let cleaned = Cell::new(false);
        let event_loop = EventLoop::builder().ctrl_c(true).build().expect("a ring");
        let mut runner = Runner::with(event_loop);
        let result = runner.run(async {
            spawn(async { send(Signal::SIGINT) }).await.expect("no panic");
            if let Err(cancelled) = catch_cancel(std::future::pending::<()>()).await {
                sleep(Duration::from_millis(5)).await;
                cleaned.set(true);
                cancelled.propagate().await;
            }
        });
        let error = result.expect_err("interrupted");
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
        assert_eq!(error.to_string(), "interrupted by Ctrl+C");
        assert!(cleaned.get());
    });
}

#[test]
fn a_main_task_that_swallows_ctrl_c_ends_with_its_value() {
    in_child("signals::a_main_task_that_swallows_ctrl_c_ends_with_its_value", || {
        let event_loop = EventLoop::builder().ctrl_c(true).build().expect("a ring");
        let result = Runner::with(event_loop).run(async {
            spawn(async { send(Signal::SIGINT) }).await.expect("no panic");
            catch_cancel(std::future::pending::<()>()).await.is_err()
        });
        assert!(result.expect("not interrupted"));
    });
}

#[test]
fn the_second_ctrl_c_forces_out_of_a_main_task_that_swallows_all() {
    in_child("signals::the_second_ctrl_c_forces_out_of_a_main_task_that_swallows_all", || {
        let event_loop = EventLoop::builder().ctrl_c(true).build().expect("a ring");
        let mut runner = Runner::with(event_loop);
        let asked = Cell::new(0);
        let stubborn = Rc::new(());
        let inner = stubborn.clone();
        let result = runner.run(async {
            drop(spawn(async move {
                let _held = inner;
                loop {
                    let _swallowed = catch_cancel(std::future::pending::<()>()).await;
                }
            }));
            loop {
                spawn(async { send(Signal::SIGINT) }).await.expect("no panic");
                let _swallowed = catch_cancel(std::future::pending::<()>()).await;
                asked.set(asked.get() + 1);
            }
        });
        let result: std::io::Result<()> = result;
        assert_eq!(result.expect_err("interrupted").kind(), std::io::ErrorKind::Interrupted);
        assert_eq!(asked.get(), 1);
        let start = Instant::now();
        drop(runner);
        assert!(start.elapsed() < Duration::from_secs(4), "nobody is waited for any more");
        assert_eq!(Rc::strong_count(&stubborn), 1);
    });
}

#[test]
fn ctrl_c_ends_run_forever_and_the_loop_can_run_again() {
    in_child("signals::ctrl_c_ends_run_forever_and_the_loop_can_run_again", || {
        let mut event_loop = EventLoop::builder().ctrl_c(true).build().expect("a ring");
        for _ in 0..2 {
            event_loop.call_later(Duration::from_millis(5), || send(Signal::SIGINT));
            assert_eq!(event_loop.run_forever(), Err(RunError::Interrupted));
        }
        assert_eq!(event_loop.run_until_complete(async { 7 }), Ok(7));
    });
}

#[test]
fn a_loop_that_stands_still_dies_of_the_second_ctrl_c() {
    const SELF: &str = "signals::a_loop_that_stands_still_dies_of_the_second_ctrl_c";
    if std::env::var_os("URING_LOOP_TEST_STUCK").is_some() {
        let event_loop = EventLoop::builder().ctrl_c(true).build().expect("a ring");
        let stuck = Runner::with(event_loop).run(async {
            press_until_it_ends(Signal::SIGINT);
            loop {
                thread::sleep(Duration::from_millis(1)); // it never yields
            }
        });
        let _: std::io::Result<()> = stuck;
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([SELF, "--exact", "--nocapture", "--test-threads=1"])
        .env("URING_LOOP_TEST_STUCK", "1")
        .output()
        .expect("it runs");
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(output.status.signal(), Some(Signal::SIGINT as i32), "{output:?}");
}

#[test]
fn a_loop_on_another_thread_leaves_ctrl_c_alone() {
    in_child("signals::a_loop_on_another_thread_leaves_ctrl_c_alone", || {
        // SAFETY: only asks what is installed, and puts it back.
        let installed = || unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.expect("asked");
        thread::spawn(move || {
            run(async move { assert!(matches!(installed(), SigHandler::SigDfl)) }).expect("a ring");
        })
        .join()
        .expect("no panic");
    });
}
