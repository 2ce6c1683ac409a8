//! Programs of operations on a simulated kernel: the input says what is begun, polled, given up,
//! cancelled and closed, in which order, what goes wrong meanwhile, and how the loop ends.
//!
//! Each operation checks what comes of it. When the program is over, everything that must end has
//! to end, and nothing may be left: no operation, orphan, task, timer, buffer or descriptor.

mod act;
mod files;
mod flow;
mod kernel;
mod sockets;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::bytes::Bytes;
use crate::buf::{FixedBuffers, RecvBuf};
use crate::testing::{Faults, SimHandle};
use crate::time::{now, sleep, timeout};
use crate::{EventLoop, Task, join, spawn};
use files::{FIXED, Files};
use kernel::Ending;
use sockets::Sockets;

/// Futures that can be held at a time.
const PLACES: usize = 8;

/// Longer than anything takes that must end at all.
const LONG: Duration = Duration::from_secs(600);

pub(super) fn run(bytes: &[u8]) {
    let mut input = Bytes::new(bytes);
    let (builder, config, ending) = kernel::choose(&mut input);
    let (mut event_loop, sim) = builder.build_simulated(config).expect("a simulated ring");
    let panics = listen(&mut event_loop);
    let machine = event_loop.run_until_complete(program(&mut input, sim.clone(), ending));
    let machine = machine.expect("not cancelled");
    let (kept, buffers) = (machine.kept, machine.files.buffers.clone());
    drop((machine.futures, machine.tasks, machine.lent, machine.files, machine.sockets));
    match ending {
        Ending::Rest => {
            // What outlives the loop holds something still.
            if kept.is_empty() {
                rest(&mut event_loop, &sim);
                let free = buffers.as_ref().map_or(FIXED, FixedBuffers::free);
                assert_eq!(free, FIXED, "registered buffers were not given back");
            }
        }
        Ending::Finish => assert_eq!(event_loop.finish(), 0, "tasks that do not end when asked"),
        Ending::Drop => {}
    }
    drop(event_loop);
    // Futures may be dropped when their loop is gone.
    drop((kept, buffers));
    assert_eq!(*panics.borrow(), "", "nobody has heard of this panic");
    assert_eq!(sim.in_flight(), 0, "{}", sim.describe());
    assert_eq!(sim.open_descriptors(), [], "descriptors were left open");
    assert_eq!(Rc::strong_count(&panics), 1, "the loop lives on");
}

/// What tasks panic with, unless somebody takes it.
fn listen(event_loop: &mut EventLoop) -> Rc<RefCell<String>> {
    let panics = Rc::<RefCell<String>>::default();
    let heard = panics.clone();
    event_loop.set_exception_handler(move |report| {
        if report.panic.is_some() {
            heard.borrow_mut().push_str(&report.to_string());
        }
    });
    panics
}

async fn program(input: &mut Bytes<'_>, sim: SimHandle, ending: Ending) -> Machine {
    let mut machine = Machine::new(sim.clone()).await;
    sim.set_faults(kernel::faults(input));
    while !input.is_empty() {
        machine.step(input).await;
    }
    if ending == Ending::Rest {
        sim.set_faults(Faults::none());
        machine.complete().await;
    }
    machine
}

/// What was dropped comes to its end, and then nothing is left.
fn rest(event_loop: &mut EventLoop, sim: &SimHandle) {
    let pause = async { sleep(LONG).await };
    event_loop.run_until_complete(pause).expect("not cancelled");
    let left = event_loop.statistics();
    assert_eq!(left.in_flight, 0, "left in flight: {:?}", event_loop.in_flight());
    assert_eq!((left.orphans, left.tasks, left.timers, left.callbacks), (0, 0, 0, 0), "{left}");
    assert!(left.enters <= left.turns, "more than one enter per turn: {left}");
    if let Some((free, all)) = left.buffers {
        assert_eq!(free, all, "buffers were not given back");
        assert_eq!(sim.provided_buffers_free(0), Some(all), "the kernel has too few buffers");
    }
}

/// An operation under way. It checks what comes of it by itself.
struct Held {
    future: Pin<Box<dyn Future<Output = ()>>>,
    /// It ends whatever else happens.
    ends: bool,
}

/// The same as a task.
struct Started {
    task: Task<()>,
    ends: bool,
}

/// What a program works with.
struct Machine {
    sim: SimHandle,
    futures: [Option<Held>; PLACES],
    tasks: Vec<Started>,
    /// Futures that outlive the loop.
    kept: Vec<Held>,
    /// Buffers of the loop that are held for a while.
    lent: Rc<RefCell<Vec<RecvBuf>>>,
    errors: Errors,
    files: Files,
    sockets: Sockets,
}

/// Errors that may be: those that were planned, and those that the faults of the kernel bring.
#[derive(Clone, Debug, Default)]
struct Errors(Rc<RefCell<Vec<i32>>>);

impl Errors {
    fn allow(&self, errno: i32) {
        self.0.borrow_mut().push(errno);
    }

    #[track_caller]
    fn check(&self, error: &io::Error) {
        let text = error.to_string();
        let known = self.0.borrow().iter().any(|errno| text.contains(&format!("error {errno})")));
        assert!(known, "this error may not be: {error:?}");
    }

    /// The same of a connection, which may have gone.
    #[track_caller]
    fn check_gone(&self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
        let gone = [BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected];
        if !gone.contains(&error.kind()) {
            self.check(error);
        }
    }
}

/// Something that one operation at a time may use. It comes back when that is over, or dropped.
struct Shared<T>(Rc<Cell<Option<T>>>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Shared(Rc::new(Cell::new(Some(value))))
    }

    fn borrow(&self) -> Option<Borrowed<T>> {
        Some(Borrowed { value: Some(self.0.take()?), home: self.0.clone() })
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

struct Borrowed<T> {
    value: Option<T>,
    home: Rc<Cell<Option<T>>>,
}

impl<T> Borrowed<T> {
    fn get(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until drop")
    }
}

impl<T> Drop for Borrowed<T> {
    fn drop(&mut self) {
        self.home.set(self.value.take());
    }
}

impl Machine {
    async fn new(sim: SimHandle) -> Self {
        let errors = Errors::default();
        Machine {
            futures: Default::default(),
            tasks: Vec::new(),
            kept: Vec::new(),
            lent: Rc::default(),
            files: Files::new(&sim, &errors).await,
            sockets: Sockets::new(&sim, &errors),
            errors,
            sim,
        }
    }

    /// Puts a future into a place, in which it takes the place of another.
    fn hold(&mut self, place: usize, ends: bool, future: impl Future<Output = ()> + 'static) {
        self.futures[place] = Some(Held { future: Box::pin(future), ends });
    }

    async fn poll(&mut self, place: usize) {
        let Some(held) = &mut self.futures[place] else { return };
        let polled = poll_fn(|cx| Poll::Ready(held.future.as_mut().poll(cx))).await;
        if polled.is_ready() {
            self.futures[place] = None;
        }
    }

    /// Waits for all that must end, and then looks whether everything has come.
    async fn complete(&mut self) {
        // Who holds all the buffers waits for ever.
        self.lent.borrow_mut().clear();
        self.sockets.end_outside();
        for held in self.futures.iter_mut().filter_map(Option::take) {
            if held.ends {
                in_time(held.future).await;
            }
        }
        for task in self.tasks.drain(..) {
            // What waits for something that need not come is asked to end, and does.
            if let Ok(Err(error)) = timeout(LONG, task.task).await {
                assert!(error.is_cancelled(), "{error}");
            }
        }
        self.sockets.drain(&self.lent).await;
        self.files.check(&self.sim);
    }
}

/// Waits for what must come. A limit polls once more what it ends: that must not be what helps.
async fn in_time<F: Future>(future: F) -> F::Output {
    let start = now();
    let output = timeout(LONG, future).await.expect("it never ends");
    assert!(now() - start < LONG, "it was not woken");
    output
}

/// A future as a task, perhaps in a join with another one.
fn start(one: Held, other: Option<Held>) -> Started {
    let ends = one.ends && other.as_ref().is_none_or(|other| other.ends);
    let task = spawn(async move {
        match other {
            Some(other) => drop(join((one.future, other.future)).await),
            None => one.future.await,
        }
    });
    Started { task, ends }
}
