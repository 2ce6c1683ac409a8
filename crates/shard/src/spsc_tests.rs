//! The ring beside a queue, one thread: every sequence of operations gives the same.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use crate::spsc::{Refusal, ring};

#[derive(Clone, Debug)]
enum Step {
    Push,
    PushBatch(usize),
    Drain(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Push),
        (0_usize..10).prop_map(Step::PushBatch),
        (0_usize..10).prop_map(Step::Drain),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(capacity in 1_usize..9, steps in steps()) {
        let (mut producer, mut consumer) = ring(capacity);
        let mut model = VecDeque::new();
        let mut numbers = 0..;
        for step in steps {
            match step {
                Step::Push => {
                    let number = numbers.next().expect("endless");
                    match producer.push(number) {
                        Ok(()) => model.push_back(number),
                        Err(Refusal::Full(back)) => {
                            prop_assert_eq!((back, model.len()), (number, capacity));
                        }
                        Err(Refusal::Gone(_)) => prop_assert!(false, "both ends live"),
                    }
                }
                Step::PushBatch(count) => {
                    let room = count.min(capacity - model.len());
                    let first = numbers.start;
                    let mut batch = numbers.by_ref().take(count);
                    prop_assert_eq!(producer.push_batch(&mut batch), room);
                    model.extend(first..first + room);
                    prop_assert_eq!(numbers.start, first + room, "took one that did not fit");
                }
                Step::Drain(limit) => {
                    let mut got = Vec::new();
                    // One look may show less than all: what was seen before comes first.
                    let count = consumer.drain(limit, |number| got.push(number));
                    prop_assert_eq!(count, got.len());
                    prop_assert!(count <= limit && (count > 0) == (limit > 0 && !model.is_empty()));
                    prop_assert_eq!(got, model.drain(..count).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(consumer.is_empty(), model.is_empty());
            prop_assert_eq!(producer.is_full(), model.len() == capacity);
        }
    }
}

#[test]
fn what_is_left_in_a_ring_is_dropped_with_its_last_end() {
    let counted = Arc::new(());
    for consumer_first in [false, true] {
        let (mut producer, mut consumer) = ring(4);
        for _ in 0..3 {
            assert!(producer.push(counted.clone()).is_ok());
        }
        consumer.drain(1, drop);
        if consumer_first {
            drop(consumer);
            assert!(matches!(producer.push(counted.clone()), Err(Refusal::Gone(_))));
        } else {
            drop(producer);
            assert_eq!(Arc::strong_count(&counted), 3);
            drop(consumer);
        }
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}

#[test]
fn an_iterator_that_panics_loses_only_what_it_had_not_given() {
    let (mut producer, mut consumer) = ring(8);
    let mut numbers = (0..8).inspect(|number| assert!(*number < 3, "stop"));
    let pushed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        producer.push_batch(&mut numbers)
    }));
    assert!(pushed.is_err());
    let mut got = Vec::new();
    consumer.drain(8, |number| got.push(number));
    assert_eq!(got, [0, 1, 2]);
}

#[test]
fn a_sink_that_panics_has_taken_what_it_was_given_and_no_more() {
    let (mut producer, mut consumer) = ring(4);
    producer.push_batch(&mut (0..4));
    let drained = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        consumer.drain(4, |number| assert!(number < 1, "stop"))
    }));
    assert!(drained.is_err());
    let mut got = Vec::new();
    consumer.drain(4, |number| got.push(number));
    assert_eq!(got, [2, 3]);
    assert_eq!(producer.push_batch(&mut (0..9)), 4);
}
