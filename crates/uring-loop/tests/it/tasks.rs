//! Tasks: results, panics, cancelling, aborting, detaching, yielding.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{EventLoop, JoinError, catch_cancel, spawn, yield_now};

use crate::parts::Flag;
use crate::support::{run_alone as run, virtual_loop};

#[test]
fn a_task_gives_its_result() {
    assert_eq!(run(async { spawn(async { 6 * 7 }).await.expect("no panic") }), 42);
}

#[test]
fn a_result_can_be_looked_at_and_taken_afterwards() {
    run(async {
        let mut task = spawn(async { String::from("kept") });
        assert!(task.result().is_none(), "it has not begun");
        yield_now().await;
        assert!(matches!(task.result(), Some(Ok(text)) if text == "kept"));
        assert!(task.result().is_some(), "again");
        assert_eq!((&mut task).await.expect("no panic"), "kept");
        assert!(task.result().is_none(), "it was taken");
        let cancelled = spawn(pending::<()>());
        cancelled.abort();
        assert!(matches!(cancelled.result(), Some(Err(error)) if error.is_cancelled()));
    });
}

#[test]
fn a_result_waits_for_the_callbacks_that_are_to_see_it() {
    run(async {
        let task = spawn(async { 7 });
        let seen = Rc::new(Cell::new(0));
        let inner = seen.clone();
        task.on_done(move |result| inner.set(*result.as_ref().expect("no panic")));
        while !task.is_done() {
            yield_now().await;
        }
        while task.result().is_none() {
            yield_now().await;
        }
        assert_eq!(seen.get(), 7);
    });
}

#[test]
fn a_failure_that_was_looked_at_is_not_reported() {
    let ((), log) = crate::support::logged(|| {
        run(async {
            let task = spawn(async { panic!("seen") });
            yield_now().await;
            assert!(matches!(task.result(), Some(Err(error)) if error.is_panic()));
        });
    });
    assert_eq!(log, "");
}

#[test]
fn the_main_future_may_borrow() {
    let text = String::from("borrowed");
    let length = run(async { text.len() });
    assert_eq!(length, text.len());
}

#[test]
fn tasks_run_in_the_order_they_were_spawned() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks: Vec<_> = (0..10)
            .map(|index| {
                let order = order.clone();
                spawn(async move {
                    order.borrow_mut().push(index);
                    yield_now().await;
                    order.borrow_mut().push(index + 10);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert_eq!(*order.borrow(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_panic_is_given_to_the_joiner_and_the_loop_goes_on() {
    run(async {
        let error = spawn(async { panic!("boom {}", 1) }).await.expect_err("it panicked");
        assert!(error.is_panic());
        assert_eq!(error.to_string(), "the task panicked: boom 1");
        assert_eq!(spawn(async { 1 }).await.expect("the loop is fine"), 1);
    });
}

#[test]
fn a_panic_in_a_detached_task_does_not_reach_anybody() {
    run(async {
        drop(spawn(async { panic!("nobody looks") }));
        sleep(Duration::from_millis(1)).await;
    });
}

#[test]
fn a_panic_in_the_drop_of_a_future_is_given_to_the_joiner() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    run(async {
        let task = spawn(async {
            let _bomb = Bomb;
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.expect_err("it panicked").is_panic());
    });
}

#[test]
#[should_panic(expected = "from main")]
fn a_panic_of_the_main_future_goes_on_outside() {
    run(async { panic!("from main") });
}

#[test]
fn a_cancelled_task_is_dropped_where_it_waits() {
    let (flag, dropped) = Flag::new();
    run(async {
        let task = spawn(async move {
            let _flag = flag;
            pending::<()>().await;
        });
        yield_now().await;
        assert!(task.cancel());
        assert!(!dropped.get(), "not before its turn");
        assert!(matches!(task.await, Err(JoinError::Cancelled(None))));
        assert!(dropped.get());
    });
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs() {
    let (flag, dropped) = Flag::new();
    run(async {
        let task = spawn(async move {
            let _flag = flag;
            panic!("it ran");
        });
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert!(dropped.get());
    });
}

#[test]
fn a_task_that_becomes_ready_first_wins_over_the_cancel() {
    run(async {
        let task = spawn(async {
            yield_now().await;
            5
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.expect("ready wins"), 5);
    });
}

#[test]
fn cancelling_a_finished_task_answers_false() {
    run(async {
        let task = spawn(async {});
        yield_now().await;
        assert!(task.is_done());
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 0);
        task.await.expect("done");
    });
}

#[test]
fn a_task_that_cancels_itself_ends_at_its_next_wait() {
    run(async {
        let slot = Rc::new(RefCell::new(None::<uring_loop::Task<()>>));
        let own = slot.clone();
        let reached = Rc::new(Cell::new(false));
        let mark = reached.clone();
        *slot.borrow_mut() = Some(spawn(async move {
            own.borrow().as_ref().expect("it is there").cancel();
            mark.set(true);
            pending::<()>().await;
        }));
        sleep(Duration::from_millis(1)).await;
        assert!(reached.get());
        let task = slot.borrow_mut().take().expect("still there");
        assert!(task.await.expect_err("cancelled").is_cancelled());
    });
}

#[test]
fn abort_drops_at_once() {
    let (flag, dropped) = Flag::new();
    run(async {
        let task = spawn(async move {
            let _flag = flag;
            catch_cancel(pending::<()>()).await.expect("abort does not ask");
        });
        yield_now().await;
        task.abort();
        assert!(dropped.get());
        assert!(task.await.expect_err("aborted").is_cancelled());
    });
}

#[test]
fn a_scheduled_task_can_be_aborted() {
    run(async {
        let task = spawn(async { panic!("it ran") });
        task.abort();
        task.abort();
        assert!(task.is_done());
        drop(task);
        yield_now().await;
    });
}

#[test]
fn dropping_the_handle_detaches() {
    let done = Rc::new(Cell::new(false));
    let mark = done.clone();
    run(async move {
        drop(spawn(async move {
            sleep(Duration::from_millis(5)).await;
            mark.set(true);
        }));
        sleep(Duration::from_millis(10)).await;
    });
    assert!(done.get());
}

#[test]
fn dropping_the_loop_drops_every_task() {
    let (flags, dropped): (Vec<_>, Vec<_>) = (0..50).map(|_| Flag::new()).unzip();
    let mut event_loop = EventLoop::new().expect("a ring");
    event_loop
        .run_until_complete(async {
            for (index, flag) in flags.into_iter().enumerate() {
                drop(spawn(async move {
                    let _flag = flag;
                    pending::<()>().await;
                }));
                if index < 25 {
                    yield_now().await; // the others are never polled
                }
            }
        })
        .expect("not cancelled");
    assert!(dropped.iter().all(|dropped| !dropped.get()));
    drop(event_loop);
    assert!(dropped.iter().all(|dropped| dropped.get()));
}

#[test]
fn a_task_spawned_by_a_drop_during_shutdown_is_dropped_too() {
    struct Spawner(Rc<Cell<bool>>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let flag = Flag(self.0.clone());
            drop(spawn(async move {
                let _flag = flag;
                pending::<()>().await;
            }));
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let spawner = Spawner(dropped.clone());
    let mut event_loop = EventLoop::new().expect("a ring");
    event_loop
        .run_until_complete(async {
            drop(spawn(async move {
                let _spawner = spawner;
                pending::<()>().await;
            }));
            yield_now().await;
        })
        .expect("not cancelled");
    drop(event_loop);
    assert!(dropped.get());
}

#[test]
#[expect(clippy::async_yields_async, reason = "the handle is what is wanted")]
fn a_handle_may_outlive_its_loop() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let task =
        event_loop.run_until_complete(async { spawn(pending::<()>()) }).expect("not cancelled");
    drop(event_loop);
    assert!(task.is_done());
    assert!(!task.cancel());
}

#[test]
fn a_waker_may_outlive_its_task_and_its_loop() {
    let kept = Rc::new(RefCell::new(None));
    let keep = kept.clone();
    run(async move {
        spawn(async move {
            poll_fn(|cx| {
                *keep.borrow_mut() = Some(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
        })
        .await
        .expect("no panic");
    });
    let waker = kept.borrow_mut().take().expect("it was kept");
    waker.wake_by_ref();
    std::thread::spawn(move || waker.wake()).join().expect("no panic");
}

#[test]
fn an_always_ready_future_cannot_starve_others() {
    // It wakes itself in every poll; the other one must still get its turn.
    struct Greedy(Rc<Cell<bool>>);
    impl Future for Greedy {
        type Output = ();
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.0.get() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
    run(async {
        let stop = Rc::new(Cell::new(false));
        let greedy = spawn(Greedy(stop.clone()));
        uring_loop::op::Driver::current().submit(uring_loop::op::Nop).await.expect("a nop");
        sleep(Duration::ZERO).await;
        stop.set(true);
        greedy.await.expect("no panic");
    });
}

#[test]
fn a_loop_can_run_again_and_tasks_go_on() {
    let mut event_loop = virtual_loop();
    let done = Rc::new(Cell::new(false));
    let mark = done.clone();
    event_loop
        .run_until_complete(async move {
            drop(spawn(async move {
                sleep(Duration::from_secs(1)).await;
                mark.set(true);
            }));
        })
        .expect("not cancelled");
    assert!(!done.get());
    event_loop.run_until_complete(sleep_later(2)).expect("not cancelled");
    assert!(done.get());
}

async fn sleep_later(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[test]
#[should_panic(expected = "loops do not nest")]
fn loops_do_not_nest() {
    run(async {
        let _ = EventLoop::new().expect("a ring").run_until_complete(async {});
    });
}

#[test]
#[should_panic(expected = "spawn needs a running event loop")]
fn spawning_outside_of_a_loop_is_refused() {
    drop(spawn(async {}));
}

#[test]
fn a_hundred_thousand_tasks_come_and_go() {
    run(async {
        let tasks: Vec<_> = (0..100_000u64)
            .map(|index| {
                spawn(async move {
                    yield_now().await;
                    index
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("no panic");
        }
        assert_eq!(sum, 100_000 * 99_999 / 2);
    });
}

#[test]
fn names_and_places_show_in_the_dump() {
    let mut event_loop = EventLoop::new().expect("a ring");
    event_loop
        .run_until_complete(async {
            drop(spawn(pending::<()>()).named("waits for ever"));
            yield_now().await;
        })
        .expect("not cancelled");
    let dump = event_loop.dump();
    let tasks = dump.tasks();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].name, "waits for ever");
    assert!(tasks[0].location.file().ends_with("tasks.rs"));
    assert!(tasks[0].to_string().starts_with("<Task waiting name=\"waits for ever\" at "));
}
