//! A meeting point: nobody goes on until a number of tasks are there.

use std::cell::Cell;
use std::fmt;
use std::io;

use super::wait::{Wait, wait};
use super::waitlist::{Grant, WaitList};

/// Holds tasks until `parties` of them are there, lets those go on together, and begins anew.
///
/// It is *filling* until the last one arrives, which goes straight through, and *draining* until
/// all others have run and left. Who comes while it drains waits outside and is let in after that:
/// a fast task does not meet itself. [`abort`](Self::abort) makes it *broken*: all waits end in
/// [`BrokenBarrier`], those to come as well, until [`reset`](Self::reset) mends it.
///
/// A waiting future that was forgotten (`mem::forget`) counts as there, and then never leaves: the
/// barrier drains until it is reset or aborted.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use uring_loop::spawn;
/// use uring_loop::sync::Barrier;
///
/// uring_loop::run(async {
///     let barrier = Rc::new(Barrier::new(3));
///     let tasks: Vec<_> = (0..3)
///         .map(|_| {
///             let barrier = barrier.clone();
///             spawn(async move { barrier.wait().await.unwrap() })
///         })
///         .collect();
///     let mut indexes = Vec::new();
///     for task in tasks {
///         indexes.push(task.await.unwrap());
///     }
///     assert_eq!(indexes, [0, 1, 2]);
/// })
/// # .unwrap();
/// ```
pub struct Barrier {
    parties: usize,
    state: Cell<BarrierState>,
    /// In line: inside while it fills, outside while it drains.
    waiting: Cell<usize>,
    /// Let go on, and not gone yet.
    leaving: Cell<usize>,
    /// Those let go on with a ticket before this one find the barrier broken.
    broken_before: Cell<u64>,
    waiters: WaitList,
}

/// What a [`Barrier`] is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierState {
    /// Waiting for more to come.
    Filling,
    /// Waiting for those that were let go on to leave.
    Draining,
    /// Every wait ends in [`BrokenBarrier`].
    Broken,
}

/// How a [`Barrier`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// What it is doing.
    pub state: BarrierState,
    /// How many it takes.
    pub parties: usize,
    /// How many are there and wait for the others.
    pub waiters: usize,
    /// How many were let go on and have not left.
    pub leaving: usize,
    /// How many came while it drains, and wait outside.
    pub outside: usize,
}

/// The barrier was aborted, or reset while this task was inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrier;

impl Barrier {
    /// One for so many tasks.
    ///
    /// # Panics
    ///
    /// If `parties` is 0.
    pub const fn new(parties: usize) -> Self {
        assert!(parties > 0, "a barrier is for one task at least");
        Barrier {
            parties,
            state: Cell::new(BarrierState::Filling),
            waiting: Cell::new(0),
            leaving: Cell::new(0),
            broken_before: Cell::new(0),
            waiters: WaitList::new(),
        }
    }

    /// Waits until `parties` tasks wait here. Each gets another number from 0 to `parties - 1`, in
    /// the order of their arrival, so that one of them can be picked for what is to be done once.
    ///
    /// # Errors
    ///
    /// [`BrokenBarrier`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a task that goes while the barrier fills is not counted any more. One that goes
    /// after it was let go on has left.
    pub async fn wait(&self) -> Result<usize, BrokenBarrier> {
        wait(&self.waiters, Arrive(self)).await
    }

    /// Makes the barrier as new. All inside get [`BrokenBarrier`], also those that were let go on
    /// and have not run since; those outside are let in. It mends a broken barrier.
    ///
    /// It is over at once. (asyncio's is not, and has a state for it: there, those inside are
    /// waited for.)
    pub fn reset(&self) {
        let outside = match self.state.replace(BarrierState::Filling) {
            BarrierState::Draining => self.waiters.first_ticket(),
            BarrierState::Filling | BarrierState::Broken => None,
        };
        self.break_before(outside.unwrap_or(self.waiters.next_ticket()));
        self.let_in();
    }

    /// Breaks the barrier: all waits end in [`BrokenBarrier`], now and from here on.
    pub fn abort(&self) {
        self.state.set(BarrierState::Broken);
        self.break_before(self.waiters.next_ticket());
    }

    /// How many tasks it takes.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many tasks are there and wait for the others.
    #[doc(alias = "n_waiting")]
    pub fn waiters(&self) -> usize {
        self.statistics().waiters
    }

    /// Whether it was aborted, and not reset since.
    #[doc(alias = "broken")]
    pub fn is_broken(&self) -> bool {
        self.state.get() == BarrierState::Broken
    }

    /// How it stands.
    pub fn statistics(&self) -> BarrierStatistics {
        let (state, waiting) = (self.state.get(), self.waiting.get());
        let draining = state == BarrierState::Draining;
        let (waiters, outside) = if draining { (0, waiting) } else { (waiting, 0) };
        let (parties, leaving) = (self.parties, self.leaving.get());
        BarrierStatistics { state, parties, waiters, leaving, outside }
    }

    /// Ends the waits of all whose ticket is before `end`.
    fn break_before(&self, end: u64) {
        self.broken_before.set(end);
        self.leaving.set(0);
        while let Some(waker) = self.waiters.choose_before(end) {
            self.waiting.set(self.waiting.get() - 1);
            waker.wake();
        }
    }

    /// The barrier is full: lets the first `count` in line go on, with their numbers.
    fn open(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.state.set(BarrierState::Draining);
        self.leaving.set(count);
        for index in 0..count {
            let Some(waker) = self.waiters.choose_with(index) else { break };
            self.waiting.set(self.waiting.get() - 1);
            waker.wake();
        }
    }

    /// It fills anew, by those outside first.
    fn let_in(&self) {
        if self.state.get() == BarrierState::Filling && self.waiting.get() >= self.parties {
            self.open(self.parties);
        }
    }

    /// One that was let go on leaves.
    fn leave(&self) {
        self.leaving.set(self.leaving.get() - 1);
        if self.leaving.get() == 0 {
            self.state.set(BarrierState::Filling);
            self.let_in();
        }
    }

    fn was_broken_for(&self, grant: Grant) -> bool {
        grant.ticket < self.broken_before.get()
    }
}

struct Arrive<'a>(&'a Barrier);

impl Wait for Arrive<'_> {
    type Output = Result<usize, BrokenBarrier>;

    fn is_free(&self) -> bool {
        match self.0.state.get() {
            BarrierState::Filling => self.0.waiting.get() + 1 == self.0.parties,
            BarrierState::Draining => false,
            BarrierState::Broken => true,
        }
    }

    fn take(&mut self) -> Result<usize, BrokenBarrier> {
        if self.0.is_broken() {
            return Err(BrokenBarrier);
        }
        let index = self.0.waiting.get();
        self.0.open(index);
        Ok(index)
    }

    fn lined_up(&mut self) {
        self.0.waiting.set(self.0.waiting.get() + 1);
    }

    fn claim(&mut self, grant: Grant) -> Option<Self::Output> {
        if self.0.was_broken_for(grant) {
            return Some(Err(BrokenBarrier));
        }
        self.0.leave();
        Some(Ok(grant.note))
    }

    fn left(&mut self, _: bool) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }

    fn refused(&mut self, grant: Grant) {
        if !self.0.was_broken_for(grant) {
            self.0.leave();
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BarrierStatistics { state, parties, waiters, leaving, outside } = self.statistics();
        f.debug_struct("Barrier")
            .field("state", &state)
            .field("parties", &parties)
            .field("waiters", &waiters)
            .field("leaving", &leaving)
            .field("outside", &outside)
            .finish()
    }
}

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier was aborted or reset")
    }
}

impl std::error::Error for BrokenBarrier {}

impl From<BrokenBarrier> for io::Error {
    fn from(error: BrokenBarrier) -> Self {
        io::Error::other(error)
    }
}
