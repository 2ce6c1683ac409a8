//! The calls in flight from this shard to one other: a bounded number, each with its place for the
//! answer. All on one thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::CallError;

/// What came of a call.
pub(crate) enum Outcome {
    /// A value of the type the caller expects.
    Value(Box<dyn Any + Send>),
    Panicked(Box<str>),
    /// It was not done, for this reason.
    Refused(Box<str>),
    Stopped,
}

impl Outcome {
    /// Why there is no value.
    pub(crate) fn into_error(self, shard: usize) -> CallError {
        match self {
            Outcome::Panicked(message) => CallError::Panicked { shard, message: message.into() },
            Outcome::Refused(reason) => CallError::Refused { shard, reason: reason.into() },
            Outcome::Stopped | Outcome::Value(_) => CallError::Stopped { shard },
        }
    }
}

/// Where the answer of one call arrives, and who waits for it.
#[derive(Default)]
pub(crate) struct Pending {
    outcome: Cell<Option<Outcome>>,
    finished: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Pending {
    pub(crate) fn finish(&self, outcome: Outcome) {
        self.finished.set(true);
        self.outcome.set(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether the answer has come, taken or not.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.get()
    }
}

/// Waits for the answer of a call. Dropping it forgets the call.
pub(crate) struct Answer(pub(crate) Rc<Pending>);

impl Future for Answer {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.0.outcome.take() {
            return Poll::Ready(outcome);
        }
        let old = self.0.waker.take();
        let waker = old.filter(|old| old.will_wake(cx.waker()));
        self.0.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // The place outlives us until the answer comes; nobody is to be woken then.
        self.0.waker.take();
    }
}

/// The shard at the other end has stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The table of calls, with a permit per call that is in flight.
///
/// A permit is *free* (counted in `free`), *handed* to the first that waits (which then is no
/// longer in `waiting`), or *used* by a call from its sending until its answer has arrived, also
/// when nobody waits for the answer any more.
pub(crate) struct Calls {
    free: Cell<usize>,
    stopped: Cell<bool>,
    next_ticket: Cell<u64>,
    /// Who waits for a permit, first come first served.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    places: RefCell<Places>,
}

#[derive(Default)]
struct Places {
    pending: Vec<Option<Rc<Pending>>>,
    vacant: Vec<u32>,
}

impl Calls {
    pub(crate) fn new(limit: usize) -> Self {
        Calls {
            free: Cell::new(limit),
            stopped: Cell::new(false),
            next_ticket: Cell::new(0),
            waiting: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// Waits for a permit; use it before the next await.
    pub(crate) async fn permit(&self) -> Result<(), Stopped> {
        if self.stopped.get() {
            return Err(Stopped);
        }
        // Nobody is overtaken: a permit is free only while nobody waits.
        if self.free.get() > 0 {
            self.free.set(self.free.get() - 1);
            return Ok(());
        }
        let mut ticket = Ticket { calls: self, number: None };
        poll_fn(|cx| ticket.poll(cx)).await
    }

    /// Gives a permit to the first that waits, or frees it.
    pub(crate) fn release(&self) {
        let first = self.waiting.borrow_mut().pop_first();
        match first {
            Some((_, waker)) => waker.wake(),
            None => self.free.set(self.free.get() + 1),
        }
    }

    /// A place for the answer of a call that has its permit.
    pub(crate) fn begin(&self) -> (u32, Rc<Pending>) {
        let pending = Rc::new(Pending::default());
        let places = &mut *self.places.borrow_mut();
        let id = places.vacant.pop().unwrap_or_else(|| {
            places.pending.push(None);
            u32::try_from(places.pending.len() - 1).expect("limits are below u32::MAX")
        });
        places.pending[id as usize] = Some(pending.clone());
        (id, pending)
    }

    /// The answer has arrived: the place and the permit are free again.
    pub(crate) fn finish(&self, id: u32, outcome: Outcome) {
        let pending = {
            let places = &mut *self.places.borrow_mut();
            let pending = places.pending.get_mut(id as usize).and_then(Option::take);
            if pending.is_some() {
                places.vacant.push(id);
            }
            pending
        };
        if let Some(pending) = pending {
            self.release();
            pending.finish(outcome);
        }
    }

    /// The other shard is gone: every call in flight ends so, and everybody who waits hears of it.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        let places = std::mem::take(&mut *self.places.borrow_mut());
        for pending in places.pending.into_iter().flatten() {
            pending.finish(Outcome::Stopped);
        }
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// A place in the line for a permit.
struct Ticket<'a> {
    calls: &'a Calls,
    number: Option<u64>,
}

impl Ticket<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        if self.calls.stopped.get() {
            return Poll::Ready(Err(Stopped));
        }
        let mut waiting = self.calls.waiting.borrow_mut();
        let Some(number) = self.number else {
            let number = self.calls.next_ticket.get();
            self.calls.next_ticket.set(number + 1);
            waiting.insert(number, cx.waker().clone());
            self.number = Some(number);
            return Poll::Pending;
        };
        match waiting.get_mut(&number) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            // Taken out of the line: the permit was handed to us.
            None => {
                self.number = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waited = self.calls.waiting.borrow_mut().remove(&number);
        if waited.is_none() && !self.calls.stopped.get() {
            // Handed to us, and not used.
            self.calls.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn permits_are_handed_out_in_the_order_of_asking() {
        let calls = Calls::new(1);
        let mut first = pin!(calls.permit());
        assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(())));
        let mut second = pin!(calls.permit());
        let mut third = pin!(calls.permit());
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        calls.release();
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
        calls.release();
        assert_eq!(poll(third.as_mut()), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_permit_handed_to_one_who_has_left_goes_to_the_next() {
        let calls = Calls::new(1);
        assert_eq!(poll(pin!(calls.permit())), Poll::Ready(Ok(())));
        let mut leaves = Box::pin(calls.permit());
        let mut left_early = Box::pin(calls.permit());
        let mut stays = pin!(calls.permit());
        assert!(poll(leaves.as_mut()).is_pending());
        assert!(poll(left_early.as_mut()).is_pending());
        assert!(poll(stays.as_mut()).is_pending());
        drop(left_early);
        calls.release();
        drop(leaves);
        assert_eq!(poll(stays.as_mut()), Poll::Ready(Ok(())));
        calls.release();
        assert_eq!(calls.free.get(), 1);
    }

    #[test]
    fn a_call_that_nobody_waits_for_keeps_its_permit_until_it_is_answered() {
        let calls = Calls::new(1);
        assert_eq!(poll(pin!(calls.permit())), Poll::Ready(Ok(())));
        let (id, pending) = calls.begin();
        drop(Answer(pending));
        assert!(poll(pin!(calls.permit())).is_pending());
        calls.finish(id, Outcome::Value(Box::new(())));
        assert_eq!(poll(pin!(calls.permit())), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_stop_ends_the_calls_and_those_who_wait() {
        let calls = Calls::new(1);
        assert_eq!(poll(pin!(calls.permit())), Poll::Ready(Ok(())));
        let (id, pending) = calls.begin();
        let mut waits = pin!(calls.permit());
        assert!(poll(waits.as_mut()).is_pending());
        calls.stop();
        assert_eq!(poll(waits.as_mut()), Poll::Ready(Err(Stopped)));
        assert!(matches!(poll(pin!(Answer(pending))), Poll::Ready(Outcome::Stopped)));
        calls.finish(id, Outcome::Stopped); // a late answer finds nothing
        assert_eq!(poll(pin!(calls.permit())), Poll::Ready(Err(Stopped)));
    }
}
