//! Task-locals: who sees which value.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{call_later, call_soon, spawn, spawn_eager, task_local, yield_now};

use crate::support::run_alone as run;

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
