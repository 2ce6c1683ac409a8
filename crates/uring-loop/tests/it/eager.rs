//! Tasks that take their first step inside of `spawn`, where others are started and waited for:
//! groups, gatherings, chains. (asyncio: test_eager_task_factory.py.)

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::rc::Rc;

use uring_loop::{
    EventLoop, TaskGroup, WaitUntil, all_tasks, as_completed, call_soon, catch_cancel,
    current_task, gather, spawn, spawn_all, spawn_eager, task_local, wait, yield_now,
};

task_local! {
    static USER: &'static str = "nobody";
}

/// Runs a future on a loop that starts all tasks eagerly.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    let builder = EventLoop::builder().virtual_clock().eager_tasks(true);
    builder.build().expect("a ring").run_until_complete(future).expect("not stopped")
}

#[test]
fn what_follows_a_spawn_runs_behind_the_first_step() {
    run(async {
        let said = Rc::new(RefCell::new(Vec::new()));
        let say = |word: &'static str| said.borrow_mut().push(word);
        let inner = said.clone();
        let task = spawn(async move {
            inner.borrow_mut().push("first step");
            yield_now().await;
            inner.borrow_mut().push("second step");
        });
        say("behind spawn");
        task.await.expect("no panic");
        assert_eq!(*said.borrow(), ["first step", "behind spawn", "second step"]);
    });
}

#[test]
fn it_is_the_current_task_in_its_first_step_with_locals_of_its_own_and_listed_while_it_waits() {
    run(async {
        USER.set("ann");
        let outer = current_task().expect("a task runs");
        let listed = Rc::new(Cell::new(false));
        let list = listed.clone();
        let task = spawn(async move {
            let me = current_task().expect("a task runs");
            list.set(all_tasks().contains(&me));
            USER.set("bob");
            yield_now().await;
            (me, USER.get())
        });
        assert!(listed.get(), "in its first step");
        assert_eq!(current_task().as_ref(), Some(&outer));
        assert_eq!(USER.get(), "ann");
        assert!(all_tasks().contains(&task.task_ref()), "while it waits");
        let own = task.task_ref();
        assert_eq!(task.await.expect("no panic"), (own, "bob"));
    });
}

#[test]
fn a_chain_of_tasks_that_do_not_wait_takes_no_round() {
    fn chain(depth: u32) -> Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(async move {
            match depth {
                0 => 0,
                _ => spawn(chain(depth - 1)).await.expect("no panic") + 1,
            }
        })
    }
    run(async {
        let came = Rc::new(Cell::new(false));
        let comes = came.clone();
        call_soon(move || comes.set(true));
        let task = spawn(chain(50));
        assert!(task.is_done(), "inside of spawn");
        assert_eq!(task.await.expect("no panic"), 50);
        assert!(!came.get(), "the loop made no round");
    });
}

#[test]
fn gatherings_of_tasks_that_are_done_are_done() {
    run(async {
        let all = gather(spawn_all((0..3).map(|n| async move { n * n }))).into_task();
        assert!(all.is_done(), "they all were");
        assert_eq!(all.await.expect("no panic"), [0, 1, 4]);
        assert_eq!(gather!(async { 1 }, async { 'x' }).await.expect("no panic"), (1, 'x'));
        let mut first = as_completed(spawn_all([ready(7), ready(8)]));
        assert_eq!(first.next().await.map(|(index, _)| index), Some(0));
        let (done, pending) =
            wait(spawn_all([ready(7), ready(8)]), WaitUntil::AllCompleted).await.expect("two");
        assert_eq!((done.len(), pending.len()), (2, 0));
    });
}

#[test]
fn gatherings_in_gatherings_go_on() {
    fn tree(depth: u32) -> Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(async move {
            if depth == 0 {
                yield_now().await;
                return 1;
            }
            let below = gather(spawn_all((0..3).map(|_| tree(depth - 1)))).await;
            below.expect("no panic").into_iter().sum()
        })
    }
    assert_eq!(run(tree(4)), 81);
}

#[test]
fn children_that_end_in_their_first_step_leave_their_group_as_others_do() {
    run(async {
        let sum = TaskGroup::<&str>::scope(async |group| {
            let mut sum = 0;
            for n in 0..100 {
                let child = group.spawn_value(async move { n });
                assert!(child.is_done() && group.is_empty());
                sum += child.await.expect("no panic");
            }
            // One that stays is asked to end with the group, whoever had its place before.
            let stays = group.spawn_value(pending::<()>());
            assert_eq!(group.len(), 1);
            assert!(!stays.is_done());
            group.spawn::<(), _>(async { Err("in its first step") });
            pending::<()>().await;
            Ok(sum)
        });
        let errors = sum.await.expect_err("a child failed");
        assert_eq!(errors.into_iter().collect::<Vec<_>>(), ["in its first step"]);
    });
}

#[test]
fn a_child_of_a_group_that_is_ending_does_not_take_its_first_step() {
    run(async {
        let began = Rc::new(Cell::new(false));
        let begins = began.clone();
        let ended = TaskGroup::<&str>::scope(async |group| {
            let inner = group.clone();
            group.spawn_value(async move {
                let asked = catch_cancel(pending::<()>()).await;
                assert!(asked.is_err() && inner.is_ending());
                let late = inner.spawn_value(async move { begins.set(true) });
                assert!(late.await.expect_err("it never begins").is_cancelled());
            });
            group.spawn::<(), _>(async {
                yield_now().await;
                Err("the group ends")
            });
            pending::<Result<(), _>>().await
        });
        assert_eq!(ended.await.expect_err("a child failed").len(), 1);
        assert!(!began.get());
    });
}

#[test]
fn groups_in_groups_go_on() {
    fn grow(depth: u32, leaves: Rc<Cell<u32>>) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            if depth == 0 {
                return leaves.set(leaves.get() + 1);
            }
            let grown = TaskGroup::<()>::scope(async |group| {
                for _ in 0..3 {
                    group.spawn_value(grow(depth - 1, leaves.clone()));
                }
                Ok(())
            });
            grown.await.expect("none fails");
        })
    }
    let leaves = Rc::new(Cell::new(0));
    run(grow(4, leaves.clone()));
    assert_eq!(leaves.get(), 81);
}

#[test]
fn a_single_task_is_started_eagerly_on_a_loop_that_does_not() {
    let outcome = uring_loop::testing::run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let (soon, now) = (order.clone(), order.clone());
        let later = spawn(async move { soon.borrow_mut().push("spawn") });
        let at_once = spawn_eager(async move { now.borrow_mut().push("spawn_eager") });
        at_once.await.expect("no panic");
        later.await.expect("no panic");
        order.take()
    });
    assert_eq!(outcome, ["spawn_eager", "spawn"]);
}
