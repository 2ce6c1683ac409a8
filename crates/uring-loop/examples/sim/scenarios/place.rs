//! Where a scenario runs, what may go wrong there, and what it is held to when it is over.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use uring_loop::time::sleep;
use uring_loop::{JoinError, Task, spawn};

use super::chance::Chance;

/// Something that must hold when the loop is gone.
type Check = Box<dyn FnOnce()>;

/// What a scenario is given. Clones mean the same place.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) chance: Chance,
    /// A folder of the scenario's own; it need not exist yet.
    pub(crate) folder: PathBuf,
    /// Things go wrong by themselves here, not only where the scenario lets them.
    pub(crate) faulty: bool,
    /// The loop is ended while the scenario is at work.
    pub(crate) ends: bool,
    checks: Rc<RefCell<Vec<Check>>>,
    /// How many errors were passed over.
    troubles: Rc<Cell<usize>>,
    /// Whoever has a clone of it is alive.
    token: Rc<()>,
}

impl Place {
    pub(crate) fn new(chance: Chance, folder: PathBuf, faulty: bool) -> Self {
        Place {
            chance,
            folder,
            faulty,
            ends: false,
            checks: Rc::default(),
            troubles: Rc::default(),
            token: Rc::new(()),
        }
    }

    /// The same with a folder inside of this one.
    pub(crate) fn inside(&self, name: &str) -> Self {
        Place { folder: self.folder.join(name), ..self.clone() }
    }

    /// The same, where the loop is ended in the middle.
    pub(crate) fn that_ends(self) -> Self {
        Place { ends: true, ..self }
    }

    /// Passes an error over that may be, and fails with any other.
    ///
    /// A connection may be reset by its other end, which scenarios do, or given up by a faulty
    /// kernel before it is accepted; a faulty kernel may lack descriptors or memory, and its disk
    /// be full or broken.
    #[track_caller]
    pub(crate) fn pass_over(&self, error: &io::Error) {
        let reset = matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::NotConnected
        );
        let text = error.to_string();
        // EIO, ENOMEM, EMFILE, ENOSPC, ENOBUFS, ESTALE, EDQUOT.
        let faults = [5, 12, 24, 28, 105, 116, 122].map(|errno| format!("(os error {errno})"));
        let fault = self.faulty && faults.iter().any(|errno| text.contains(errno));
        assert!(reset || fault, "this error may not be: {error:?}");
        self.troubles.set(self.troubles.get() + 1);
    }

    /// How many errors were passed over so far. What another task has left half done for one is
    /// known by that.
    pub(crate) fn troubles(&self) -> usize {
        self.troubles.get()
    }

    /// Whether what another task does may be half done: the loop is ended, or an error was passed
    /// over since there were so many.
    pub(crate) fn may_be_half_done(&self, before: usize) -> bool {
        self.ends || self.troubles() > before
    }

    /// A value, unless there is an error that may be.
    #[track_caller]
    pub(crate) fn ok<T>(&self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.pass_over(&error);
                None
            }
        }
    }

    /// Waits until all tasks are over, of which some are cancelled or aborted.
    pub(crate) async fn disturb<T: 'static>(&self, tasks: Vec<Kept<T>>) {
        for mut task in tasks {
            sleep(self.chance.moment() / 4).await;
            let asked = match self.chance.below(8) {
                0 | 1 => task.task().cancel(),
                2 => {
                    task.task().abort();
                    true
                }
                _ => false,
            };
            match task.end().await {
                Ok(_) => {}
                // A loop that is ended cancels all its tasks.
                Err(error) if error.is_cancelled() => {
                    assert!(asked || self.ends, "nobody has cancelled it");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A descriptor of a pipe's end: whoever receives a copy, when the loop is gone all copies
    /// must be closed.
    pub(crate) fn canary(&self) -> OwnedFd {
        let (reader, writer) = io::pipe().expect("descriptors");
        self.afterwards(move || closed_soon(reader));
        writer.into()
    }

    /// Something to look at when the loop is gone.
    pub(crate) fn afterwards(&self, check: impl FnOnce() + 'static) {
        self.checks.borrow_mut().push(Box::new(check));
    }

    /// Looks at everything that must hold now that the loop is gone.
    pub(crate) fn check(self) {
        assert_eq!(Rc::strong_count(&self.token), 1, "a task or a future outlives the loop");
        for check in self.checks.take() {
            check();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Waits for the end of a pipe. Descriptors on their way in a socket that is closed are closed by
/// the kernel a little later (`unix_gc`), hence the patience.
fn closed_soon(mut reader: PipeReader) {
    let (send, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(reader.read(&mut [0; 1]).map_err(|error| error.kind())));
    let patience = Duration::from_secs(20);
    assert_eq!(ended.recv_timeout(patience), Ok(Ok(0)), "a descriptor was left open");
}

/// Does something again and again while a faulty disk forbids it.
pub(crate) async fn persist<T, F>(place: &Place, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = place.ok(attempt().await) {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "this disk never works");
    }
}

/// A task that goes with its handle: what it counts on may go with the one that started it.
pub(crate) struct Kept<T>(Option<Task<T>>);

impl<T: 'static> Kept<T> {
    /// Lets it go on by itself.
    pub(crate) fn detach(mut self) {
        drop(self.0.take());
    }

    fn task(&mut self) -> &mut Task<T> {
        self.0.as_mut().expect("it was not detached")
    }

    pub(crate) async fn end(mut self) -> Result<T, JoinError> {
        self.task().await
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Starts a task that goes with its handle.
pub(crate) fn keep<F: Future + 'static>(future: F) -> Kept<F::Output> {
    Kept(Some(spawn(future)))
}

/// Starts so many of one kind.
pub(crate) fn keep_many<F: Future + 'static>(
    count: usize,
    make: impl Fn(usize) -> F,
) -> Vec<Kept<F::Output>> {
    (0..count).map(|number| keep(make(number))).collect()
}
