//! Queues: order, room, waiting on both sides, what becomes of items when somebody goes. Without a
//! loop.

use std::cmp::Reverse;
use std::rc::Rc;

use uring_loop::queue::Queue;
use uring_loop::queue::{GetError, LifoQueue, Order, OrderedQueue, PriorityQueue, PutError};

use crate::by_hand::{Hand, at_once, wakes};
use crate::parts::{drain, filled};

#[test]
fn without_a_loop_items_go_in_and_out() {
    let queue = Queue::new();
    assert!(queue.is_empty() && !queue.is_full());
    queue.put_nowait("foo").expect("room");
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.clone().get_nowait(), Ok("foo"), "a clone is the same queue");
    assert_eq!(queue.len(), 0);
    assert_eq!(queue.get_nowait(), Err(GetError::Empty));
    assert_eq!(queue.max_size(), None);
    assert_eq!(Queue::<u8>::default().len(), 0);
}

#[test]
fn each_kind_has_its_order() {
    let items = [3, 1, 4, 1, 5];
    assert_eq!(drain(&filled(Queue::new(), &items)), items);
    assert_eq!(drain(&filled(LifoQueue::new(), &items)), [5, 1, 4, 1, 3]);
    assert_eq!(drain(&filled(PriorityQueue::new(), &items)), [1, 1, 3, 4, 5]);
    let largest_first = PriorityQueue::new();
    items.iter().for_each(|item| largest_first.put_nowait(Reverse(*item)).expect("room"));
    assert_eq!(largest_first.get_nowait(), Ok(Reverse(5)));
}

#[test]
fn of_items_with_equal_priority_the_oldest_comes_first() {
    #[derive(Debug)]
    struct Job(u32, char);
    impl PartialEq for Job {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Job {}
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Job {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }
    let queue = PriorityQueue::new();
    for job in [(2, 'd'), (1, 'a'), (2, 'e'), (1, 'b'), (1, 'c'), (2, 'f')] {
        queue.put_nowait(Job(job.0, job.1)).expect("room");
    }
    let order: String = drain(&queue).iter().map(|job| job.1).collect();
    assert_eq!(order, "abcdef");
}

#[test]
fn a_full_one_refuses_and_gives_the_item_back() {
    let queue = filled(Queue::bounded(2), &[1, 2]);
    assert!(queue.is_full());
    assert_eq!(queue.max_size(), Some(2));
    let refused = queue.put_nowait(3).expect_err("full");
    assert_eq!((refused, refused.to_string().as_str()), (PutError::Full(3), "the queue is full"));
    assert_eq!(refused.into_inner(), 3);
    assert_eq!(std::io::Error::from(refused).kind(), std::io::ErrorKind::WouldBlock);
    queue.get_nowait().expect("an item");
    assert!(!queue.is_full());
    queue.put_nowait(3).expect("room");
    assert_eq!(drain(&queue), [2, 3]);
}

#[test]
#[should_panic = "`new` makes one without a limit"]
fn one_for_no_items_is_a_mistake() {
    Queue::<u8>::bounded(0);
}

#[test]
fn it_says_how_it_stands() {
    let queue = filled(Queue::bounded(1), &[1]);
    let putter = Hand::waiting(queue.put(2));
    let joiner = Hand::waiting(queue.join());
    let statistics = queue.statistics();
    assert_eq!((statistics.len, statistics.putters, statistics.joiners), (1, 1, 1));
    let shown = "Queue { len: 1, max_size: Some(1), unfinished: 1, getters: 0, putters: 1, \
                 shut_down: false }";
    assert_eq!(format!("{queue:?}"), shown);
    drop((putter, joiner));
}

#[test]
fn items_that_lie_there_are_got_at_once_and_others_waited_for() {
    let queue = filled(Queue::new(), &[1]);
    assert_eq!(at_once(queue.get()), Ok(1));
    let mut getters: Vec<_> = (0..3).map(|_| Hand::waiting(queue.get())).collect();
    queue.put_nowait(2).expect("room");
    queue.put_nowait(3).expect("room");
    assert_eq!(wakes(&getters), [1, 1, 0], "one for each item, in waiting order");
    assert_eq!((getters[0].ready(), getters[1].ready()), (Ok(2), Ok(3)));
    getters[2].pending();
}

#[test]
fn room_is_waited_for_and_given_in_waiting_order() {
    let queue = filled(Queue::bounded(1), &[1]);
    let mut putters = [Hand::waiting(queue.put(2)), Hand::waiting(queue.put(3))];
    assert_eq!(queue.get_nowait(), Ok(1));
    assert_eq!(wakes(&putters), [1, 0]);
    assert!(queue.is_full() && queue.is_empty(), "the room is for the first in line");
    assert_eq!(queue.put_nowait(9), Err(PutError::Full(9)));
    assert_eq!(putters[0].ready(), Ok(()));
    putters[1].pending();
    assert_eq!(queue.get_nowait(), Ok(2));
    assert_eq!(putters[1].ready(), Ok(()));
    assert_eq!(queue.get_nowait(), Ok(3));
}

#[test]
fn a_getter_that_was_overtaken_waits_again_at_its_old_place() {
    let queue = Queue::new();
    let mut getters: Vec<_> = (0..4).map(|_| Hand::waiting(queue.get())).collect();
    queue.put_nowait(1).expect("room");
    queue.put_nowait(2).expect("room");
    queue.put_nowait(3).expect("room");
    assert_eq!(drain(&queue), [1, 2, 3]);
    assert_eq!(wakes(&getters), [1, 1, 1, 0]);
    // They run, in any order, find nothing, and are in line as before, ahead of the fourth.
    for index in [1, 2, 0] {
        getters[index].pending();
    }
    assert_eq!(queue.statistics().getters, 4);
    for item in 4..=7 {
        queue.put_nowait(item).expect("room");
        let index = item as usize - 4;
        assert_eq!(getters[index].ready(), Ok(item));
    }
}

#[test]
fn a_newcomer_leaves_an_item_to_the_one_it_woke() {
    let queue = Queue::new();
    let mut first = Hand::waiting(queue.get());
    queue.put_nowait(1).expect("room");
    let mut newcomer = Hand::waiting(queue.get());
    queue.put_nowait(2).expect("room");
    assert_eq!(first.ready(), Ok(1));
    assert_eq!(newcomer.ready(), Ok(2));

    // What nobody has a claim to is there for a newcomer.
    let mut first = Hand::waiting(queue.get());
    queue.put_nowait(3).expect("room");
    queue.put_nowait(4).expect("room");
    assert_eq!(at_once(queue.get()), Ok(3));
    assert_eq!(first.ready(), Ok(4));
}

#[test]
fn a_getter_that_goes_loses_no_item() {
    let queue = Queue::new();
    let (one, mut two, three) =
        (Hand::waiting(queue.get()), Hand::waiting(queue.get()), Hand::waiting(queue.get()));
    drop(three);
    queue.put_nowait(1).expect("room");
    assert_eq!((one.wakes(), two.wakes()), (1, 0));
    drop(one); // woken
    assert_eq!(two.wakes(), 1);
    assert_eq!(two.ready(), Ok(1));

    let one = Hand::waiting(queue.get());
    queue.put_nowait(2).expect("room");
    drop(one);
    assert_eq!(queue.get_nowait(), Ok(2));
}

#[test]
fn a_putter_that_goes_leaves_no_trace() {
    let queue = filled(Queue::bounded(1), &[1]);
    let item = Rc::new(());
    drop(Hand::waiting(queue.put(2)));
    let woken = Hand::waiting(queue.put(3));
    let mut next = Hand::waiting(queue.put(4));
    assert_eq!(queue.get_nowait(), Ok(1));
    drop(woken);
    assert_eq!(next.wakes(), 1, "the room goes to the next");
    assert_eq!(next.ready(), Ok(()));
    assert_eq!(drain(&queue), [4]);
    assert_eq!(queue.statistics().unfinished, 2, "only what was put counts");

    let queue = Queue::bounded(1);
    queue.put_nowait(item.clone()).expect("room");
    drop(Hand::waiting(queue.put(item.clone())));
    assert_eq!(Rc::strong_count(&item), 2, "its item went with it");
}

#[test]
fn a_forgotten_getter_keeps_an_item_from_others_in_line_but_not_from_get_nowait() {
    let queue = Queue::new();
    let lost = Hand::waiting(queue.get());
    let mut other = Hand::waiting(queue.get());
    lost.leak();
    queue.put_nowait(1).expect("room");
    other.pending();
    queue.put_nowait(2).expect("room");
    assert_eq!(other.ready(), Ok(1));
    assert_eq!(queue.get_nowait(), Ok(2));
}

#[test]
fn an_order_of_ones_own_makes_a_queue() {
    /// Gives the longest text first.
    #[derive(Default)]
    struct Longest(Vec<&'static str>);
    impl Order for Longest {
        type Item = &'static str;
        fn push(&mut self, item: &'static str) {
            self.0.push(item);
            self.0.sort_by_key(|text| text.len());
        }
        fn pop(&mut self) -> Option<&'static str> {
            self.0.pop()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
    }
    let queue = OrderedQueue::<Longest>::new();
    for text in ["a", "ccc", "bb"] {
        queue.put_nowait(text).expect("room");
    }
    assert_eq!(drain(&queue), ["ccc", "bb", "a"]);
    assert!(Longest::default().is_empty());
}
