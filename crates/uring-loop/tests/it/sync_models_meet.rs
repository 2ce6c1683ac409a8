//! Conditions, barriers and values made once, under random orders of coming, going, polling and
//! notifying, against models of lines.

use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;
use uring_loop::sync::{Barrier, BrokenBarrier, Condition, Event, Lock, LockGuard, OnceCell};

use crate::by_hand::Hand;

/// One that waits: its number and its future.
type Ones<'a, T> = Vec<(usize, Hand<'a, T>)>;

fn pick<T>(ones: &[T], index: usize) -> Option<usize> {
    (!ones.is_empty()).then(|| index % ones.len())
}

/// So many wait at a time; a step that would make it more does nothing.
const MOST: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    /// A new one comes.
    Come,
    Poll(usize),
    Go(usize),
    /// Notifies so many; breaks or mends the barrier.
    Act(usize),
    /// Takes the lock if it is free, or gives it back.
    Toggle,
}

fn steps(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Step>> {
    let index = 0..1000usize;
    let step = prop_oneof![
        4 => Just(Step::Come),
        5 => index.clone().prop_map(Step::Poll),
        2 => index.prop_map(Step::Go),
        2 => (0..12usize).prop_map(Step::Act),
        3 => Just(Step::Toggle),
    ];
    prop::collection::vec(step, count)
}

/// Who waits to be notified, who is in line for the lock, and who has it.
#[derive(Default)]
struct Meeting {
    unnotified: VecDeque<usize>,
    line: VecDeque<usize>,
    /// By the test itself, or by a waiter that was woken or has run.
    holder: Option<Holder>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Holder {
    Test,
    Woken(usize),
    Run,
}

impl Meeting {
    fn notify(&mut self, n: usize) {
        let n = n.min(self.unnotified.len());
        self.line.extend(self.unnotified.drain(..n));
    }

    fn unlock(&mut self) {
        self.holder = self.line.pop_front().map(Holder::Woken);
    }

    fn go(&mut self, serial: usize) {
        self.unnotified.retain(|other| *other != serial);
        if self.line.contains(&serial) {
            self.line.retain(|other| *other != serial);
            self.notify(1);
        } else if self.holder == Some(Holder::Woken(serial)) {
            self.notify(1);
            self.unlock();
        }
    }
}

fn follow_condition(steps: &[Step]) -> Result<(), TestCaseError> {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let mut model = Meeting::default();
    let mut ones: Ones<'_, LockGuard<'_, ()>> = Vec::new();
    let mut guard: Option<LockGuard<'_, ()>> = None;
    for (serial, step) in steps.iter().enumerate() {
        match *step {
            Step::Come if model.holder.is_none() && ones.len() < MOST => {
                let held = lock.try_lock().expect("the model says that it is free");
                ones.push((serial, Hand::waiting(condition.wait(held))));
                model.unnotified.push_back(serial);
            }
            Step::Poll(index) => {
                let Some(index) = pick(&ones, index) else { continue };
                let woken = model.holder == Some(Holder::Woken(ones[index].0));
                match ones[index].1.poll() {
                    Poll::Ready(held) => {
                        prop_assert!(woken, "not notified, or the lock is another's");
                        guard = Some(held);
                        ones.remove(index);
                        model.holder = Some(Holder::Run);
                    }
                    Poll::Pending => prop_assert!(!woken, "a lost turn"),
                }
            }
            Step::Go(index) => {
                let Some(index) = pick(&ones, index) else { continue };
                let (gone, hand) = ones.remove(index);
                drop(hand);
                model.go(gone);
            }
            Step::Act(n) => {
                if let Some(guard) = &guard {
                    condition.notify(guard, n);
                    model.notify(n);
                }
            }
            Step::Toggle if guard.is_some() => {
                guard = None;
                model.unlock();
            }
            Step::Toggle => {
                guard = lock.try_lock();
                prop_assert_eq!(guard.is_some(), model.holder.is_none());
                model.holder = model.holder.or(Some(Holder::Test));
            }
            Step::Come => {}
        }
        prop_assert_eq!(condition.statistics().waiters, model.unnotified.len());
        prop_assert_eq!(lock.statistics().waiters, model.line.len());
        prop_assert_eq!(lock.locked(), model.holder.is_some());
        for (serial, hand) in &ones {
            let woken = model.holder == Some(Holder::Woken(*serial));
            prop_assert_eq!(hand.wakes(), usize::from(woken), "a wake is lost, or too many");
        }
    }
    Ok(())
}

const PARTIES: usize = 3;

/// Who is inside or outside, who was let go on and has not run, who found it broken.
#[derive(Default)]
struct Place {
    line: VecDeque<usize>,
    leaving: Vec<(usize, usize)>,
    turned_away: Vec<usize>,
    broken: bool,
}

impl Place {
    fn open_if_full(&mut self) {
        if self.leaving.is_empty() && self.line.len() >= PARTIES {
            self.leaving.extend(self.line.drain(..PARTIES).zip(0..));
        }
    }

    fn leave(&mut self, serial: usize) -> Option<usize> {
        let at = self.leaving.iter().position(|one| one.0 == serial)?;
        let (_, index) = self.leaving.remove(at);
        self.open_if_full();
        Some(index)
    }

    fn turn_away(&mut self, whom: &str) {
        self.turned_away.extend(self.leaving.drain(..).map(|one| one.0));
        if whom == "all" {
            self.turned_away.extend(self.line.drain(..));
        }
    }

    fn woken(&self, serial: usize) -> bool {
        self.leaving.iter().any(|one| one.0 == serial) || self.turned_away.contains(&serial)
    }
}

fn follow_barrier(steps: &[Step]) -> Result<(), TestCaseError> {
    let barrier = Barrier::new(PARTIES);
    let mut model = Place::default();
    let mut ones: Ones<'_, Result<usize, BrokenBarrier>> = Vec::new();
    for (serial, step) in steps.iter().enumerate() {
        match *step {
            Step::Come | Step::Toggle if ones.len() < MOST => {
                let mut hand = Hand::new(barrier.wait());
                let polled = hand.poll();
                if model.broken {
                    prop_assert_eq!(polled, Poll::Ready(Err(BrokenBarrier)));
                } else if model.leaving.is_empty() && model.line.len() + 1 == PARTIES {
                    prop_assert_eq!(polled, Poll::Ready(Ok(PARTIES - 1)));
                    model.leaving.extend(model.line.drain(..).zip(0..));
                } else {
                    prop_assert_eq!(polled, Poll::Pending);
                    model.line.push_back(serial);
                    ones.push((serial, hand));
                }
            }
            Step::Poll(index) => {
                let Some(index) = pick(&ones, index) else { continue };
                let one = ones[index].0;
                let polled = ones[index].1.poll();
                if model.turned_away.contains(&one) {
                    model.turned_away.retain(|other| *other != one);
                    prop_assert_eq!(polled, Poll::Ready(Err(BrokenBarrier)));
                } else {
                    let expected = model.leave(one).map_or(Poll::Pending, |i| Poll::Ready(Ok(i)));
                    prop_assert_eq!(polled, expected);
                }
                if polled.is_ready() {
                    ones.remove(index);
                }
            }
            Step::Go(index) => {
                let Some(index) = pick(&ones, index) else { continue };
                let (gone, hand) = ones.remove(index);
                drop(hand);
                model.line.retain(|other| *other != gone);
                model.turned_away.retain(|other| *other != gone);
                model.leave(gone);
            }
            Step::Act(0) => {
                barrier.abort();
                model.turn_away("all");
                model.broken = true;
            }
            Step::Act(1 | 2) => {
                barrier.reset();
                let draining = !model.leaving.is_empty();
                model.turn_away(if draining { "those inside" } else { "all" });
                model.broken = false;
                model.open_if_full();
            }
            Step::Come | Step::Toggle | Step::Act(_) => {}
        }
        let statistics = barrier.statistics();
        prop_assert_eq!(statistics.leaving, model.leaving.len());
        prop_assert_eq!(statistics.waiters + statistics.outside, model.line.len());
        prop_assert_eq!(barrier.is_broken(), model.broken);
        for (serial, hand) in &ones {
            let woken = usize::from(model.woken(*serial));
            prop_assert_eq!(hand.wakes(), woken, "a wake is lost, or too many");
        }
    }
    Ok(())
}

/// The turn to make a value goes from one that fails or goes to the next, until one succeeds.
fn follow_once(steps: &[Step]) -> Result<(), TestCaseError> {
    let (cell, gate) = (OnceCell::new(), Event::new());
    let mut line: VecDeque<usize> = VecDeque::new();
    let mut turn = None;
    let mut ones: Ones<'_, Result<&usize, usize>> = Vec::new();
    for (serial, step) in steps.iter().enumerate() {
        let pass_on = |line: &mut VecDeque<usize>| line.pop_front();
        match *step {
            Step::Come | Step::Toggle if cell.get().is_none() => {
                let gate = &gate;
                let mut hand = Hand::new(cell.get_or_try_init(async move || {
                    gate.wait().await;
                    if serial % 7 == 0 { Ok(serial) } else { Err(serial) }
                }));
                prop_assert!(hand.poll().is_pending());
                if turn.is_none() {
                    turn = Some(serial)
                } else {
                    line.push_back(serial)
                }
                ones.push((serial, hand));
            }
            Step::Poll(index) => {
                let Some(index) = pick(&ones, index) else { continue };
                let one = ones[index].0;
                // Making it takes one poll to begin and, after the gate was opened, one to end.
                let mut polled = ones[index].1.poll();
                if turn == Some(one) {
                    gate.set();
                    polled = ones[index].1.poll();
                    gate.clear();
                }
                match polled {
                    Poll::Pending => prop_assert!(turn != Some(one) && cell.get().is_none()),
                    Poll::Ready(Ok(value)) => prop_assert_eq!(Some(value), cell.get()),
                    Poll::Ready(Err(error)) => {
                        prop_assert_eq!((error, turn), (one, Some(one)));
                        turn = pass_on(&mut line);
                    }
                }
                if polled.is_ready() {
                    ones.remove(index);
                }
            }
            Step::Go(index) => {
                let Some(index) = pick(&ones, index) else { continue };
                let (gone, hand) = ones.remove(index);
                drop(hand);
                line.retain(|other| *other != gone);
                if turn == Some(gone) && cell.get().is_none() {
                    turn = pass_on(&mut line);
                }
            }
            _ => {}
        }
        let statistics = cell.statistics();
        if cell.get().is_none() {
            prop_assert_eq!((statistics.waiters, statistics.running), (line.len(), turn.is_some()));
        } else {
            prop_assert_eq!((statistics.waiters, statistics.running), (0, false));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_condition_is_two_lines_and_a_holder(steps in steps(1..200)) {
        follow_condition(&steps)?;
    }

    #[test]
    fn a_barrier_is_a_line_and_those_who_leave(steps in steps(1..200)) {
        follow_barrier(&steps)?;
    }

    #[test]
    fn a_value_made_once_is_a_line_and_a_turn(steps in steps(1..60)) {
        follow_once(&steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 500, ..ProptestConfig::with_cases(2) })]

    #[test]
    fn nothing_is_lost_in_ten_thousand_steps(steps in steps(10_000)) {
        follow_condition(&steps)?;
        follow_barrier(&steps)?;
    }
}
