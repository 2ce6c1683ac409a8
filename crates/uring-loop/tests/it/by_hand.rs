//! Futures polled by hand, with a waker that counts: what waits and what is woken is seen without a
//! loop.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::support::forget;

/// How often something was woken.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future in a box, and the count of its wakes.
pub(crate) struct Hand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    count: Arc<Count>,
}

impl<'a, T> Hand<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Hand { future: Box::pin(future), count: Arc::default() }
    }

    /// One that was polled and waits.
    #[track_caller]
    pub(crate) fn waiting(future: impl Future<Output = T> + 'a) -> Self
    where
        T: Debug,
    {
        let mut hand = Hand::new(future);
        hand.pending();
        hand
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        self.poll_with(&Waker::from(self.count.clone()))
    }

    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    #[track_caller]
    pub(crate) fn pending(&mut self)
    where
        T: Debug,
    {
        if let Poll::Ready(value) = self.poll() {
            panic!("it should wait, and is ready: {value:?}");
        }
    }

    #[track_caller]
    pub(crate) fn ready(&mut self) -> T {
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it should be ready, and waits"),
        }
    }

    pub(crate) fn wakes(&self) -> usize {
        self.count.get()
    }

    /// Forgets the future: it is never dropped, and whatever it waits in has it for ever.
    pub(crate) fn leak(self) {
        let place = Box::into_raw(Box::new(self));
        // In sight of leak checkers, and without the borrows in its type.
        forget(place.cast::<u8>().expose_provenance());
    }

    /// The counter itself, which outlives the future.
    pub(crate) fn counter(&self) -> Arc<Count> {
        self.count.clone()
    }
}

/// What a future gives that is ready at the first poll.
#[track_caller]
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    Hand::new(future).ready()
}

/// How often each was woken.
pub(crate) fn wakes<T>(hands: &[Hand<'_, T>]) -> Vec<usize> {
    hands.iter().map(Hand::wakes).collect()
}
