//! Locks, semaphores and locks for readers and writers, under random orders of asking, going,
//! polling and giving back, against a model that fits on a page: a line and a count. After each
//! step who was woken is who the model says, and nothing is lost or given twice.

use std::collections::VecDeque;

use proptest::prelude::*;
use uring_loop::sync::{
    Lock, LockGuard, Permit, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore,
};

use crate::by_hand::Hand;

/// What is asked for: units of something, of which there is a number.
trait Subject {
    /// What one has who was served.
    type Held<'a>: 'a
    where
        Self: 'a;

    fn ask(&self, units: usize) -> Hand<'_, Self::Held<'_>>;

    /// How many units `units` asks for, how many there are, and how many wait.
    fn cost(units: usize) -> usize;
    fn all() -> usize;
    fn waiters(&self) -> usize;
    /// How many units are with nobody.
    fn left(&self) -> usize;
}

impl Subject for Lock<()> {
    type Held<'a> = LockGuard<'a, ()>;

    fn ask(&self, _: usize) -> Hand<'_, LockGuard<'_, ()>> {
        Hand::new(self.lock())
    }

    fn cost(_: usize) -> usize {
        1
    }

    fn all() -> usize {
        1
    }

    fn waiters(&self) -> usize {
        self.statistics().waiters
    }

    fn left(&self) -> usize {
        usize::from(!self.locked())
    }
}

impl Subject for Semaphore {
    type Held<'a> = Permit<'a>;

    fn ask(&self, units: usize) -> Hand<'_, Permit<'_>> {
        Hand::new(self.acquire_many(Self::cost(units)))
    }

    fn cost(units: usize) -> usize {
        units
    }

    fn all() -> usize {
        4
    }

    fn waiters(&self) -> usize {
        self.statistics().waiters
    }

    fn left(&self) -> usize {
        self.available()
    }
}

/// A reader takes one of many units, a writer all.
const READERS: usize = 1000;

enum Either<'a> {
    Read(#[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>),
    Write(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>),
}

impl Subject for RwLock<()> {
    type Held<'a> = Either<'a>;

    fn ask(&self, units: usize) -> Hand<'_, Either<'_>> {
        match units {
            0 => Hand::new(async { Either::Write(self.write().await) }),
            _ => Hand::new(async { Either::Read(self.read().await) }),
        }
    }

    fn cost(units: usize) -> usize {
        if units == 0 { READERS } else { 1 }
    }

    fn all() -> usize {
        READERS
    }

    fn waiters(&self) -> usize {
        self.statistics().waiters
    }

    fn left(&self) -> usize {
        let statistics = self.statistics();
        if statistics.writer { 0 } else { READERS - statistics.readers }
    }
}

/// So many wait at a time; a step that would make it more does nothing.
const MOST: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    Ask(usize),
    Poll(usize),
    /// Drops one that waits, or was served and was not polled since.
    Go(usize),
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..1000usize;
    prop_oneof![
        4 => (0..=4usize).prop_map(Step::Ask),
        4 => index.clone().prop_map(Step::Poll),
        2 => index.clone().prop_map(Step::Go),
        3 => index.prop_map(Step::GiveBack),
    ]
}

/// One that asked and has not got it yet.
struct Asked<'a, H> {
    serial: usize,
    cost: usize,
    hand: Hand<'a, H>,
}

/// The model: units left, who is in line, who was served and not polled.
#[derive(Default)]
struct Model {
    left: usize,
    line: VecDeque<(usize, usize)>,
    served: Vec<usize>,
}

impl Model {
    fn serve(&mut self) {
        while let Some((serial, cost)) = self.line.front().copied()
            && cost <= self.left
        {
            self.left -= cost;
            self.line.pop_front();
            self.served.push(serial);
        }
    }

    fn go(&mut self, serial: usize, cost: usize) {
        if let Some(at) = self.served.iter().position(|other| *other == serial) {
            self.served.swap_remove(at);
            self.left += cost;
        }
        self.line.retain(|(other, _)| *other != serial);
        self.serve();
    }
}

fn follow<S: Subject>(subject: &S, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model = Model { left: S::all(), ..Model::default() };
    let mut asked: Vec<Asked<'_, S::Held<'_>>> = Vec::new();
    let mut held: Vec<(usize, S::Held<'_>)> = Vec::new();
    for (serial, step) in steps.iter().enumerate() {
        match *step {
            Step::Ask(units) if asked.len() < MOST => {
                let (cost, mut hand) = (S::cost(units), subject.ask(units));
                let free = model.line.is_empty() && cost <= model.left;
                match hand.poll() {
                    std::task::Poll::Ready(got) => {
                        prop_assert!(free, "served past the line, or what is not there");
                        model.left -= cost;
                        held.push((cost, got));
                    }
                    std::task::Poll::Pending => {
                        prop_assert!(!free, "made to wait for what is free");
                        model.line.push_back((serial, cost));
                        asked.push(Asked { serial, cost, hand });
                    }
                }
            }
            Step::Poll(index) if !asked.is_empty() => {
                let index = index % asked.len();
                let one = &mut asked[index];
                let served = model.served.iter().position(|serial| *serial == one.serial);
                match one.hand.poll() {
                    std::task::Poll::Ready(got) => {
                        prop_assert!(served.is_some(), "served out of turn");
                        model.served.swap_remove(served.expect("just seen"));
                        held.push((one.cost, got));
                        asked.remove(index);
                    }
                    std::task::Poll::Pending => prop_assert!(served.is_none(), "a lost turn"),
                }
            }
            Step::Go(index) if !asked.is_empty() => {
                let gone = asked.remove(index % asked.len());
                model.go(gone.serial, gone.cost);
                drop(gone);
            }
            Step::GiveBack(index) if !held.is_empty() => {
                let (cost, guard) = held.swap_remove(index % held.len());
                drop(guard);
                model.left += cost;
                model.serve();
            }
            _ => {}
        }
        prop_assert_eq!(subject.waiters(), model.line.len());
        prop_assert_eq!(subject.left(), model.left);
        for one in &asked {
            let served = usize::from(model.served.contains(&one.serial));
            prop_assert_eq!(one.hand.wakes(), served, "a wake is lost, or too many");
        }
    }
    drop((asked, held));
    prop_assert_eq!((subject.left(), subject.waiters()), (S::all(), 0), "all came back");
    Ok(())
}

fn steps(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), count)
}

proptest! {
    #[test]
    fn a_lock_is_a_line_and_one_unit(steps in steps(1..200)) {
        follow(&Lock::new(()), &steps)?;
    }

    #[test]
    fn a_semaphore_is_a_line_and_units(steps in steps(1..200)) {
        follow(&Semaphore::new(Semaphore::all()), &steps)?;
    }

    #[test]
    fn a_lock_for_readers_and_writers_is_a_line_and_many_units(steps in steps(1..200)) {
        follow(&RwLock::new(()), &steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 500, ..ProptestConfig::with_cases(2) })]

    #[test]
    fn nothing_is_lost_in_ten_thousand_steps(steps in steps(10_000)) {
        follow(&Lock::new(()), &steps)?;
        follow(&Semaphore::new(Semaphore::all()), &steps)?;
        follow(&RwLock::new(()), &steps)?;
    }
}
