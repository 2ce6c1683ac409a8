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
use super::ranks::{Lesser, Ranks};
use super::timer::Timer;
use crate::cores;
use crate::error::JobError;
use crate::panics;

thread_local! {
    static CURRENT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The pool whose worker the calling thread is.
pub(crate) fn current_pool() -> Option<u64> {
    CURRENT.get()
}

/// What is in the queue.
enum Queued {
    Job(Arc<dyn Run>),
    /// A job is to be taken from the ranks.
    Token,
}

pub(super) struct Crew {
    pub(super) id: u64,
    pub(super) threads: usize,
    config: ThreadPoolBuilder,
    sender: RwLock<Option<Sender<Queued>>>,
    receiver: Receiver<Queued>,
    ranks: Ranks,
    pub(super) timer: Arc<Timer>,
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
            ranks: Ranks::default(),
            timer: Arc::default(),
            started: AtomicBool::new(false),
            handles: Mutex::new(Vec::new()),
            broken: OnceLock::new(),
        }
    }

    /// Queues a job, or ends it with the reason why not.
    #[inline]
    pub(super) fn submit(self: &Arc<Self>, rank: i32, job: Arc<dyn Run>) {
        // Acquire pairs with the release in `start`; a stale `false` only takes the slow road.
        if !self.started.load(Ordering::Acquire)
            && let Err(error) = self.start()
        {
            self.break_down(format!("starting its threads failed: {error}"));
        }
        let open = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some(sender) => {
                let queued = if rank == 0 {
                    Queued::Job(job)
                } else {
                    self.ranks.push(rank, job);
                    Queued::Token
                };
                sender.send(queued).expect("the crew itself holds a receiver");
            }
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
        if let Some(left) = &self.config.cores {
            // Refused by a sandbox, say: the pool works all the same.
            let _ = cores::stay_on(left);
        }
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
        while let Ok(queued) = self.receiver.recv() {
            let Some(job) = self.choose(queued) else { continue };
            job.run();
            // The last owner drops the closure's or the result's own data, which may panic.
            let _ = panics::catch(|| drop(job));
        }
    }

    /// The job to run for what was in the queue, see `ranks.rs`.
    #[inline]
    fn choose(&self, queued: Queued) -> Option<Arc<dyn Run>> {
        match queued {
            Queued::Job(job) => Some(self.ranks.instead_of(job)),
            Queued::Token => self.choose_ranked(),
        }
    }

    #[cold]
    fn choose_ranked(&self) -> Option<Arc<dyn Run>> {
        let open = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*open else {
            // Nothing can be put back into a closed queue, so from now on all go by rank.
            drop(open);
            return self.ranks.take(0).ok().flatten();
        };
        match self.ranks.take(self.receiver.len()) {
            Ok(job) => job,
            Err(Lesser) => {
                if !mutant!("token-lost") {
                    sender.send(Queued::Token).expect("the crew itself holds a receiver");
                }
                None
            }
        }
    }

    /// Starts the timer: a job with limits is to come.
    pub(super) fn start_timer(&self) -> Result<(), JobError> {
        self.timer.start(self.id).map_err(|error| {
            JobError::broken(&format!("starting the thread that watches limits failed: {error}"))
        })
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
        while let Ok(queued) = self.receiver.try_recv() {
            if let Queued::Job(job) = queued {
                job.refuse(error.clone());
            }
        }
        for job in self.ranks.drain() {
            job.refuse(error.clone());
        }
    }

    /// Waits for the threads to end; not for the calling one, which may be one of them.
    pub(super) fn join(&self) {
        let handles =
            std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        let here = std::thread::current().id();
        let mut all = true;
        for handle in handles {
            if handle.thread().id() == here {
                all = false;
            } else {
                handle.join().expect("a worker catches every panic");
            }
        }
        // A worker that shuts its own pool down may still have jobs before it.
        if all {
            self.timer.close();
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
