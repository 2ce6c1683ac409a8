//! Task-locals: who sees which value.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{
    Promise, Runner, call_later, call_soon, spawn, spawn_eager, stop, task_local, yield_now,
};

use crate::support::{run_alone as run, virtual_loop};

task_local! {
    static USER: String;
    static LEVEL: u32 = 1;
    static HELD: Rc<()>;
}

#[test]
fn a_task_sees_what_its_parent_had_when_it_was_spawned() {
    run(async {
        USER.set("ann".into());
        let child = spawn(async {
            let first = USER.get();
            yield_now().await;
            (first, USER.get())
        });
        USER.set("bob".into());
        assert_eq!(child.await.expect("no panic"), ("ann".into(), "ann".into()));
        assert_eq!(USER.get(), "bob");
    });
}

#[test]
fn what_a_task_sets_is_its_own() {
    run(async {
        USER.set("ann".into());
        let children: Vec<_> = (0..3)
            .map(|index| {
                spawn(async move {
                    USER.set(format!("child {index}"));
                    LEVEL.set(LEVEL.get() + index);
                    yield_now().await;
                    (USER.get(), LEVEL.get())
                })
            })
            .collect();
        for (index, child) in (0..).zip(children) {
            assert_eq!(child.await.expect("no panic"), (format!("child {index}"), 1 + index));
        }
        assert_eq!((USER.get(), LEVEL.get()), ("ann".into(), 1));
    });
}

#[test]
fn callbacks_and_eager_tasks_inherit_too() {
    run(async {
        USER.set("ann".into());
        let seen = Rc::new(Cell::new(0));
        let (soon, later) = (seen.clone(), seen.clone());
        call_soon(move || soon.set(soon.get() + u32::from(USER.get() == "ann")));
        call_later(Duration::from_secs(1), move || {
            later.set(later.get() + u32::from(USER.get() == "ann"));
        });
        assert_eq!(spawn_eager(async { USER.get() }).await.expect("no panic"), "ann");
        USER.set("bob".into());
        sleep(Duration::from_secs(2)).await;
        assert_eq!(seen.get(), 2);
    });
}

/// asyncio: `add_done_callback` copies the context when it is called.
#[test]
fn a_done_callback_has_what_was_there_when_it_was_added() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let see = || {
            let seen = seen.clone();
            move || seen.borrow_mut().push(USER.try_with(Clone::clone).unwrap_or_default())
        };
        let (none, task_none) = (see(), spawn(async { USER.set("the task".into()) }));
        task_none.on_done(move |_| none());
        USER.set("ann".into());
        let task = spawn(async {
            USER.set("the task".into());
            yield_now().await;
        });
        let (call, promised, later) = (see(), see(), see());
        let promise = Promise::<()>::new();
        task.on_done(move |_| call());
        promise.on_done(move |_| promised());
        USER.set("bob".into());
        let setter = promise.clone();
        let sets = spawn(async move {
            USER.set("who sets".into());
            setter.set_result(()).expect("it is pending");
        });
        promise.on_done(move |_| later());
        task_none.await.expect("no panic");
        task.await.expect("no panic");
        sets.await.expect("no panic");
        yield_now().await;
        assert_eq!(*seen.borrow(), ["", "ann", "bob", "ann"]);
    });
}

/// asyncio: test_runners.py, test_run_keeps_context.
#[test]
fn the_runs_of_a_runner_share_their_values() {
    let mut runner = Runner::with(virtual_loop());
    let held = Rc::new(());
    let inner = held.clone();
    runner
        .run(async move {
            HELD.set(inner);
            LEVEL.set(2);
            let child = spawn(async { LEVEL.set(100) });
            child.await.expect("no panic");
        })
        .expect("not stopped");
    let second = async {
        let before = LEVEL.get();
        LEVEL.set(before + 1);
        stop();
        pending::<()>().await;
    };
    runner.run(second).expect_err("stopped");
    assert_eq!(runner.run(async { LEVEL.get() }).expect("not stopped"), 3);
    // Not those of the loop itself: each is a task of its own, as with run_until_complete there.
    let event_loop = runner.event_loop();
    assert_eq!(event_loop.run_until_complete(async { LEVEL.get() }), Ok(1));
    assert_eq!(Rc::strong_count(&held), 2);
    drop(runner);
    assert_eq!(Rc::strong_count(&held), 1, "they go with it");
}

#[test]
fn a_value_not_set_is_the_initial_one_or_none() {
    run(async {
        assert_eq!(LEVEL.get(), 1);
        assert_eq!(USER.try_with(Clone::clone), None);
        let unset = std::panic::catch_unwind(|| USER.get()).expect_err("it has no value");
        let text = unset.downcast_ref::<String>().expect("a message");
        assert!(text.contains("USER was not set"), "{text}");
    });
    assert_eq!(LEVEL.get(), 1, "outside of any task too");
    let outside = std::panic::catch_unwind(|| LEVEL.set(2)).expect_err("no task runs");
    assert!(outside.downcast_ref::<String>().is_some_and(|text| text.contains("by a task")));
}

#[test]
fn a_scope_gives_its_value_to_its_future_only() {
    run(async {
        let (one, two) = (
            USER.scope("one".into(), async {
                yield_now().await;
                let child = spawn(async { USER.get() });
                let before = USER.get();
                USER.set("one, changed".into());
                yield_now().await;
                (before, USER.get(), child.await.expect("no panic"))
            }),
            USER.scope("two".into(), async {
                yield_now().await;
                USER.get()
            }),
        );
        let (one, two) = futures_util::join!(one, two);
        assert_eq!(one, ("one".into(), "one, changed".into(), "one".into()));
        assert_eq!(two, "two");
        assert_eq!(USER.try_with(Clone::clone), None);
    });
}

#[test]
fn a_scope_that_panics_gives_the_outer_value_back() {
    run(async {
        USER.set("outer".into());
        let failing = USER.scope("inner".into(), async { panic!("in the scope") });
        let caught = std::panic::AssertUnwindSafe(failing);
        assert!(futures_util::FutureExt::catch_unwind(caught).await.is_err());
        assert_eq!(USER.get(), "outer");
    });
}

#[test]
fn values_go_with_the_last_task_that_has_them() {
    let held = Rc::new(());
    let inner = held.clone();
    run(async move {
        let outer = Rc::clone(&inner);
        let task = spawn(async move {
            HELD.set(inner);
            let child = spawn(sleep(Duration::from_secs(1)));
            yield_now().await;
            [child]
        });
        let [child] = task.await.expect("no panic");
        assert_eq!(Rc::strong_count(&outer), 3, "the child has it still");
        child.await.expect("no panic");
        assert_eq!(Rc::strong_count(&outer), 2);
    });
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_value_may_look_at_others_while_it_is_dropped() {
    struct Nosy;
    impl Drop for Nosy {
        fn drop(&mut self) {
            LEVEL.with(|level| assert_eq!(*level, 1));
        }
    }
    task_local! { static NOSY: Rc<Nosy>; }
    run(async {
        let task = spawn(async {
            NOSY.set(Rc::new(Nosy));
            NOSY.set(Rc::new(Nosy));
        });
        task.await.expect("no panic");
    });
}
