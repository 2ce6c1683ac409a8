//! The end of a queue: done, joined, shut down; and room that is kept beyond it.

use std::rc::Rc;

use uring_loop::queue::ShutDown;
use uring_loop::queue::{GetError, LifoQueue, Order, OrderedQueue, PriorityQueue, PutError, Queue};

use crate::by_hand::{Hand, at_once, wakes};
use crate::parts::{drain, filled};

#[test]
fn reserved_room_is_used_given_back_or_refused_and_the_item_is_never_lost() {
    let queue = Queue::bounded(1);
    let room = at_once(queue.reserve()).expect("room");
    assert!(queue.is_full() && queue.is_empty());
    let mut waiting = Hand::waiting(queue.reserve());
    drop(room);
    assert_eq!(waiting.wakes(), 1);
    let room = waiting.ready().expect("room");
    room.put(5).expect("open");
    assert_eq!(queue.get_nowait(), Ok(5));

    let room = at_once(queue.reserve()).expect("room");
    queue.shutdown(false);
    assert_eq!(room.put(6), Err(ShutDown(6)));
    assert_eq!(queue.statistics().reserved, 0);
    assert!(at_once(queue.reserve()).is_err());
}

#[test]
fn done_is_said_once_for_each_item() {
    let queue = filled(Queue::new(), &[1, 2]);
    assert_eq!(queue.task_done(), Ok(()));
    assert_eq!(queue.task_done(), Ok(()));
    let error = queue.task_done().expect_err("once too often");
    assert_eq!(std::io::Error::from(error).to_string(), error.to_string());
    queue.put_nowait(3).expect("room");
    assert_eq!(queue.task_done(), Ok(()));
}

#[test]
fn joining_waits_until_all_that_was_put_is_done() {
    let queue = Queue::new();
    at_once(queue.join());
    let queue = filled(queue, &[1, 2]);
    let mut joiners = [Hand::waiting(queue.join()), Hand::waiting(queue.join())];
    assert_eq!(drain(&queue), [1, 2]);
    queue.task_done().expect("two are open");
    assert_eq!(wakes(&joiners), [0, 0]);
    queue.task_done().expect("one is open");
    assert_eq!(wakes(&joiners), [1, 1]);
    // It is over for them even if more was put before they run.
    queue.put_nowait(3).expect("room");
    joiners.iter_mut().for_each(Hand::ready);
    Hand::waiting(queue.join());
}

/// What has nothing to do with the order is the same for every kind.
#[test]
fn every_kind_is_bounded_joined_and_shut_down() {
    fn check<O: Order<Item = i32>>(queue: OrderedQueue<O>) {
        let queue = filled(queue, &[1, 2]);
        let mut putter = Hand::waiting(queue.put(3));
        let mut joiner = Hand::waiting(queue.join());
        assert!(queue.is_full());
        at_once(queue.get()).expect("an item");
        assert_eq!(putter.ready(), Ok(()));
        for _ in 0..2 {
            queue.task_done().expect("three were put");
            joiner.pending();
        }
        queue.task_done().expect("three were put");
        joiner.ready();
        queue.shutdown(false);
        assert_eq!(queue.put_nowait(4), Err(PutError::ShutDown(4)));
        assert_eq!(drain(&queue).len(), 2);
        assert_eq!(at_once(queue.get()), Err(ShutDown(())));
    }
    check(Queue::bounded(2));
    check(LifoQueue::bounded(2));
    check(PriorityQueue::bounded(2));
}

#[test]
fn after_a_shutdown_nothing_goes_in_and_what_is_there_comes_out() {
    let queue = filled(Queue::new(), &[1, 2]);
    queue.shutdown(false);
    assert!(queue.is_shut_down());
    let refused = queue.put_nowait(3).expect_err("shut down");
    assert_eq!(refused, PutError::ShutDown(3));
    assert_eq!(refused.to_string(), "the queue was shut down");
    assert_eq!(at_once(queue.put(4)), Err(ShutDown(4)));
    assert_eq!((at_once(queue.get()), queue.get_nowait()), (Ok(1), Ok(2)));
    assert_eq!(queue.get_nowait(), Err(GetError::ShutDown));
    assert_eq!(at_once(queue.get()), Err(ShutDown(())));
    let error = std::io::Error::from(ShutDown(()));
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);

    // What was got is still to be done.
    let mut joiner = Hand::waiting(queue.join());
    queue.task_done().expect("two are open");
    queue.task_done().expect("one is open");
    joiner.ready();
    queue.shutdown(false);
}

#[test]
fn an_immediate_shutdown_throws_the_items_away_and_counts_them_as_done() {
    let item = Rc::new(());
    let queue = Queue::new();
    for _ in 0..3 {
        queue.put_nowait(item.clone()).expect("room");
    }
    let got = queue.get_nowait();
    let mut joiner = Hand::waiting(queue.join());
    queue.shutdown(true);
    assert_eq!((queue.len(), Rc::strong_count(&item)), (0, 2));
    assert_eq!(queue.get_nowait(), Err(GetError::ShutDown));
    joiner.pending();
    assert_eq!(queue.statistics().unfinished, 1, "the one that was got");
    queue.task_done().expect("one is open");
    joiner.ready();
    assert!(queue.task_done().is_err());
    drop(got);

    let queue = filled(Queue::new(), &[1]);
    let mut joiner = Hand::waiting(queue.join());
    queue.shutdown(false);
    joiner.pending();
    queue.shutdown(true); // on top of the other
    joiner.ready();
}

#[test]
fn a_shutdown_tells_all_who_wait() {
    let queue = Queue::<u8>::new();
    let mut getters = [Hand::waiting(queue.get()), Hand::waiting(queue.get())];
    queue.shutdown(false);
    assert_eq!(wakes(&getters), [1, 1]);
    assert!(getters.iter_mut().all(|getter| getter.ready() == Err(ShutDown(()))));

    for immediate in [false, true] {
        let queue = filled(Queue::bounded(1), &[1]);
        let mut putters = [Hand::waiting(queue.put(2)), Hand::waiting(queue.put(3))];
        queue.shutdown(immediate);
        assert_eq!(wakes(&putters), [1, 1]);
        assert_eq!(putters[0].ready(), Err(ShutDown(2)));
        assert_eq!(putters[1].ready(), Err(ShutDown(3)));
        assert_eq!(queue.len(), usize::from(!immediate));
    }
}

#[test]
fn a_shutdown_reaches_those_woken_before_it_that_have_not_run() {
    let queue = filled(Queue::bounded(1), &[1]);
    let mut putter = Hand::waiting(queue.put(2));
    assert_eq!(queue.get_nowait(), Ok(1));
    queue.shutdown(false);
    assert_eq!(putter.ready(), Err(ShutDown(2)));
    assert_eq!(queue.statistics().reserved, 0);

    let queue = Queue::new();
    let mut getters = [Hand::waiting(queue.get()), Hand::waiting(queue.get())];
    queue.put_nowait(1).expect("room");
    queue.shutdown(false);
    // The item is for whoever is first now.
    assert_eq!(getters[1].ready(), Ok(1));
    assert_eq!(getters[0].ready(), Err(ShutDown(())));
}
