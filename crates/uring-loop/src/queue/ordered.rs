//! The handle to a queue.

use std::fmt;
use std::rc::Rc;

use super::error::{GetError, PutError, ShutDown, TooManyDone};
use super::order::Order;
use super::shared::{AllDone, GetItem, GetRoom, Shared};
use crate::sync::wait::wait;

/// A queue that gives its items in the order `O`: a [`Queue`](super::Queue), a
/// [`PriorityQueue`](super::PriorityQueue), a [`LifoQueue`](super::LifoQueue), or one of your own.
///
/// Clones are handles to the same queue.
///
/// Who waits longest is served first. [`get`](Self::get) gives an item at once if one lies there
/// that is not meant for somebody in line. [`get_nowait`](Self::get_nowait) takes any that lies
/// there; whoever it was meant for keeps the place in line and waits for the next.
///
/// A waiting `get`, `put` or `reserve` that is forgotten (`mem::forget`) stands in line for ever:
/// the item or the room it is chosen for is not used by others that wait (an item can be had with
/// `get_nowait`).
pub struct OrderedQueue<O> {
    shared: Rc<Shared<O>>,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatistics {
    /// How many items lie in it.
    pub len: usize,
    /// For how many items room is kept: by [`Room`]s, and for putters that were woken.
    pub reserved: usize,
    /// How many items were put and not yet said to be done.
    pub unfinished: usize,
    /// How many wait for an item.
    pub getters: usize,
    /// How many wait for room.
    pub putters: usize,
    /// How many wait for all to be done.
    pub joiners: usize,
    /// Whether it was shut down.
    pub shut_down: bool,
}

impl<O: Order> OrderedQueue<O> {
    /// One without a limit.
    pub fn new() -> Self {
        OrderedQueue { shared: Rc::new(Shared::new(usize::MAX)) }
    }

    /// One for at most `max` items.
    ///
    /// # Panics
    ///
    /// If `max` is 0. (In asyncio that means no limit: [`new`](Self::new).)
    #[doc(alias = "maxsize")]
    #[track_caller]
    pub fn bounded(max: usize) -> Self {
        assert!(max > 0, "a queue for no item never takes one; `new` makes one without a limit");
        OrderedQueue { shared: Rc::new(Shared::new(max)) }
    }

    /// Puts an item, once there is room.
    ///
    /// # Errors
    ///
    /// [`ShutDown`] with the item, if the queue was shut down, before or while this waited.
    ///
    /// # Cancel safety
    ///
    /// Weak: if it has not been put, the item is dropped with this future; the queue is as if
    /// nothing had been. [`reserve`](Self::reserve) first, and nothing is lost.
    #[doc(alias = "send")]
    pub async fn put(&self, item: O::Item) -> Result<(), ShutDown<O::Item>> {
        let item = match self.shared.put_at_once(item) {
            Ok(()) => return Ok(()),
            Err(item) => item,
        };
        match self.reserve().await {
            Ok(room) => room.put(item),
            Err(ShutDown(())) => Err(ShutDown(item)),
        }
    }

    /// Puts an item, if there is room now.
    ///
    /// # Errors
    ///
    /// [`PutError`], with the item.
    #[doc(alias = "try_put")]
    #[doc(alias = "try_send")]
    pub fn put_nowait(&self, item: O::Item) -> Result<(), PutError<O::Item>> {
        self.shared.put_nowait(item)
    }

    /// Waits for room for one item, and keeps it until the [`Room`] is used or dropped.
    ///
    /// # Errors
    ///
    /// [`ShutDown`], if the queue was shut down, before or while this waited.
    ///
    /// # Cancel safety
    ///
    /// Strict: the place in line is lost, and room that was handed over goes to the next.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::queue::Queue;
    ///
    /// uring_loop::run(async {
    ///     let queue = Queue::bounded(1);
    ///     let room = queue.reserve().await.unwrap();
    ///     assert!(queue.is_full());
    ///     room.put("made only now that there is room for it").unwrap();
    ///     assert_eq!(queue.len(), 1);
    /// })
    /// # .unwrap();
    /// ```
    pub async fn reserve(&self) -> Result<Room<'_, O>, ShutDown> {
        wait(&self.shared.putters, GetRoom(&*self.shared)).await?;
        Ok(Room { shared: Some(&self.shared) })
    }

    /// Takes the next item, once there is one.
    ///
    /// # Errors
    ///
    /// [`ShutDown`], if the queue was shut down and is empty.
    ///
    /// # Cancel safety
    ///
    /// Strict: the place in line is lost; the item it would have got is there for the next.
    #[doc(alias = "recv")]
    pub async fn get(&self) -> Result<O::Item, ShutDown> {
        wait(&self.shared.getters, GetItem(&*self.shared)).await
    }

    /// Takes the next item, if there is one now.
    ///
    /// # Errors
    ///
    /// [`GetError`]: there is none now, or there never will be.
    #[doc(alias = "try_get")]
    #[doc(alias = "try_recv")]
    pub fn get_nowait(&self) -> Result<O::Item, GetError> {
        self.shared.get_now().ok_or(match self.is_shut_down() {
            true => GetError::ShutDown,
            false => GetError::Empty,
        })
    }

    /// Says that an item that was got is done with. [`join`](Self::join) waits for as many of
    /// these as items were put.
    ///
    /// # Errors
    ///
    /// [`TooManyDone`], if it was said for all items that were put.
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        self.shared.task_done()
    }

    /// Waits until every item that was put is [done](Self::task_done); at once, if all are.
    ///
    /// # Cancel safety
    ///
    /// Strict: there is nothing to lose.
    pub async fn join(&self) {
        wait(&self.shared.joiners, AllDone(&*self.shared)).await
    }

    /// Ends the queue: nothing can be put any more, and who waits to put is told so. Items that
    /// lie there can still be got; after the last, getters are told. Done again, it does no harm.
    ///
    /// `immediate`: the items are dropped, and count as done. So `join` returns if no item that
    /// was got before is still to be done.
    #[doc(alias = "close")]
    pub fn shutdown(&self, immediate: bool) {
        self.shared.shut_down(immediate);
    }

    /// Whether it was shut down.
    #[doc(alias = "is_closed")]
    pub fn is_shut_down(&self) -> bool {
        self.shared.shut_down.get()
    }

    /// How many items lie in it.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no item lies in it.
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room: items, and those that room is kept for, are as many as may be.
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        !self.shared.has_room()
    }

    /// How many items may lie in it; `None`: there is no limit.
    #[doc(alias = "maxsize")]
    #[doc(alias = "capacity")]
    pub fn max_size(&self) -> Option<usize> {
        (self.shared.max != usize::MAX).then_some(self.shared.max)
    }

    /// How it stands.
    pub fn statistics(&self) -> QueueStatistics {
        let shared = &self.shared;
        QueueStatistics {
            len: shared.len(),
            reserved: shared.reserved.get(),
            unfinished: shared.unfinished.get(),
            getters: shared.getters.len(),
            putters: shared.putters.len(),
            joiners: shared.joiners.len(),
            shut_down: shared.shut_down.get(),
        }
    }
}

/// Room for one item, made by [`OrderedQueue::reserve`]. Given back on drop.
#[must_use = "the room is given back when it is dropped"]
pub struct Room<'a, O: Order> {
    /// None when it is used up.
    shared: Option<&'a Shared<O>>,
}

impl<O: Order> Room<'_, O> {
    /// Puts an item there.
    ///
    /// # Errors
    ///
    /// [`ShutDown`] with the item, if the queue was shut down since.
    pub fn put(mut self, item: O::Item) -> Result<(), ShutDown<O::Item>> {
        let shared = self.shared.take().expect("only `put` takes it, once");
        shared.put_reserved(item)
    }
}

impl<O: Order> Drop for Room<'_, O> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            shared.give_room_back();
        }
    }
}

impl<O: Order> Default for OrderedQueue<O> {
    fn default() -> Self {
        OrderedQueue::new()
    }
}

impl<O> Clone for OrderedQueue<O> {
    fn clone(&self) -> Self {
        OrderedQueue { shared: self.shared.clone() }
    }
}

impl<O: Order> fmt::Debug for OrderedQueue<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueueStatistics { len, unfinished, getters, putters, shut_down, .. } =
            self.statistics();
        f.debug_struct("Queue")
            .field("len", &len)
            .field("max_size", &self.max_size())
            .field("unfinished", &unfinished)
            .field("getters", &getters)
            .field("putters", &putters)
            .field("shut_down", &shut_down)
            .finish()
    }
}

impl<O: Order> fmt::Debug for Room<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}
