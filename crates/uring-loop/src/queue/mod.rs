//! L3: asyncio's queues, for tasks of one loop.
//!
//! Tasks put items in, wait while there is no room, take items out, wait while there are none.
//! [`Queue`] gives the oldest item first, [`PriorityQueue`] the smallest, [`LifoQueue`] the
//! youngest; all three are an [`OrderedQueue`], where the methods are.
//!
//! A queue is a handle: clones are cheap and mean the same queue, since a queue is made to be
//! handed to tasks of its own, and those cannot borrow. It does not end when a side of it goes:
//! that is what [`shutdown`](OrderedQueue::shutdown) is for. Queues are for one thread. They can be
//! made and used, without waiting, where no loop runs.
//!
//! # Examples
//!
//! ```
//! use uring_loop::queue::Queue;
//! use uring_loop::spawn;
//!
//! uring_loop::run(async {
//!     let queue = Queue::bounded(2);
//!     let worker = spawn({
//!         let queue = queue.clone();
//!         async move {
//!             let mut sum = 0;
//!             while let Ok(item) = queue.get().await {
//!                 sum += item;
//!                 queue.task_done().unwrap();
//!             }
//!             sum
//!         }
//!     });
//!     for item in 1..=10 {
//!         queue.put(item).await.unwrap(); // waits while two lie there
//!     }
//!     queue.join().await; // until all are done
//!     queue.shutdown(false);
//!     assert_eq!(worker.await.unwrap(), 55);
//! })
//! # .unwrap();
//! ```

mod error;
mod order;
mod ordered;
mod shared;

pub use error::{GetError, PutError, ShutDown, TooManyDone};
pub use order::{Fifo, Lifo, Order, SmallestFirst};
pub use ordered::{OrderedQueue, QueueStatistics, Room};

/// Gives the oldest item first.
#[doc(alias = "channel")]
pub type Queue<T> = OrderedQueue<Fifo<T>>;

/// Gives the smallest item first, as asyncio's does, and of equal ones the oldest.
///
/// For the largest first, wrap the items in [`std::cmp::Reverse`]. An item with a priority of its
/// own can be a tuple, `(priority, item)`, or a type that implements `Ord`. Comparing must not
/// panic: the item that is put or got may be lost then.
///
/// # Examples
///
/// ```
/// use std::cmp::Reverse;
/// use uring_loop::queue::PriorityQueue;
///
/// let jobs = PriorityQueue::new();
/// jobs.put_nowait((2, "sweep")).unwrap();
/// jobs.put_nowait((1, "serve")).unwrap();
/// assert_eq!(jobs.get_nowait(), Ok((1, "serve")));
///
/// let largest_first = PriorityQueue::new();
/// largest_first.put_nowait(Reverse(1)).unwrap();
/// largest_first.put_nowait(Reverse(2)).unwrap();
/// assert_eq!(largest_first.get_nowait(), Ok(Reverse(2)));
/// ```
pub type PriorityQueue<T> = OrderedQueue<SmallestFirst<T>>;

/// Gives the youngest item first: a stack.
pub type LifoQueue<T> = OrderedQueue<Lifo<T>>;
