//! How a loop hears of signals: whoever waits for one has an ear, and a turn of the loop that finds
//! that signals have come wakes all of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use crate::sys::signal::total;
use crate::task::door::Door;
use crate::wake::LocalWaker;

/// Who waits for signals on a loop.
#[derive(Default)]
pub(crate) struct Ears {
    open: RefCell<Vec<Rc<Ear>>>,
    /// The count of all signals when the loop looked last.
    seen: Cell<u32>,
}

/// One who waits; in the loop's list until it is closed.
pub(crate) struct Ear {
    waker: RefCell<Option<LocalWaker>>,
    closed: Cell<bool>,
}

impl Ear {
    /// Wakes `waker` at the next signal of any kind.
    pub(crate) fn listen(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            let _old = slot.replace(LocalWaker::new(waker));
        }
    }

    /// Stops listening for now.
    pub(crate) fn cover(&self) {
        drop(self.waker.take());
    }

    /// Stops listening for good; the loop's list lets go of it when it looks next.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.cover();
    }
}

impl Ears {
    /// One more, on the loop with this door.
    pub(crate) fn open(&self, door: &Door) -> Rc<Ear> {
        door.listen_to_signals();
        let ear = Rc::new(Ear { waker: RefCell::default(), closed: Cell::new(false) });
        let mut open = self.open.borrow_mut();
        open.retain(|ear| !ear.closed.get());
        open.push(ear.clone());
        ear
    }

    /// Wakes everybody if signals have come. Costs a load while nobody listens.
    #[inline]
    pub(crate) fn hear(&self) {
        if self.seen.get() != total() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        self.seen.set(total());
        let mut open = self.open.borrow_mut();
        open.retain(|ear| !ear.closed.get());
        let wakers: Vec<_> = open.iter().filter_map(|ear| ear.waker.take()).collect();
        drop(open);
        wakers.into_iter().for_each(LocalWaker::wake);
    }
}
