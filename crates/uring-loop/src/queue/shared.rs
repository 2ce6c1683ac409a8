//! The insides of a queue: items, room, and three lines of waiters.
//!
//! *Room* is handed over as a semaphore's permits are: for whoever is chosen to put an item it is
//! reserved, and counts as used from then on. So nobody who puts is overtaken, and whoever is in
//! line knows that there is no room.
//!
//! *Items* are claimed, not handed over: for an item that comes, the first in line is chosen, and
//! takes whichever is next when it runs. `get_nowait` may be faster, since an item that lies there
//! is there for whoever asks at once (asyncio's queues do the same). The one that was chosen then
//! goes back to its place in line. `get` respects claims. While anybody is in line, every item is
//! claimed.

use std::cell::{Cell, RefCell};

use super::error::{PutError, ShutDown, TooManyDone};
use super::order::Order;
use crate::context;
use crate::sync::wait::Wait;
use crate::sync::waitlist::{Grant, WaitList};

/// What all handles to a queue point to.
pub(super) struct Shared<O> {
    order: RefCell<O>,
    pub(super) max: usize,
    /// For how many items room is kept, for putters that were chosen and by `reserve`.
    pub(super) reserved: Cell<usize>,
    /// Getters that were chosen and have not run yet.
    claims: Cell<usize>,
    /// Items put and not yet said to be done.
    pub(super) unfinished: Cell<usize>,
    pub(super) shut_down: Cell<bool>,
    pub(super) getters: WaitList,
    pub(super) putters: WaitList,
    pub(super) joiners: WaitList,
}

/// Notes of putters that were chosen: there is room for them, or there never will be.
const ROOM: usize = 1;
const NO_ROOM: usize = 0;

impl<O: Order> Shared<O> {
    pub(super) fn new(max: usize) -> Self {
        Shared {
            order: RefCell::default(),
            max,
            reserved: Cell::new(0),
            claims: Cell::new(0),
            unfinished: Cell::new(0),
            shut_down: Cell::new(false),
            getters: WaitList::new(),
            putters: WaitList::new(),
            joiners: WaitList::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.borrow().len()
    }

    pub(super) fn has_room(&self) -> bool {
        // Without a limit there is nothing to count.
        self.max == usize::MAX || self.len() + self.reserved.get() < self.max
    }

    pub(super) fn put_nowait(&self, item: O::Item) -> Result<(), PutError<O::Item>> {
        if self.shut_down.get() {
            return Err(PutError::ShutDown(item));
        }
        if !self.has_room() {
            return Err(PutError::Full(item));
        }
        self.insert(item);
        Ok(())
    }

    /// Puts an item if there is room and the task has budget; else gives it back.
    pub(super) fn put_at_once(&self, item: O::Item) -> Result<(), O::Item> {
        if self.shut_down.get() || !self.has_room() || !context::take_budget() {
            return Err(item);
        }
        self.insert(item);
        Ok(())
    }

    /// Puts an item for which there is room.
    fn insert(&self, item: O::Item) {
        self.order.borrow_mut().push(item);
        self.unfinished.set(self.unfinished.get() + 1);
        self.choose_getters();
    }

    /// Takes the next item, claimed or not.
    pub(super) fn get_now(&self) -> Option<O::Item> {
        let item = self.order.borrow_mut().pop();
        if item.is_some() {
            self.choose_putters();
        }
        item
    }

    /// A getter for every item that nobody has a claim to.
    fn choose_getters(&self) {
        while !self.getters.is_empty()
            && self.claims.get() < self.len()
            && let Some(waker) = self.getters.choose()
        {
            self.claims.set(self.claims.get() + 1);
            waker.wake();
        }
    }

    /// A putter for all the room there is.
    fn choose_putters(&self) {
        while !self.putters.is_empty()
            && self.has_room()
            && let Some(waker) = self.putters.choose_with(ROOM)
        {
            self.reserved.set(self.reserved.get() + 1);
            waker.wake();
        }
    }

    /// Puts an item for which room was reserved.
    pub(super) fn put_reserved(&self, item: O::Item) -> Result<(), ShutDown<O::Item>> {
        if self.shut_down.get() {
            self.give_room_back();
            return Err(ShutDown(item));
        }
        self.reserved.set(self.reserved.get() - 1);
        self.insert(item);
        Ok(())
    }

    pub(super) fn give_room_back(&self) {
        self.reserved.set(self.reserved.get() - 1);
        self.choose_putters();
    }

    pub(super) fn task_done(&self) -> Result<(), TooManyDone> {
        let left = self.unfinished.get().checked_sub(1).ok_or(TooManyDone)?;
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.choose_all();
        }
        Ok(())
    }

    /// As asyncio's (Lib/asyncio/queues.py, since 3.13): items that are thrown away need not be
    /// done any more, but those that were got do.
    pub(super) fn shut_down(&self, immediate: bool) {
        self.shut_down.set(true);
        // Dropped at the very end: what an item does then is not known.
        let mut thrown_away = Vec::new();
        if immediate {
            let mut order = self.order.borrow_mut();
            thrown_away.extend(std::iter::from_fn(|| order.pop()));
            drop(order);
            self.unfinished.set(self.unfinished.get().saturating_sub(thrown_away.len()));
            if self.unfinished.get() == 0 {
                self.joiners.choose_all();
            }
        }
        // From here on nobody gets in line.
        while let Some(waker) = self.getters.choose() {
            self.claims.set(self.claims.get() + 1);
            waker.wake();
        }
        while let Some(waker) = self.putters.choose_with(NO_ROOM) {
            waker.wake();
        }
    }
}

/// Waits for an item.
pub(super) struct GetItem<'a, O>(pub(super) &'a Shared<O>);

impl<O: Order> Wait for GetItem<'_, O> {
    type Output = Result<O::Item, ShutDown>;

    fn is_free(&self) -> bool {
        self.0.shut_down.get() || self.0.claims.get() < self.0.len()
    }

    fn take(&mut self) -> Self::Output {
        self.0.get_now().ok_or(ShutDown(()))
    }

    fn claim(&mut self, _: Grant) -> Option<Self::Output> {
        self.0.claims.set(self.0.claims.get() - 1);
        match self.0.get_now() {
            Some(item) => Some(Ok(item)),
            None => self.0.shut_down.get().then_some(Err(ShutDown(()))),
        }
    }

    fn refused(&mut self, _: Grant) {
        self.0.claims.set(self.0.claims.get() - 1);
        if !mutant!("claim-not-passed-on") {
            self.0.choose_getters();
        }
    }
}

/// Waits for room, and has it reserved.
pub(super) struct GetRoom<'a, O>(pub(super) &'a Shared<O>);

impl<O: Order> Wait for GetRoom<'_, O> {
    type Output = Result<(), ShutDown>;

    fn is_free(&self) -> bool {
        self.0.shut_down.get() || self.0.has_room()
    }

    fn take(&mut self) -> Self::Output {
        if self.0.shut_down.get() {
            return Err(ShutDown(()));
        }
        self.0.reserved.set(self.0.reserved.get() + 1);
        Ok(())
    }

    fn claim(&mut self, grant: Grant) -> Option<Self::Output> {
        if !self.0.shut_down.get() {
            return Some(Ok(()));
        }
        self.refused(grant);
        Some(Err(ShutDown(())))
    }

    fn refused(&mut self, grant: Grant) {
        if grant.note == ROOM {
            self.0.give_room_back();
        }
    }
}

/// Waits until all is done.
pub(super) struct AllDone<'a, O>(pub(super) &'a Shared<O>);

impl<O> Wait for AllDone<'_, O> {
    type Output = ();

    fn is_free(&self) -> bool {
        self.0.unfinished.get() == 0
    }

    fn take(&mut self) {}

    fn claim(&mut self, _: Grant) -> Option<()> {
        Some(())
    }
}
