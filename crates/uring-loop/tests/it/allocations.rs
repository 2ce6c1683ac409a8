//! Waiting allocates nothing: tasks of a loop that hand locks, permits and items to each other run
//! with what they have.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

use uring_loop::queue::Queue;
use uring_loop::sync::{Barrier, Condition, Event, Lock, RwLock, Semaphore};
use uring_loop::{spawn, yield_now};

use crate::support::run_limited;

thread_local! {
    /// How often this thread asked for memory.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all calls go to the system's allocator as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TASKS: usize = 3;
const ROUNDS: usize = 400;
/// Rounds until every buffer has its size.
const WARM: usize = 100;

/// Three tasks take `step`, each with its number, again and again; the first looks whether memory
/// was asked for meanwhile. At the end `release` frees whoever still waits.
#[track_caller]
fn takes_no_memory(step: impl AsyncFn(usize) + 'static, release: impl FnOnce()) {
    let asked = run_limited(async {
        let step = Rc::new(step);
        let mut tasks = (0..TASKS).map(|index| {
            let step = step.clone();
            spawn(async move {
                let mut start = 0;
                for round in 0..ROUNDS {
                    if round == WARM {
                        start = ASKED.get();
                    }
                    step(index).await;
                }
                ASKED.get() - start
            })
        });
        let (first, rest) = (tasks.next().expect("three"), tasks.collect::<Vec<_>>());
        let asked = first.await.expect("no panic");
        release();
        for task in rest {
            task.await.expect("no panic");
        }
        asked
    });
    assert_eq!(asked, 0);
}

#[test]
fn the_count_counts() {
    let before = ASKED.get();
    drop(Box::new(before));
    assert_eq!(ASKED.get(), before + 1);
}

#[test]
fn handing_over_a_lock_allocates_nothing() {
    let lock = Lock::new(());
    let hold = async move |_| {
        let _guard = lock.lock().await;
        yield_now().await;
    };
    takes_no_memory(hold, || {});
}

#[test]
fn handing_over_permits_and_reading_and_writing_allocate_nothing() {
    let (semaphore, lock) = (Semaphore::new(2), RwLock::new(()));
    let hold = async move |index| {
        let _permits = semaphore.acquire_many(1 + index % 2).await;
        if index == 0 {
            let _guard = lock.write().await;
            yield_now().await;
        } else {
            let _guard = lock.read().await;
            yield_now().await;
        }
    };
    takes_no_memory(hold, || {});
}

#[test]
fn being_notified_and_meeting_allocate_nothing() {
    let (lock, changed, barrier) = (Lock::new(0), Condition::new(), Barrier::new(TASKS));
    let meet = async move |index| {
        let mut next = changed.wait_for(lock.lock().await, |next| *next % TASKS == index).await;
        *next += 1;
        changed.notify_all(&next);
        drop(next);
        barrier.wait().await.expect("not broken");
    };
    takes_no_memory(meet, || {});
}

#[test]
fn waiting_for_an_event_allocates_nothing() {
    let event = Rc::new(Event::new());
    let set = event.clone();
    let wait = async move |index| match index {
        0 => {
            event.set();
            event.clear();
            yield_now().await;
        }
        _ => event.wait().await,
    };
    takes_no_memory(wait, move || set.set());
}

#[test]
fn putting_and_getting_allocate_nothing() {
    let queue = Queue::bounded(1);
    let pass = async move |index| match index {
        0 => {
            for _ in 1..TASKS {
                queue.get().await.expect("open");
                queue.task_done().expect("it was put");
            }
        }
        _ => queue.put(index).await.expect("open"),
    };
    takes_no_memory(pass, || {});
}
