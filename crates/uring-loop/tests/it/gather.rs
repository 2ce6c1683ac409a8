//! Gathering results: order, the first error, settling, tuples, what runs on.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::{now, sleep};
use uring_loop::{
    GatherError, JoinError, Promise, Task, gather, gather_settled, spawn, spawn_all, try_gather,
    yield_now,
};

use crate::parts::ms;
use crate::support::{end_as_cancelled, forget, logged, poll_once, virtual_loop};

/// A task that ends when its promise is settled, and that promise.
fn on_request<T: Clone + 'static>() -> (Promise<T>, Task<T>) {
    let promise = Promise::new();
    let waiting = promise.clone();
    (promise, spawn(async move { waiting.await.expect("settled with a value") }))
}

#[test]
fn results_come_in_the_order_of_the_arguments() {
    run(async {
        let (promises, tasks): (Vec<_>, Vec<_>) = (0..3).map(|_| on_request()).unzip();
        let gathered = spawn(gather(tasks));
        let done = Rc::new(Cell::new(false));
        let into = done.clone();
        gathered.on_done(move |_| into.set(true));
        yield_now().await;
        promises[1].set_result(1).expect("pending");
        promises[0].set_result(2).expect("pending");
        sleep(ms(1)).await;
        assert!(!gathered.is_done() && !done.get());
        promises[2].set_result(3).expect("pending");
        assert_eq!(gathered.await.expect("no panic").expect("no errors"), [2, 1, 3]);
        assert!(done.get(), "a gathering has callbacks as any task");
    });
}

#[test]
fn without_tasks_it_is_done_at_once() {
    run(async {
        let mut nothing = Box::pin(gather(Vec::<Task<u32>>::new()));
        assert!(
            matches!(poll_once(&mut nothing).await, Poll::Ready(Ok(values)) if values.is_empty())
        );
        assert!(gather_settled(Vec::<Task<u32>>::new()).await.is_empty());
        assert!(try_gather(Vec::<Task<io::Result<u32>>>::new()).await.expect("none").is_empty());
    });
}

#[test]
fn tasks_that_were_done_before_are_gathered_at_once() {
    run(async {
        let tasks = spawn_all((0..3).map(|n| async move { n }));
        yield_now().await;
        let mut gathered = Box::pin(gather(tasks));
        let Poll::Ready(values) = poll_once(&mut gathered).await else { panic!("not at once") };
        assert_eq!(values.expect("no errors"), [0, 1, 2]);
    });
}

#[test]
fn they_run_side_by_side() {
    run(async {
        let start = now();
        let sleeps = (1..=20).map(|time| async move { sleep(ms(time)).await });
        gather(spawn_all(sleeps)).await.expect("no errors");
        assert_eq!(now() - start, ms(20));
    });
}

#[test]
fn they_start_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let note = |n| {
            let order = order.clone();
            spawn(async move { order.borrow_mut().push(n) })
        };
        gather((0..10).map(note)).await.expect("no errors");
    });
    assert_eq!(*order.borrow(), (0..10).collect::<Vec<_>>());
}

#[test]
fn the_first_error_is_the_result_at_once_and_the_others_run_on() {
    let ran_on = Rc::new(Cell::new(false));
    let ((), log) = logged(|| {
        run(async {
            let slow = ran_on.clone();
            let slow = spawn(async move {
                sleep(ms(50)).await;
                slow.set(true);
                Ok(1)
            });
            let fails = |after, error: &'static str| {
                spawn(async move {
                    sleep(ms(after)).await;
                    Err(error)
                })
            };
            let start = now();
            let error = try_gather([slow, fails(20, "late"), fails(10, "first")]).await;
            assert!(matches!(error, Err(GatherError::Failed("first"))), "{error:?}");
            assert_eq!(now() - start, ms(10));
            sleep(ms(100)).await;
        });
    });
    assert!(ran_on.get());
    assert_eq!(log, "", "the later error counts as seen");
}

#[test]
fn panics_of_those_that_run_on_are_not_reported() {
    let panics = |after| {
        spawn(async move {
            sleep(ms(after)).await;
            panic!("after {after} ms")
        })
    };
    let ((), log) = logged(|| {
        run(async {
            let error = gather([panics(10), panics(5), panics(5), panics(20)]).await;
            let error: JoinError = error.map(|_: Vec<()>| ()).expect_err("they panic");
            assert!(error.to_string().contains("after 5 ms"), "{error}");
            sleep(ms(50)).await;
        });
    });
    assert_eq!(log, "");
}

#[test]
fn of_errors_in_one_turn_the_first_to_happen_counts() {
    run(async {
        let first = Promise::<()>::new();
        let fails = |name: &'static str| {
            let first = first.clone();
            spawn(async move {
                first.await.expect("a value");
                Err::<(), _>(name)
            })
        };
        let (a, b) = (fails("a"), fails("b"));
        yield_now().await;
        first.set_result(()).expect("pending");
        // `a` waits longer in line, so it ends first, wherever it stands among the arguments.
        let error = try_gather([b, a]).await;
        assert!(matches!(error, Err(GatherError::Failed("a"))), "{error:?}");
    });
}

#[test]
fn a_child_that_panics_or_is_cancelled_is_an_error_at_once() {
    run(async {
        let panics = spawn(async { panic!("boom") });
        let error = gather([spawn(pending::<u32>()), panics]).await.expect_err("it panicked");
        assert_eq!(error.to_string(), "the task panicked: boom");

        let cancelled = spawn(pending::<io::Result<u32>>());
        cancelled.cancel();
        let error = try_gather([spawn(pending()), cancelled]).await.expect_err("cancelled");
        assert!(matches!(error, GatherError::Join(ref join) if join.is_cancelled()), "{error}");
    });
}

#[test]
fn a_child_cancelled_by_others_does_not_cancel_who_gathers() {
    run(async {
        let gathered = spawn(async {
            let ends = spawn(async {
                sleep(ms(1)).await;
                end_as_cancelled().await
            });
            let error = gather([ends, spawn(pending())]).await.expect_err("cancelled");
            (error.is_cancelled(), "and goes on")
        });
        assert_eq!(gathered.await.expect("not cancelled"), (true, "and goes on"));
    });
}

#[test]
fn children_are_reached_by_hand_while_they_are_gathered() {
    run(async {
        let tasks = [spawn(pending::<u32>()), spawn(pending()), spawn(async { 3 })];
        let (one, other) = (tasks[0].task_ref(), tasks[1].task_ref());
        let gathered = spawn(gather_settled(tasks));
        yield_now().await;
        yield_now().await;
        one.cancel();
        other.abort();
        let outcomes = gathered.await.expect("who gathers goes on");
        assert!(outcomes[..2].iter().all(|outcome| matches!(outcome, Err(e) if e.is_cancelled())));
        assert!(matches!(outcomes[2], Ok(3)));
    });
}

#[test]
fn settled_tells_what_each_came_to() {
    run(async {
        let victim = spawn(pending());
        let tasks = [
            spawn(async { 3 }),
            spawn(async { panic!("boom") }),
            victim,
            spawn(async {
                sleep(ms(1)).await;
                4
            }),
        ];
        yield_now().await;
        tasks[2].cancel();
        let outcomes = gather_settled(tasks).await;
        assert!(matches!(outcomes[0], Ok(3)));
        assert!(matches!(&outcomes[1], Err(error) if error.is_panic()));
        assert!(matches!(&outcomes[2], Err(error) if error.is_cancelled()));
        assert!(matches!(outcomes[3], Ok(4)));
    });
}

#[test]
fn errors_are_values_where_nobody_tries() {
    run(async {
        let tasks = [spawn(async { Ok(1) }), spawn(async { Err("an error") })];
        assert_eq!(gather(tasks).await.expect("none panicked"), [Ok(1), Err("an error")]);
    });
}

#[test]
fn a_tuple_of_futures_and_tasks_of_different_types() {
    run(async {
        let task = spawn(async { "task" });
        let text = String::from("moved");
        let (number, text, name) =
            gather!(async { 1 }, async move { text }, task).await.expect("no errors");
        assert_eq!((number, text.as_str(), name), (1, "moved", "task"));
        let (one,) = gather!(async { 1 },).await.expect("no errors");
        assert_eq!(one, 1);
        let all = gather!(
            async { 1 },
            async { 2 },
            async { 3 },
            async { 4 },
            async { 5 },
            async { 6 },
            async { 7 },
            async { 8 },
        );
        assert_eq!(all.await.expect("no errors"), (1, 2, 3, 4, 5, 6, 7, 8));
    });
}

#[test]
fn a_tuple_ends_with_the_first_error() {
    run(async {
        let start = now();
        let slow = async {
            sleep(ms(50)).await;
            Ok::<_, io::Error>(1)
        };
        let fails = async {
            sleep(ms(5)).await;
            Err::<&str, _>(io::Error::from(io::ErrorKind::NotFound))
        };
        let error: io::Error = try_gather!(slow, fails).await.expect_err("not found").into();
        assert_eq!((error.kind(), now() - start), (io::ErrorKind::NotFound, ms(5)));

        let panics = async { panic!("boom") };
        let error = gather!(async { 1 }, panics, pending::<()>()).await.expect_err("it panicked");
        assert!(error.is_panic());
    });
}

#[test]
fn a_tuple_that_settles() {
    run(async {
        let panics = async { panic!("boom") };
        let (one, two, three): (_, Result<(), JoinError>, _) =
            gather_settled!(async { 1 }, panics, async { "three" }).await;
        assert!(matches!((one, three), (Ok(1), Ok("three"))));
        assert!(two.expect_err("it panicked").is_panic());
    });
}

#[test]
fn dropping_it_lets_the_tasks_run_on() {
    let ran = Rc::new(Cell::new(0));
    run(async {
        let work = |_| {
            let ran = ran.clone();
            spawn(async move {
                sleep(ms(1)).await;
                ran.set(ran.get() + 1);
            })
        };
        drop(gather((0..3).map(work)));
        let mut polled = Box::pin(gather((0..3).map(work)));
        assert!(poll_once(&mut polled).await.is_pending());
        drop(polled);
        let mut forgotten = Box::pin(gather((0..3).map(work)));
        assert!(poll_once(&mut forgotten).await.is_pending());
        forget(forgotten);
        sleep(ms(5)).await;
    });
    assert_eq!(ran.get(), 9);
}

#[test]
fn a_gathering_that_moves_to_another_task_goes_on_there() {
    run(async {
        let (promises, tasks): (Vec<_>, Vec<_>) = (0..3).map(|_| on_request()).unzip();
        let mut gathered = Box::pin(gather(tasks));
        promises[0].set_result(0).expect("pending");
        assert!(poll_once(&mut gathered).await.is_pending());
        let moved = spawn(gathered);
        yield_now().await;
        promises[1].set_result(1).expect("pending");
        promises[2].set_result(2).expect("pending");
        assert_eq!(moved.await.expect("no panic").expect("no errors"), [0, 1, 2]);
    });
}

#[test]
fn callbacks_of_the_children_come_before_who_gathers_goes_on() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks = spawn_all((0..3).map(|n| async move { n }));
        for (index, task) in tasks.iter().enumerate() {
            let order = order.clone();
            task.on_done(move |_| order.borrow_mut().push(index));
        }
        yield_now().await; // done, but their callbacks are still to come
        gather(tasks).await.expect("no errors");
        order.borrow_mut().push(99);
    });
    assert_eq!(*order.borrow(), [0, 1, 2, 99]);
}

#[test]
fn a_thousand_children_cost_few_polls_of_who_gathers() {
    let mut event_loop = virtual_loop();
    let children = 1000;
    event_loop
        .run_until_complete(async {
            let tasks = spawn_all((0..children).map(|n| async move {
                sleep(ms(n % 7)).await;
                n
            }));
            let values = gather(tasks).await.expect("no errors");
            assert_eq!(values, (0..children).collect::<Vec<_>>());
        })
        .expect("not cancelled");
    let polls = event_loop.statistics().polls;
    assert!(polls < 2 * children + 50, "{polls} polls");
}

#[test]
fn a_loop_that_goes_drops_children_and_who_gathers() {
    let counted = Rc::new(());
    let mut event_loop = virtual_loop();
    let hold = |_| {
        let kept = counted.clone();
        async move {
            let _kept = kept;
            pending::<()>().await;
        }
    };
    let tasks: Vec<_> = (0..3).map(hold).map(|future| event_loop.spawn(future)).collect();
    let kept = counted.clone();
    let gathered = event_loop.spawn(async move {
        let _kept = kept;
        drop(gather(tasks).await);
    });
    event_loop.run_until_complete(sleep_a_little()).expect("not cancelled");
    assert_eq!(Rc::strong_count(&counted), 5);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&counted), 1);
    assert!(gathered.is_done());
}

async fn sleep_a_little() {
    sleep(ms(1)).await;
}

#[test]
fn tasks_of_another_loop_of_the_thread_are_gathered_too() {
    let build = || virtual_loop();
    let (mut here, mut there) = (build(), build());
    let work = |time| {
        there.spawn(async move {
            sleep(ms(time)).await;
            time
        })
    };
    let gathered = here.spawn(gather([work(2), work(1)]));
    here.run_until_complete(sleep_a_little()).expect("not cancelled");
    assert!(!gathered.is_done());
    there.run_until_complete(async { sleep(ms(5)).await }).expect("not cancelled");
    let values = here.run_until_complete(gathered).expect("not cancelled").expect("no panic");
    assert_eq!(values.expect("no errors"), [2, 1]);
}

/// How a child ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Value,
    Error,
    Panic,
    Cancelled,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => Just(End::Value),
        1 => Just(End::Error),
        1 => Just(End::Panic),
        1 => Just(End::Cancelled),
    ]
}

/// Children with when and how they end.
fn plan() -> impl Strategy<Value = Vec<(u64, End)>> {
    let child = (0..20_u64, end());
    prop::collection::vec(child, 0..12).prop_map(|children| {
        // No two at the same moment: of those the order is another test's.
        let apart = |(index, (at, end))| (at * 100 + index as u64, end);
        children.into_iter().enumerate().map(apart).collect()
    })
}

fn children(plan: &[(u64, End)]) -> Vec<Task<Result<usize, usize>>> {
    let child = |(index, (at, end)): (usize, &(u64, End))| {
        let (at, end) = (*at, *end);
        spawn(async move {
            sleep(ms(at)).await;
            match end {
                End::Value => Ok(index),
                End::Error => Err(index),
                End::Panic => std::panic::resume_unwind(Box::new(index)),
                End::Cancelled => end_as_cancelled().await,
            }
        })
    };
    plan.iter().enumerate().map(child).collect()
}

/// When the first child ends of those that `which` says, and its number.
fn first(plan: &[(u64, End)], which: impl Fn(End) -> bool) -> Option<(u64, usize)> {
    let these = plan.iter().enumerate().filter(|(_, (_, end))| which(*end));
    these.map(|(index, (at, _))| (*at, index)).min()
}

proptest! {
    /// Against a model: the result, and the moment of it.
    #[test]
    fn it_ends_with_the_first_that_fails_or_with_all(plan in plan(), wait in 0..2000_u64) {
        let last = plan.iter().map(|(at, _)| *at).max().unwrap_or(0);
        run(async {
            let start = now();
            let tried = {
                let tasks = children(&plan);
                sleep(ms(wait)).await; // some may be done
                try_gather(tasks).await
            };
            let took = (now() - start).as_millis() as u64;
            let fails = first(&plan, |end| !matches!(end, End::Value));
            match (&tried, fails) {
                (Ok(values), None) => {
                    assert!(values.iter().copied().eq(0..plan.len()));
                    assert_eq!(took, last.max(wait));
                }
                (Err(error), Some((at, index))) => {
                    // Those that had failed before it looked are taken by their places.
                    assert_eq!(took, at.max(wait));
                    if at > wait {
                        match (error, plan[index].1) {
                            (GatherError::Failed(error), End::Error) => assert_eq!(*error, index),
                            (GatherError::Join(error), End::Panic) => assert!(error.is_panic()),
                            (GatherError::Join(error), End::Cancelled) => {
                                assert!(error.is_cancelled());
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn settled_ends_with_all_and_tells_each(plan in plan(), wait in 0..2000_u64) {
        let last = plan.iter().map(|(at, _)| *at).max().unwrap_or(0);
        run(async {
            let start = now();
            let tasks = children(&plan);
            sleep(ms(wait)).await;
            let outcomes = gather_settled(tasks).await;
            assert_eq!((now() - start).as_millis() as u64, last.max(wait));
            assert_eq!(outcomes.len(), plan.len());
            for (index, (outcome, (_, end))) in outcomes.iter().zip(&plan).enumerate() {
                match (outcome, end) {
                    (Ok(Ok(value)), End::Value) => assert_eq!(*value, index),
                    (Ok(Err(error)), End::Error) => assert_eq!(*error, index),
                    (Err(error), End::Panic) => assert!(error.is_panic()),
                    (Err(error), End::Cancelled) => assert!(error.is_cancelled()),
                    other => panic!("{other:?}"),
                }
            }
        });
    }
}
