//! Small parts that many tests are built of: what counts and tells that it is dropped, tasks that
//! clean up, queues to fill and to drain.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::queue::{Order, OrderedQueue};
use uring_loop::time::sleep;
use uring_loop::{Task, catch_cancel, spawn_all, yield_now};

/// So many milliseconds.
pub(crate) fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A number that all clones share.
#[derive(Clone, Default)]
pub(crate) struct Count(Rc<Cell<u32>>);

impl Count {
    /// One more.
    pub(crate) fn one(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.get()
    }
}

/// Counts when it is dropped.
pub(crate) struct OnDrop(pub(crate) Count);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.one();
    }
}

/// Says that it was dropped, which happens once.
pub(crate) struct Flag(pub(crate) Rc<Cell<bool>>);

impl Flag {
    /// The flag, and what tells whether it was dropped.
    pub(crate) fn new() -> (Flag, Rc<Cell<bool>>) {
        let dropped = Rc::new(Cell::new(false));
        (Flag(dropped.clone()), dropped)
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        assert!(!self.0.replace(true), "dropped twice");
    }
}

/// What callbacks note, in order.
pub(crate) type Bag<T> = Rc<RefCell<Vec<T>>>;

/// A callback of a task or a promise that notes `what`.
pub(crate) fn note<A: 'static, W: 'static>(
    bag: &Bag<W>,
    what: W,
) -> impl FnOnce(&A) + 'static + use<A, W> {
    let bag = bag.clone();
    move |_| bag.borrow_mut().push(what)
}

/// Waits until it is cancelled, cleans up for `time`, counts that, and ends as cancelled.
pub(crate) async fn cleaning_up(time: Duration, cleaned: impl Borrow<Count>) {
    if let Err(request) = catch_cancel(pending::<()>()).await {
        sleep(time).await;
        cleaned.borrow().one();
        request.propagate().await;
    }
}

/// Lets the task run until it waits.
pub(crate) async fn started<T>(task: Task<T>) -> Task<T> {
    for _ in 0..4 {
        yield_now().await;
    }
    task
}

/// Tasks that sleep for so many milliseconds and give that number.
pub(crate) fn naps<const N: usize>(times: [u64; N]) -> Vec<Task<u64>> {
    let nap = |time| async move {
        sleep(ms(time)).await;
        time
    };
    spawn_all(times.map(nap))
}

/// The queue, with these items in it.
pub(crate) fn filled<O>(queue: OrderedQueue<O>, items: &[i32]) -> OrderedQueue<O>
where
    O: Order<Item = i32>,
{
    items.iter().for_each(|item| queue.put_nowait(*item).expect("room"));
    queue
}

/// All items that are in the queue, in the order in which it gives them.
pub(crate) fn drain<O: Order>(queue: &OrderedQueue<O>) -> Vec<O::Item> {
    std::iter::from_fn(|| queue.get_nowait().ok()).collect()
}

/// Both ends of a connection.
pub(crate) async fn connected_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let (server, client) = futures_util::join!(listener.accept(), TcpStream::connect(address));
    (server.expect("accepted"), client.expect("connected"))
}
