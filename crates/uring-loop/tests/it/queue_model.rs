//! Queues under random orders of putting, getting, going and polling, against a model: the items,
//! two lines, and who was woken. Every item that was put comes out once, in order.

use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;
use uring_loop::queue::{GetError, PutError, Queue, ShutDown};

use crate::by_hand::Hand;

const MAX: usize = 3;

/// So many wait on a side; a step that would make it more does nothing.
const MOST: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    Put,
    PutNowait,
    Get,
    GetNowait,
    PollGetter(usize),
    PollPutter(usize),
    DropGetter(usize),
    DropPutter(usize),
}

fn steps(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Step>> {
    let index = 0..1000usize;
    let step = prop_oneof![
        4 => Just(Step::Put),
        2 => Just(Step::PutNowait),
        4 => Just(Step::Get),
        2 => Just(Step::GetNowait),
        4 => index.clone().prop_map(Step::PollGetter),
        4 => index.clone().prop_map(Step::PollPutter),
        1 => index.clone().prop_map(Step::DropGetter),
        1 => index.prop_map(Step::DropPutter),
    ];
    prop::collection::vec(step, count)
}

#[derive(Default)]
struct Model {
    items: VecDeque<usize>,
    /// Numbers of those in line, and of those that were woken and have not run.
    getters: VecDeque<usize>,
    woken_getters: Vec<usize>,
    putters: VecDeque<usize>,
    woken_putters: Vec<usize>,
}

impl Model {
    fn has_room(&self) -> bool {
        self.items.len() + self.woken_putters.len() < MAX
    }

    fn wake(&mut self) {
        while self.woken_getters.len() < self.items.len()
            && let Some(one) = self.getters.pop_front()
        {
            self.woken_getters.push(one);
        }
        while self.has_room()
            && let Some(one) = self.putters.pop_front()
        {
            self.woken_putters.push(one);
        }
    }

    fn put(&mut self, item: usize) {
        self.items.push_back(item);
        self.wake();
    }

    fn get(&mut self) -> Option<usize> {
        let item = self.items.pop_front();
        self.wake();
        item
    }

    fn line_up_again(&mut self, getter: usize) {
        let at = self.getters.partition_point(|other| *other < getter);
        self.getters.insert(at, getter);
    }
}

/// Takes `one` out of `ones`; whether it was there.
fn take(ones: &mut Vec<usize>, one: usize) -> bool {
    let at = ones.iter().position(|other| *other == one);
    at.map(|at| ones.remove(at)).is_some()
}

fn pick<T>(ones: &[T], index: usize) -> Option<usize> {
    (!ones.is_empty()).then(|| index % ones.len())
}

type Getters<'a> = Vec<(usize, usize, Hand<'a, Result<usize, ShutDown>>)>;
type Putters<'a> = Vec<(usize, Hand<'a, Result<(), ShutDown<usize>>>)>;

struct Run<'a> {
    queue: &'a Queue<usize>,
    model: Model,
    getters: Getters<'a>,
    putters: Putters<'a>,
}

impl Run<'_> {
    fn step(&mut self, serial: usize, step: &Step) -> Result<(), TestCaseError> {
        let (queue, model) = (self.queue, &mut self.model);
        match *step {
            Step::Put if self.putters.len() < MOST => {
                let (mut hand, room) = (Hand::new(queue.put(serial)), model.has_room());
                match hand.poll() {
                    Poll::Ready(put) => {
                        prop_assert_eq!((put, room), (Ok(()), true));
                        model.put(serial);
                    }
                    Poll::Pending => {
                        prop_assert!(!room);
                        model.putters.push_back(serial);
                        self.putters.push((serial, hand));
                    }
                }
            }
            Step::PutNowait => match queue.put_nowait(serial) {
                Ok(()) => {
                    prop_assert!(model.has_room());
                    model.put(serial);
                }
                Err(error) => {
                    prop_assert_eq!((error, model.has_room()), (PutError::Full(serial), false));
                }
            },
            Step::Get if self.getters.len() < MOST => {
                let mut hand = Hand::new(queue.get());
                let unclaimed = model.items.len() > model.woken_getters.len();
                match hand.poll() {
                    Poll::Ready(item) => {
                        prop_assert_eq!((item.ok(), unclaimed), (model.get(), true));
                    }
                    Poll::Pending => {
                        prop_assert!(!unclaimed);
                        model.getters.push_back(serial);
                        self.getters.push((serial, 0, hand));
                    }
                }
            }
            Step::Put | Step::Get => {}
            Step::GetNowait => {
                let item = queue.get_nowait();
                prop_assert_eq!(item, model.get().ok_or(GetError::Empty));
            }
            Step::PollGetter(index) => return self.poll_getter(index),
            Step::PollPutter(index) => return self.poll_putter(index),
            Step::DropGetter(index) => {
                let Some(index) = pick(&self.getters, index) else { return Ok(()) };
                let (one, _, hand) = self.getters.remove(index);
                drop(hand);
                model.getters.retain(|other| *other != one);
                take(&mut model.woken_getters, one);
                model.wake();
            }
            Step::DropPutter(index) => {
                let Some(index) = pick(&self.putters, index) else { return Ok(()) };
                let (one, hand) = self.putters.remove(index);
                drop(hand);
                model.putters.retain(|other| *other != one);
                take(&mut model.woken_putters, one);
                model.wake();
            }
        }
        Ok(())
    }

    fn poll_getter(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Some(index) = pick(&self.getters, index) else { return Ok(()) };
        let (one, wakes, hand) = &mut self.getters[index];
        let woken = take(&mut self.model.woken_getters, *one);
        match hand.poll() {
            Poll::Ready(item) => {
                prop_assert_eq!((item.ok(), woken), (self.model.get(), true));
                self.getters.remove(index);
            }
            Poll::Pending if woken => {
                prop_assert!(self.model.items.is_empty(), "an item lies there");
                self.model.line_up_again(*one);
                *wakes += 1; // overtaken
            }
            Poll::Pending => {}
        }
        Ok(())
    }

    fn poll_putter(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Some(index) = pick(&self.putters, index) else { return Ok(()) };
        let (one, hand) = &mut self.putters[index];
        let woken = take(&mut self.model.woken_putters, *one);
        let polled = hand.poll();
        prop_assert_eq!(polled, if woken { Poll::Ready(Ok(())) } else { Poll::Pending });
        if woken {
            self.model.put(*one);
            self.putters.remove(index);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (model, statistics) = (&self.model, self.queue.statistics());
        prop_assert_eq!(statistics.len, model.items.len());
        prop_assert_eq!(statistics.reserved, model.woken_putters.len());
        prop_assert_eq!(statistics.getters, model.getters.len());
        prop_assert_eq!(statistics.putters, model.putters.len());
        for (one, wakes, hand) in &self.getters {
            let woken = usize::from(model.woken_getters.contains(one));
            prop_assert_eq!(hand.wakes(), wakes + woken, "a wake is lost, or too many");
        }
        for (one, hand) in &self.putters {
            let woken = usize::from(model.woken_putters.contains(one));
            prop_assert_eq!(hand.wakes(), woken, "a wake is lost, or too many");
        }
        Ok(())
    }
}

fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    let queue = Queue::bounded(MAX);
    let (getters, putters) = (Vec::new(), Vec::new());
    let mut run = Run { queue: &queue, model: Model::default(), getters, putters };
    for (serial, step) in steps.iter().enumerate() {
        run.step(serial, step)?;
        run.check()?;
    }
    let Run { model, .. } = run;
    let left: Vec<_> = std::iter::from_fn(|| queue.get_nowait().ok()).collect();
    prop_assert_eq!(model.items, left);
    Ok(())
}

proptest! {
    #[test]
    fn a_queue_is_items_and_two_lines(steps in steps(1..200)) {
        follow(&steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 500, ..ProptestConfig::with_cases(2) })]

    #[test]
    fn nothing_is_lost_in_ten_thousand_steps(steps in steps(10_000)) {
        follow(&steps)?;
    }
}
