//! What may be gathered: futures and tasks, several or an iterator of them, children of a group,
//! other gatherings; and a gathering that is a task.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{
    EventLoop, GatherError, JoinError, Task, TaskErrors, TaskGroup, all_tasks, as_completed,
    catch_cancel, gather, gather_settled, shield, spawn, spawn_all, try_gather, yield_now,
};

use crate::support::logged;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

async fn after<T>(time: u64, value: T) -> T {
    sleep(ms(time)).await;
    value
}

/// Cleans up for so long when it is asked to end, and notes that it was.
async fn cleaning_up(time: u64, asked: Rc<Cell<u32>>) -> u32 {
    if let Err(request) = catch_cancel(pending::<()>()).await {
        asked.set(asked.get() + 1);
        sleep(ms(time)).await;
        request.propagate().await;
    }
    0
}

#[test]
fn an_iterator_of_futures_is_gathered_in_the_order_of_the_arguments() {
    run(async {
        let start = now();
        let values = gather!(..[30, 10, 20].map(|time| after(time, time))).await;
        assert_eq!(values.expect("no errors"), [30, 10, 20]);
        assert_eq!(now() - start, ms(30), "side by side");
        // Whatever can be iterated over.
        let boxed = (0..3).map(|n| Box::pin(async move { n }));
        assert_eq!(gather!(..boxed).await.expect("no errors"), [0, 1, 2]);
        assert!(gather!(..Vec::<Task<u32>>::new()).await.expect("no errors").is_empty());
        assert!(gather!(..None::<std::future::Ready<u32>>,).await.expect("none").is_empty());
    });
}

#[test]
fn futures_are_started_by_the_macro_in_order() {
    run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let note = |n| {
            let order = order.clone();
            async move { order.borrow_mut().push(n) }
        };
        let gathered = gather!(..(0..5).map(note));
        yield_now().await;
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4], "they run before they are awaited");
        gathered.await.expect("no errors");
    });
}

#[test]
fn a_task_stays_the_task_it_is() {
    run(async {
        let before = all_tasks().len();
        let tasks: Vec<_> = (0..3).map(|_| spawn(pending::<u32>())).collect();
        let refs: Vec<_> = tasks.iter().map(Task::task_ref).collect();
        let gathered = gather!(..tasks);
        assert_eq!(all_tasks().len(), before + 3, "none was wrapped in another");
        let few = gather!(spawn(pending::<u32>()), spawn(pending::<u32>()));
        assert_eq!(all_tasks().len(), before + 5);
        refs[1].cancel();
        assert!(gathered.await.expect_err("cancelled by hand").is_cancelled());
        drop(few);
    });
}

#[test]
fn the_first_error_of_an_iterator_is_the_result_at_once() {
    run(async {
        let start = now();
        let fails = |time: u64| async move {
            match after(time, time).await {
                20 | 30 => Err(time),
                time => Ok(time),
            }
        };
        let error = try_gather!(..[30, 10, 20].map(fails)).await;
        assert!(matches!(error, Err(GatherError::Failed(20))), "{error:?}");
        assert_eq!(now() - start, ms(20));
        let values = try_gather!(..[5, 10].map(fails)).await;
        assert_eq!(values.expect("no errors"), [5, 10]);
    });
}

#[test]
fn a_future_that_panics_is_an_error_or_an_item() {
    run(async {
        let halves = |n: u32| async move { 100 / n };
        let error = gather!(..[1, 0, 2].map(halves)).await.expect_err("it panicked");
        assert!(error.is_panic());
        let settled = gather_settled!(..[1, 0, 2].map(halves)).await;
        let values: Vec<_> = settled.iter().map(|item| item.as_ref().ok().copied()).collect();
        assert_eq!(values, [Some(100), None, Some(50)]);
    });
}

#[test]
fn a_request_reaches_futures_of_an_iterator() {
    run(async {
        let asked = Rc::new(Cell::new(0));
        let bodies: Vec<_> = (1..=3).map(|time| cleaning_up(10 * time, asked.clone())).collect();
        let outer = spawn(async move { gather!(..bodies).await });
        sleep(ms(1)).await;
        let start = now();
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!((asked.get(), now() - start), (3, ms(30)));
    });
}

#[test]
fn results_come_as_they_end_of_futures_too() {
    run(async {
        let mut naps = as_completed!(..[30, 10, 20].map(|time| after(time, time)));
        let mut order = Vec::new();
        while let Some((index, time)) = naps.next().await {
            order.push((index, time.expect("no panic")));
        }
        assert_eq!(order, [(1, 10), (2, 20), (0, 30)]);
        let task = spawn(after(1, "a task"));
        let id = task.id();
        let both = as_completed!(async { "a future" }, task);
        let ids: Vec<_> = both.into_pending().iter().map(Task::id).collect();
        assert_eq!(ids[1], id);
        assert_eq!(as_completed!(..[spawn(pending::<()>())]).len(), 1);
    });
}

#[test]
fn children_of_a_group_are_gathered() {
    run(async {
        let sum = TaskGroup::<io::Error>::scope(async |group| {
            let pages = (1..=3).map(|n| group.spawn(async move { Ok(after(n, n).await) }));
            let pages = gather(pages).await?;
            Ok(pages.into_iter().sum::<u64>())
        });
        assert_eq!(sum.await.expect("no errors"), 6);
        let failed: Result<(), TaskErrors<u32>> = TaskGroup::scope(async |group| {
            let pages = [1, 2, 3].map(|n| group.spawn(async move { Err::<(), _>(n) }));
            drop(gather(pages).await);
            Ok(())
        })
        .await;
        assert_eq!(failed.expect_err("the first ends it").iter().collect::<Vec<_>>(), [&1]);
    });
}

#[test]
fn gatherings_are_gathered() {
    run(async {
        let asked = Rc::new(Cell::new(0));
        let start = now();
        let row = |from: u64| gather(spawn_all((from..from + 3).map(|n| after(n, n))));
        let rows = gather([row(0), row(10)]).await.expect("no errors");
        assert_eq!((rows, now() - start), (vec![vec![0, 1, 2], vec![10, 11, 12]], ms(12)));
        let mixed = gather!(row(5), async { 'x' }, gather_settled([spawn(pending::<()>())]));
        let outer = spawn(mixed);
        let inner = (0..2).map(|_| gather!(..[cleaning_up(5, asked.clone())]));
        let nested = spawn(gather(inner));
        sleep(ms(50)).await;
        outer.cancel();
        nested.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert!(nested.await.expect_err("cancelled").is_cancelled());
        assert_eq!(asked.get(), 2);
    });
}

#[test]
fn a_gathering_behind_a_shield_is_left_alone() {
    run(async {
        let start = now();
        let mut saved = shield(gather!(..[10, 20].map(|time| after(time, time))));
        assert_eq!(timeout(ms(5), &mut saved).await.map(drop), Err(Elapsed));
        assert_eq!(saved.await.expect("no errors"), [10, 20]);
        assert_eq!(now() - start, ms(20));
    });
}

type Seen = Rc<RefCell<Vec<String>>>;

fn see<T: std::fmt::Debug + 'static>(task: &Task<T>, seen: &Seen) {
    let into = seen.clone();
    task.on_done(move |result| into.borrow_mut().push(format!("{result:?}")));
}

#[test]
fn a_callback_of_a_gathering_sees_what_awaiting_it_would_give() {
    let seen = Seen::default();
    run(async {
        let all = gather(spawn_all([2, 1].map(|n| after(n, n)))).into_task();
        see(&all, &seen);
        assert_eq!(all.await.expect("no errors"), [2, 1]);
        let mixed = gather!(async { 1 }, async { "two" }).into_task();
        see(&mixed, &seen);
        mixed.await.expect("no errors");
        let spread = gather!(..[after(1, 'a'), after(2, 'b')]).into_task();
        see(&spread, &seen);
        spread.await.expect("no errors");
        let settled = gather_settled([spawn(async { 3 })]).into_task();
        see(&settled, &seen);
        settled.await.expect("no errors");
        let tried = try_gather(spawn_all([Ok(1), Err("no")].map(|r| async move { r })));
        let tried = tried.into_task();
        see(&tried, &seen);
        assert_eq!(tried.await.expect("no panic"), Err("no"));
        let tried = try_gather!(async { Ok::<_, &str>(1) }, async { Ok("two") }).into_task();
        see(&tried, &seen);
        assert_eq!(tried.await.expect("no panic"), Ok((1, "two")));
    });
    let want = [
        "Ok([2, 1])",
        r#"Ok((1, "two"))"#,
        "Ok(['a', 'b'])",
        "Ok([Ok(3)])",
        r#"Ok(Err("no"))"#,
        r#"Ok(Ok((1, "two")))"#,
    ];
    assert_eq!(*seen.borrow(), want);
}

#[test]
fn it_ends_as_the_task_that_failed() {
    let seen = Seen::default();
    let ((), log) = logged(|| {
        run(async {
            let all = gather([spawn(pending::<u32>()), spawn(async { panic!("boom") })]);
            let all = all.into_task();
            see(&all, &seen);
            let Err(JoinError::Panicked(payload)) = all.await else { panic!("it has no value") };
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"boom"), "the very panic");

            let cancelled = spawn(pending::<io::Result<u32>>());
            cancelled.cancel_with("the client has gone");
            let all = try_gather([spawn(pending()), cancelled]).into_task();
            see(&all, &seen);
            let error = all.await.expect_err("cancelled by hand");
            assert_eq!(error.reason(), Some("the client has gone"));
        });
    });
    let seen = seen.borrow();
    assert!(seen[0].starts_with("Err(Panicked"), "{seen:?}");
    assert_eq!(seen[1], r#"Err(Cancelled("the client has gone"))"#);
    assert_eq!(log, "", "every failure was seen");
}

#[test]
fn a_failure_of_a_gathering_that_nobody_looks_at_is_reported_once() {
    let ((), log) = logged(|| {
        run(async {
            let panics = || async { panic!("boom") };
            drop(gather!(..[panics(), panics()]).into_task());
            sleep(ms(1)).await;
        });
    });
    assert_eq!(log.matches("boom").count(), 1, "{log}");
    assert!(log.contains("gather_forms.rs"), "where it was made: {log}");
}

#[test]
fn to_cancel_it_is_to_cancel_what_is_gathered() {
    run(async {
        let asked = Rc::new(Cell::new(0));
        let bodies = [10, 30].map(|time| cleaning_up(time, asked.clone()));
        let all = gather(spawn_all(bodies)).into_task();
        sleep(ms(1)).await;
        let (start, seen) = (now(), Rc::new(Cell::new(None)));
        let into = seen.clone();
        all.on_done(move |result| {
            let cancelled = result.as_ref().is_err_and(JoinError::is_cancelled);
            into.set(Some((cancelled, now())));
        });
        assert!(all.cancel_with("enough"));
        assert!(!all.is_done(), "not before they have ended");
        assert_eq!(all.await.expect_err("cancelled").reason(), Some("enough"));
        assert_eq!((asked.get(), seen.get()), (2, Some((true, start + ms(30)))));
    });
}

#[test]
fn a_request_they_all_answer_with_values_is_swallowed() {
    run(async {
        let swallows = |n: u32| async move {
            drop(catch_cancel(pending::<()>()).await);
            n
        };
        let all = gather(spawn_all([1, 2].map(swallows))).into_task();
        sleep(ms(1)).await;
        all.cancel();
        assert_eq!(all.await.expect("they have values"), [1, 2]);
    });
}

#[test]
fn it_gathers_on_without_a_handle() {
    let seen = Seen::default();
    run(async {
        let all = gather(spawn_all([5, 1].map(|n| after(n, n)))).into_task();
        see(&all, &seen);
        drop(all);
        sleep(ms(10)).await;
    });
    assert_eq!(*seen.borrow(), ["Ok([5, 1])"]);
}

#[test]
fn it_may_be_made_before_the_loop_runs() {
    let mut event_loop = EventLoop::builder().virtual_clock().build().expect("a ring");
    let seen = Seen::default();
    let both = [event_loop.spawn(after(3, "one")), event_loop.spawn(after(1, "two"))];
    let all = gather(both).into_task();
    see(&all, &seen);
    let values = event_loop.run_until_complete(all).expect("not stopped").expect("no errors");
    assert_eq!(values, ["one", "two"]);
    assert_eq!(*seen.borrow(), [r#"Ok(["one", "two"])"#]);
}

#[test]
#[should_panic(expected = "needs an event loop on this thread")]
fn without_a_loop_and_without_tasks_it_cannot_be_a_task() {
    drop(gather(Vec::<Task<u32>>::new()).into_task());
}

/// Generic code, whose types are known late.
async fn all_of<F>(futures: Vec<F>) -> Result<Vec<F::Output>, JoinError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    gather!(..futures).await
}

#[test]
fn types_are_found_without_help() {
    run(async {
        assert_eq!(all_of(vec![async { 1 }]).await.expect("no errors"), [1]);
        // The error type comes from the question mark.
        let tried: io::Result<Vec<u8>> = async {
            let read = |n: u8| async move {
                let n = n.checked_add(1).ok_or(io::ErrorKind::Other)?;
                Ok::<_, io::Error>(n)
            };
            Ok(try_gather!(..[1, 2].map(read)).await?)
        }
        .await;
        assert_eq!(tried.expect("no errors"), [2, 3]);
        // The type of the value comes from another item.
        let values = gather([spawn(pending()), spawn(async { 1_u8 })]).into_task();
        values.cancel();
        let none: Result<Vec<u8>, _> = values.await;
        assert!(none.is_err());
        let empty = gather::<u32>(Vec::<Task<_>>::new()).await.expect("no errors");
        assert!(empty.is_empty());
    });
}
