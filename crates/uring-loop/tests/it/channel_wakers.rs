//! Channels and foreign code: how often they wake, wakers that panic, and wakers and items that use
//! the channel themselves whenever they are cloned, woken or dropped.

use std::cell::Cell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

use uring_loop::channel::{broadcast, mpsc, oneshot, watch};

/// Counts how often it is woken, and panics then if it is told to.
#[derive(Default)]
struct Counter {
    wakes: AtomicUsize,
    panics: bool,
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics, "a waker of a foreign executor");
    }
}

impl Counter {
    fn panicking() -> Arc<Self> {
        Arc::new(Counter { panics: true, ..Counter::default() })
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}

fn poll<F: Future + Unpin>(future: &mut F, counter: &Arc<Counter>) -> Poll<F::Output> {
    let waker = Waker::from(counter.clone());
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// For executors that move their tasks between threads.
#[test]
fn ends_and_their_waits_go_to_other_threads() {
    fn goes<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>(_: &T) {}
    // An item that is `Send` alone is enough where it has one owner at a time.
    let (sender, mut receiver) = mpsc::bounded::<Cell<u8>>(1);
    is_shared(&sender);
    is_shared(&receiver);
    goes(&sender.send(Cell::new(1)));
    goes(&sender.reserve());
    goes(&sender.try_reserve());
    goes(&sender.closed());
    goes(&receiver.recv());
    goes(&receiver.recv_many(&mut Vec::new(), 1));
    let (mut sender, receiver) = oneshot::channel::<Cell<u8>>();
    goes(&sender.closed());
    is_shared(&receiver);
    let (sender, mut receiver) = watch::channel(1);
    is_shared(&sender);
    goes(&sender.closed());
    is_shared(&receiver);
    goes(&receiver.changed());
    goes(&receiver.wait_for(|_| true));
    let (sender, mut receiver) = broadcast::channel::<u8>(1);
    is_shared(&sender);
    is_shared(&receiver);
    goes(&receiver.recv());
}

#[test]
fn a_burst_wakes_a_waiting_receiver_once() {
    let (sender, mut receiver) = mpsc::unbounded();
    let counter = Arc::default();
    let mut recv = Box::pin(receiver.recv());
    assert!(poll(&mut recv, &counter).is_pending());
    (0..10).for_each(|item| sender.try_send(item).expect("open"));
    assert_eq!(counter.wakes(), 1);
    assert_eq!(poll(&mut recv, &counter), Poll::Ready(Some(0)));
    drop(recv);
    // It does not wait: nobody is woken, whether items are there or not.
    sender.try_send(10).expect("open");
    while receiver.try_recv().is_ok() {}
    sender.try_send(11).expect("open");
    assert_eq!((counter.wakes(), Arc::strong_count(&counter)), (1, 1));
}

#[test]
fn a_wait_that_is_dropped_is_not_woken_and_keeps_no_waker() {
    let counter = Arc::default();
    let (sender, mut receiver) = mpsc::bounded(1);
    assert!(poll(&mut Box::pin(receiver.recv()), &counter).is_pending());
    assert!(poll(&mut Box::pin(sender.closed()), &counter).is_pending());
    sender.try_send(1).expect("there is room");
    assert!(poll(&mut Box::pin(sender.reserve()), &counter).is_pending());
    receiver.try_recv().expect("it was sent");
    let (values, mut watcher) = watch::channel(1);
    assert!(poll(&mut Box::pin(watcher.changed()), &counter).is_pending());
    values.send(2);
    let (news, mut reader) = broadcast::channel(1);
    assert!(poll(&mut Box::pin(reader.recv()), &counter).is_pending());
    news.send(1);
    let (mut answer, question) = oneshot::channel::<()>();
    assert!(poll(&mut Box::pin(answer.closed()), &counter).is_pending());
    drop(question);
    assert_eq!((counter.wakes(), Arc::strong_count(&counter)), (0, 1));
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let (first, last) = (Arc::default(), Arc::default());
    let (sender, mut receiver) = mpsc::bounded(1);
    let mut recv = Box::pin(receiver.recv());
    assert!(poll(&mut recv, &first).is_pending());
    assert!(poll(&mut recv, &last).is_pending());
    sender.try_send(1).expect("there is room");
    drop(recv);
    let mut reserve = Box::pin(sender.reserve());
    assert!(poll(&mut reserve, &first).is_pending());
    assert!(poll(&mut reserve, &last).is_pending());
    receiver.try_recv().expect("it was sent");
    assert_eq!((first.wakes(), last.wakes()), (0, 2));
}

/// Whoever causes the wake goes on, and so do the others who wait.
#[test]
fn a_waker_that_panics_costs_no_item_and_no_other_wake() {
    let (bad, good) = (Counter::panicking(), Arc::default());
    let (sender, mut receiver) = mpsc::bounded(1);
    let mut recv = Box::pin(receiver.recv());
    assert!(poll(&mut recv, &bad).is_pending());
    sender.try_send(1).expect("there is room");
    assert_eq!(poll(&mut recv, &bad), Poll::Ready(Some(1)));
    drop(recv);
    sender.try_send(2).expect("there is room");
    let mut waits = [Box::pin(sender.send(3)), Box::pin(sender.send(4))];
    assert!(poll(&mut waits[0], &bad).is_pending());
    assert!(poll(&mut waits[1], &good).is_pending());
    assert_eq!(receiver.try_recv(), Ok(2), "the sender that is woken for its place panics");
    receiver.close();
    assert_eq!((bad.wakes(), good.wakes()), (2, 1));

    let (sender, receiver) = watch::channel(0);
    let (mut one, mut other) = (receiver.clone(), receiver);
    let (mut one, mut other) = (Box::pin(one.changed()), Box::pin(other.changed()));
    assert!(poll(&mut one, &bad).is_pending());
    assert!(poll(&mut other, &good).is_pending());
    sender.send(1);
    assert_eq!((bad.wakes(), good.wakes()), (3, 2));
    assert_eq!(poll(&mut one, &bad), Poll::Ready(Ok(())));

    let (sender, receiver) = oneshot::channel();
    let mut receiver = Box::pin(receiver);
    assert!(poll(&mut receiver, &bad).is_pending());
    sender.send(5).expect("it waits");
    assert_eq!(poll(&mut receiver, &bad), Poll::Ready(Ok(5)));
}

/// What a waker or item does whenever it is touched.
type Action = Arc<dyn Fn() + Send + Sync>;

/// A waker that acts when it is cloned, woken and dropped.
fn acting(action: &Action) -> Waker {
    fn raw(action: Arc<Action>) -> RawWaker {
        RawWaker::new(Arc::into_raw(action).cast(), &VTABLE)
    }
    /// # Safety
    ///
    /// `data` is from `raw`.
    unsafe fn lent(data: *const ()) -> ManuallyDrop<Arc<Action>> {
        // SAFETY: as promised.
        ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Action>()) })
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: of this table.
            let action = unsafe { lent(data) };
            action();
            raw(Arc::clone(&action))
        },
        |data| {
            // SAFETY: of this table; the waker is used up.
            let action = ManuallyDrop::into_inner(unsafe { lent(data) });
            action();
        },
        |data| {
            // SAFETY: of this table.
            let action = unsafe { lent(data) };
            action();
        },
        |data| {
            // SAFETY: of this table; the waker is used up.
            let action = ManuallyDrop::into_inner(unsafe { lent(data) });
            action();
        },
    );
    // SAFETY: the functions keep the contract of a waker: the data is a counted reference.
    unsafe { Waker::from_raw(raw(Arc::new(action.clone()))) }
}

/// An item that acts when it is cloned and dropped.
struct Item(Action);

impl Clone for Item {
    fn clone(&self) -> Self {
        (self.0)();
        Item(self.0.clone())
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Fails if `f` does not end: a lock that is taken twice.
fn ends(f: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        f();
        let _ = sender.send(());
    });
    let ended = receiver.recv_timeout(Duration::from_secs(30));
    assert_ne!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "it waits for itself");
    thread.join().expect("no panic");
}

/// What acts on a channel that is made after it.
fn later() -> (Action, Arc<Mutex<Option<Action>>>) {
    let place: Arc<Mutex<Option<Action>>> = Arc::default();
    let from = place.clone();
    let action: Action = Arc::new(move || {
        let action = from.lock().expect("no panic").clone();
        if let Some(action) = action {
            action();
        }
    });
    (action, place)
}

#[test]
fn wakers_and_items_may_use_an_mpsc_channel() {
    ends(|| {
        let (action, place) = later();
        let waker = acting(&action);
        let mut cx = Context::from_waker(&waker);
        let (sender, mut receiver) = mpsc::bounded(1);
        let used = sender.clone();
        *place.lock().expect("no panic") = Some(Arc::new(move || {
            drop((used.clone(), used.len(), used.try_reserve()));
        }));
        {
            let mut recv = pin!(receiver.recv());
            assert!(recv.as_mut().poll(&mut cx).is_pending());
            assert!(sender.try_send(Item(action.clone())).is_ok());
            assert!(recv.as_mut().poll(&mut cx).is_ready());
        }
        drop(sender.try_send(Item(action.clone())));
        {
            let other = acting(&action);
            let mut reserve = pin!(sender.reserve());
            let mut closed = pin!(sender.closed());
            assert!(reserve.as_mut().poll(&mut cx).is_pending());
            assert!(reserve.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
            assert!(closed.as_mut().poll(&mut cx).is_pending());
            assert!(receiver.try_recv().is_ok());
        }
        drop(sender.try_send(Item(action.clone())));
        {
            let mut reserve = pin!(sender.reserve());
            assert!(reserve.as_mut().poll(&mut cx).is_pending());
            drop(receiver);
        }
        assert!(sender.try_send(Item(action.clone())).is_err());
        *place.lock().expect("no panic") = None;
    });
}

#[test]
fn wakers_and_values_may_use_a_watch_channel() {
    ends(|| {
        let (action, place) = later();
        let (waker, other) = (acting(&action), acting(&action));
        let (sender, mut receiver) = watch::channel(Item(action.clone()));
        let (used, looks) = (sender.clone(), receiver.clone());
        *place.lock().expect("no panic") = Some(Arc::new(move || {
            drop((used.subscribe(), looks.borrow(), looks.has_changed()));
        }));
        {
            let mut changed = pin!(receiver.changed());
            assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(changed.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
            sender.send(Item(action.clone()));
        }
        sender.send_modify(|_| ());
        assert!(!sender.send_if_modified(|_| false));
        let mut wait = Box::pin(receiver.wait_for(|_| false));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(wait);
        *place.lock().expect("no panic") = None;
    });
}

#[test]
fn wakers_and_items_may_use_a_broadcast_channel() {
    ends(|| {
        let (action, place) = later();
        let (waker, other) = (acting(&action), acting(&action));
        let (sender, mut receiver) = broadcast::channel(2);
        let second = sender.subscribe();
        let used = sender.clone();
        *place.lock().expect("no panic") = Some(Arc::new(move || {
            drop((used.subscribe(), used.len()));
        }));
        {
            let mut recv = pin!(receiver.recv());
            assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(recv.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
            (0..3).for_each(|_| assert_eq!(sender.send(Item(action.clone())), 2));
            assert!(recv.as_mut().poll(&mut Context::from_waker(&other)).is_ready());
        }
        assert!(receiver.try_recv().is_ok());
        drop(second);
        drop(receiver);
        sender.send(Item(action.clone()));
        *place.lock().expect("no panic") = None;
    });
}
