//! The threads of a thread pool and the queue they work from.
//!
//! # Life
//!
//! The queue is open while `sender` is there. Closing it (shutdown, or a failed initialiser) drops
//! the sender; workers then run what is queued and end when the channel says that it is empty and
//! closed. A job can therefore not slip in behind the last worker: to send, a submitter must hold
//! the sender, under the read lock that closing takes for writing. The channel makes idle workers
//! sleep, after a short spin.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::builder::ThreadPoolBuilder;
use super::call::Run;
use crate::error::JobError;
use crate::panics;

thread_local! {
    static CURRENT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The pool whose worker the calling thread is.
pub(crate) fn current_pool() -> Option<u64> {
    CURRENT.get()
}

type Queued = Arc<dyn Run>;

pub(super) struct Crew {
    pub(super) id: u64,
    pub(super) threads: usize,
    config: ThreadPoolBuilder,
    sender: RwLock<Option<Sender<Queued>>>,
    receiver: Receiver<Queued>,
    started: AtomicBool,
    handles: Mutex<Vec<JoinHandle<()>>>,
    broken: OnceLock<String>,
}

impl Crew {
    pub(super) fn new(id: u64, threads: usize, config: ThreadPoolBuilder) -> Crew {
        let (sender, receiver) = crossbeam_channel::unbounded();
        Crew {
            id,
            threads,
            config,
            sender: RwLock::new(Some(sender)),
            receiver,
            started: AtomicBool::new(false),
            handles: Mutex::new(Vec::new()),
            broken: OnceLock::new(),
        }
    }

    /// Queues a job, or ends it with the reason why not.
    #[inline]
    pub(super) fn submit(self: &Arc<Self>, job: Queued) {
        // Acquire pairs with the release in `start`; a stale `false` only takes the slow road.
        if !self.started.load(Ordering::Acquire)
            && let Err(error) = self.start()
        {
            self.break_down(format!("starting its threads failed: {error}"));
        }
        let open = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some(sender) => sender.send(job).expect("the crew itself holds a receiver"),
            None => {
                drop(open);
                job.refuse(self.refusal());
            }
        }
    }

    fn refusal(&self) -> JobError {
        self.broken.get().map_or(JobError::PoolShutdown, |reason| JobError::broken(reason))
    }

    /// Starts the threads if that has not been done. With some running, a failure to start more
    /// is not one of the pool: it works with those it has.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if self.started.load(Ordering::Acquire) {
            return Ok(());
        }
        let open = self.sender.read().unwrap_or_else(PoisonError::into_inner).is_some();
        for index in 0..if open { self.threads } else { 0 } {
            match self.start_one(index) {
                Ok(handle) => handles.push(handle),
                Err(error) if index == 0 || self.config.eager => return Err(error),
                Err(_) => break,
            }
        }
        self.started.store(true, Ordering::Release);
        Ok(())
    }

    fn start_one(self: &Arc<Self>, index: usize) -> io::Result<JoinHandle<()>> {
        let name = match &self.config.name {
            Some(name) => format!("{name}.{index}"),
            None => format!("pool-{}.{index}", self.id),
        };
        let mut thread = std::thread::Builder::new().name(name.clone());
        if let Some(bytes) = self.config.stack_size {
            thread = thread.stack_size(bytes);
        }
        let crew = Arc::clone(self);
        thread.spawn(move || crew.work(index)).map_err(|error| {
            io::Error::new(error.kind(), format!("starting the thread {name}: {error}"))
        })
    }

    fn work(&self, index: usize) {
        CURRENT.set(Some(self.id));
        if self.config.pin_cores {
            pin_to_core(index);
        }
        if let Some(initializer) = &self.config.initializer
            && let Err(caught) = panics::catch(|| initializer())
        {
            let place = caught.location.map(|at| format!(" at {at}")).unwrap_or_default();
            self.break_down(format!("its initializer panicked{place}: {}", caught.message));
            return;
        }
        while let Ok(job) = self.receiver.recv() {
            job.run();
            // The last owner drops the closure's or the result's own data, which may panic.
            let _ = panics::catch(|| drop(job));
        }
    }

    /// No job can run any more: says so to those queued and those to come.
    fn break_down(&self, reason: String) {
        let _ = self.broken.set(reason);
        self.close();
        self.refuse_queued(&self.refusal());
    }

    pub(super) fn close(&self) {
        drop(self.sender.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn refuse_queued(&self, error: &JobError) {
        while let Ok(job) = self.receiver.try_recv() {
            job.refuse(error.clone());
        }
    }

    /// Waits for the threads to end; not for the calling one, which may be one of them.
    pub(super) fn join(&self) {
        let handles =
            std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        let here = std::thread::current().id();
        for handle in handles {
            if handle.thread().id() != here {
                handle.join().expect("a worker catches every panic");
            }
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.receiver.len()
    }
}

fn pin_to_core(index: usize) {
    // Refused (a sandbox, a shrunk cpuset): the pool works unpinned, as asked for "where possible".
    if let Some(cores) = core_affinity::get_core_ids().filter(|cores| !cores.is_empty()) {
        core_affinity::set_for_current(cores[index % cores.len()]);
    }
}
