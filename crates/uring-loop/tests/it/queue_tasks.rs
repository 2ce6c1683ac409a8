//! Queues between tasks: who is served, and that items survive whatever happens to tasks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uring_loop::queue::Queue;
use uring_loop::time::{Elapsed, sleep, timeout};
use uring_loop::{EventLoop, spawn, yield_now};

use crate::parts::drain;
use crate::support::run_limited;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_get_that_waits_while_the_loop_stands_still_is_served_when_it_runs_again() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let queue = Queue::new();
    let mut task = None;
    let begin = async {
        let queue = queue.clone();
        task = Some(spawn(async move { queue.get().await }));
        yield_now().await;
    };
    event_loop.run_until_complete(begin).expect("not cancelled");
    let task = task.expect("spawned");
    queue.put_nowait("bar").expect("room");
    assert!(!task.is_done());
    let result = event_loop.run_until_complete(task).expect("not cancelled");
    assert_eq!(result.expect("no panic"), Ok("bar"));
}

#[test]
fn workers_share_what_is_put_and_join_waits_for_the_last() {
    run_limited(async {
        let queue = Queue::bounded(3);
        let done = Rc::new(RefCell::new(Vec::new()));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, done) = (queue.clone(), done.clone());
                spawn(async move {
                    while let Ok(item) = queue.get().await {
                        sleep(MS * (item % 3)).await;
                        done.borrow_mut().push(item);
                        queue.task_done().expect("it was put");
                    }
                })
            })
            .collect();
        for item in 0..30u32 {
            queue.put(item).await.expect("open");
        }
        queue.join().await;
        done.borrow_mut().sort_unstable();
        assert_eq!(*done.borrow(), (0..30).collect::<Vec<_>>());
        queue.shutdown(false);
        for worker in workers {
            worker.await.expect("no panic");
        }
    });
}

/// Getters and putters are cancelled, aborted and time out at every stage; every item that was put
/// is got once.
#[test]
fn items_survive_cancels_aborts_and_timeouts() {
    run_limited(async {
        let queue = Queue::bounded(2);
        let got = Rc::new(RefCell::new(Vec::new()));
        let put = Rc::new(RefCell::new(Vec::new()));
        for round in 0..60u32 {
            let getters: Vec<_> = (0..3)
                .map(|index| {
                    let (queue, got) = (queue.clone(), got.clone());
                    spawn(async move {
                        if let Ok(item) = timeout(MS * (index % 3), queue.get()).await {
                            got.borrow_mut().push(item.expect("open"));
                        }
                    })
                })
                .collect();
            let putters: Vec<_> = (0..3)
                .map(|index| {
                    let (queue, put) = (queue.clone(), put.clone());
                    spawn(async move {
                        let item = round * 10 + index;
                        if timeout(MS * (index % 2), queue.put(item)).await == Ok(Ok(())) {
                            put.borrow_mut().push(item);
                        }
                    })
                })
                .collect();
            for _ in 0..round % 4 {
                yield_now().await;
            }
            getters[round as usize % 3].cancel();
            getters[(round as usize + 1) % 3].abort();
            putters[round as usize % 3].abort();
            putters[(round as usize + 1) % 3].cancel();
            for task in getters.into_iter().chain(putters) {
                let _ = task.await;
            }
        }
        got.borrow_mut().extend(drain(&queue));
        got.borrow_mut().sort_unstable();
        // A task may be aborted between the put and the note of it: nothing awaits in between.
        put.borrow_mut().sort_unstable();
        assert_eq!(*got.borrow(), *put.borrow());
        assert!(got.borrow().len() > 20, "{got:?}");
        let statistics = queue.statistics();
        assert_eq!((statistics.getters, statistics.putters, statistics.reserved), (0, 0, 0));
    });
}

#[test]
fn a_wait_ends_by_timeout_and_is_out_of_line() {
    run_limited(async {
        let queue = Queue::bounded(1);
        assert_eq!(timeout(MS, queue.get()).await, Err(Elapsed));
        queue.put(1).await.expect("open");
        assert_eq!(timeout(MS, queue.put(2)).await, Err(Elapsed));
        assert_eq!(timeout(MS, queue.join()).await, Err(Elapsed));
        let statistics = queue.statistics();
        let in_line = (statistics.getters, statistics.putters, statistics.joiners);
        assert_eq!(in_line, (0, 0, 0));
        assert_eq!(drain(&queue), [1]);
    });
}

#[test]
fn a_producer_without_a_limit_and_a_consumer_starve_nobody() {
    run_limited(async {
        let queue = Queue::new();
        let others = Rc::new(Cell::new(0));
        let other = spawn({
            let others = others.clone();
            async move {
                loop {
                    others.set(others.get() + 1);
                    yield_now().await;
                }
            }
        });
        for item in 0..1000 {
            queue.put(item).await.expect("open");
        }
        let after_puts = others.get();
        assert!(after_puts >= 5, "{after_puts}");
        for item in 0..1000 {
            assert_eq!(queue.get().await, Ok(item));
        }
        assert!(others.get() >= after_puts + 5, "{}", others.get());
        other.abort();
    });
}
