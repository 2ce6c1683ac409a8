//! `Hub`: what the pool's handle, its jobs and its thread share.
//!
//! The book is under the one lock. What it says is to be done is done after the lock is released:
//! jobs are ended here, on the thread that learned of it, for wakers and callbacks run any code;
//! what goes over the network is an errand for the pool's thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pool::foreign::{self, ForeignJob, Line};
use pool::{JobError, JobOptions};
use tokio::sync::mpsc;

use super::book::{Book, Deed, Limits};
use super::entry::Entry;
use crate::functions::{Functions, Named};
use crate::wire::{self, Order, Presence, Report, Word};

/// What headers and the like take of a message.
const HEADERS: usize = 512;

/// What the pool's thread is to do.
#[derive(Debug)]
pub(super) enum Errand {
    Publish(u64, u32),
    Delete(u64),
    Drop(u64),
    Stop,
}

pub(crate) struct Hub {
    pub(super) functions: Functions,
    /// The pool's name.
    pub(super) pool: String,
    /// The client's inbox.
    pub(super) client: String,
    deadline: Option<Duration>,
    state: Mutex<State>,
    /// An agent has come, or the last job has ended.
    change: Condvar,
    errands: mpsc::UnboundedSender<Errand>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(super) struct State {
    pub(super) book: Book,
    closing: bool,
    broken: Option<String>,
    /// Whether the server can be reached.
    pub(super) up: bool,
    /// The most bytes it takes in one message.
    pub(super) most: usize,
    /// Why it does not take jobs.
    pub(super) trouble: Option<String>,
}

/// Who the hub is, and what it bears.
pub(super) struct Terms {
    pub(super) functions: Functions,
    pub(super) pool: String,
    pub(super) client: String,
    pub(super) deadline: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) most: usize,
}

impl Hub {
    pub(super) fn new(terms: Terms, errands: mpsc::UnboundedSender<Errand>) -> Hub {
        let Terms { functions, pool, client, deadline, limits, most } = terms;
        let book = Book::new(limits);
        let state = State { book, closing: false, broken: None, up: true, most, trouble: None };
        let (state, change) = (Mutex::new(state), Condvar::new());
        let thread = Mutex::new(None);
        Hub { functions, pool, client, deadline, state, change, errands, thread }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_thread(&self, thread: JoinHandle<()>) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    /// Does something with the book, and then what that brought about.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Book, &mut Vec<Deed>) -> T) -> T {
        let mut deeds = Vec::new();
        let mut state = self.lock();
        let value = act(&mut state.book, &mut deeds);
        let drained = state.closing && state.book.jobs.is_empty();
        drop(state);
        self.perform(deeds);
        if drained {
            self.change.notify_all();
            let _ = self.errands.send(Errand::Stop);
        }
        value
    }

    fn perform(&self, deeds: Vec<Deed>) {
        for deed in deeds {
            // Sending fails when the thread has ended: then there is no network to do it on.
            let _ = match deed {
                Deed::End(job, outcome) => {
                    job.finish(outcome);
                    Ok(())
                }
                Deed::Publish(id, attempt) => self.errands.send(Errand::Publish(id, attempt)),
                Deed::Delete(sequence) => self.errands.send(Errand::Delete(sequence)),
                Deed::Drop(id) => self.errands.send(Errand::Drop(id)),
            };
        }
    }

    /// Takes a job in. One that cannot be taken has ended with the reason.
    pub(super) fn submit(
        self: &Arc<Self>,
        task: &'static str,
        options: &JobOptions,
        found: Result<(&str, &Named), JobError>,
        arguments: Result<Vec<u8>, JobError>,
        items: bool,
    ) -> Arc<ForeignJob> {
        let settings = options.settings();
        let task = settings.name.unwrap_or_else(|| task.to_owned());
        let line: Arc<dyn Line> = Arc::<Self>::clone(self);
        let refuse = |id, error| {
            let job = ForeignJob::new(task.clone(), id, Arc::clone(&line));
            job.finish(Err(error));
            job
        };
        let ((function, named), arguments) = match found.and_then(|f| Ok((f, arguments?))) {
            Ok(both) => both,
            Err(error) => return refuse(0, error),
        };
        if let Err(error) = &named.function {
            return refuse(0, error.clone());
        }
        let mut state = self.lock();
        if let Some(error) = state.refusal() {
            drop(state);
            return refuse(0, error);
        }
        let id = state.book.number();
        let order = Order {
            client: self.client.clone(),
            id,
            attempt: 0,
            function: function.to_owned(),
            signature: named.signature,
            items,
            once: !named.idempotent,
            task: task.clone(),
            timeout: settings.timeout,
            retries: if items { settings.retries } else { 0 },
            priority: settings.priority,
        };
        let bytes = wire::pack(&order, &[]).len() + arguments.len() + HEADERS;
        if bytes > state.most {
            let most = state.most;
            drop(state);
            return refuse(id, foreign::unsendable(&task, too_large(bytes, most)));
        }
        let job = ForeignJob::new(task.clone(), id, Arc::clone(&line));
        let deadline = settings.deadline.or(self.deadline);
        let retries = settings.retries;
        let now = Instant::now();
        let entry = Entry::new(Arc::clone(&job), order, arguments, retries, deadline, now);
        let deed = state.book.add(entry);
        drop(state);
        self.perform(vec![deed]);
        job
    }

    /// A job's message for the queue, unless it is wanted no more.
    pub(super) fn message(&self, id: u64, attempt: u32) -> Option<(Bytes, String)> {
        let state = self.lock();
        let entry = state.book.jobs.get(&id).filter(|entry| entry.order.attempt == attempt)?;
        let name = format!("{}.{id}.{attempt}", self.client);
        Some((wire::pack(&entry.order, &entry.arguments).into(), name))
    }

    pub(super) fn report(&self, report: &Report, tail: Bytes) -> Option<Word> {
        self.with(|book, deeds| book.report(report, tail, Instant::now(), deeds))
    }

    pub(super) fn present(&self, presence: &Presence) {
        self.with(|book, deeds| book.present(presence, &self.client, Instant::now(), deeds));
        self.change.notify_all();
    }

    /// Ends jobs whose deadlines are over.
    pub(super) fn end_late(&self) {
        let note = self.lock().note(&self.pool);
        let now = Instant::now();
        self.with(|book, deeds| book.end_late(now, note.as_deref(), deeds));
    }

    /// The connection is closed for good: nothing can be run any more.
    pub(super) fn give_up(&self, reason: &str) {
        let mut state = self.lock();
        if !state.closing {
            state.broken.get_or_insert_with(|| reason.to_owned());
        }
        drop(state);
        self.with(|book, deeds| {
            let ids: Vec<u64> = book.jobs.keys().copied().collect();
            for id in ids {
                book.end(id, Err(foreign::broken(reason)), deeds);
            }
        });
    }

    /// Waits until there are so many workers.
    pub(super) fn wait_for_workers(&self, count: usize, limit: Duration) -> bool {
        let state = self.lock();
        let few = |state: &mut State| state.book.workers() < count && state.broken.is_none();
        let waited = self.change.wait_timeout_while(state, limit, few);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.book.workers() >= count
    }

    /// Takes no more jobs; see `RemotePool::shutdown`.
    pub(super) fn shutdown(&self, wait: bool, cancel_pending: bool) {
        self.lock().closing = true;
        self.with(|book, deeds| {
            let mut ids: Vec<u64> = match cancel_pending {
                true => book.jobs.keys().copied().collect(),
                false => Vec::new(),
            };
            ids.sort_unstable();
            for id in ids {
                book.cancel(id, deeds);
            }
        });
        if !wait || self.on_own_thread() {
            return;
        }
        let state = self.lock();
        let busy = |state: &mut State| !state.book.jobs.is_empty();
        drop(self.change.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join().expect("the pool's thread does not panic");
        }
    }

    /// Takes no more jobs, waits at most for `limit`, then ends what is left.
    pub(super) fn shutdown_within(&self, limit: Duration, cancel_pending: bool) -> bool {
        self.shutdown(false, cancel_pending);
        let busy = |state: &mut State| !state.book.jobs.is_empty();
        if !self.on_own_thread() {
            let waited = self.change.wait_timeout_while(self.lock(), limit, busy);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        let drained = self.lock().book.jobs.is_empty();
        self.with(|book, deeds| book.abandon(deeds));
        self.shutdown(true, true);
        drained
    }

    /// Whether the caller is the pool's thread: a callback may do anything, even drop the pool, and
    /// a thread cannot wait for itself.
    fn on_own_thread(&self) -> bool {
        let here = std::thread::current().id();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let own: Option<ThreadId> = thread.as_ref().map(|thread| thread.thread().id());
        own == Some(here)
    }
}

/// A sentence for a job that does not fit into a message.
pub(super) fn too_large(bytes: usize, most: usize) -> String {
    format!(
        "it takes {bytes} bytes, and the server takes {most} in one message (max_payload in its \
         configuration); pass where large data can be found, or raise that; of a map, set a \
         smaller chunk"
    )
}

impl State {
    fn refusal(&self) -> Option<JobError> {
        match &self.broken {
            Some(reason) => Some(foreign::broken(reason)),
            None => self.closing.then_some(JobError::PoolShutdown),
        }
    }

    /// Why a job may not have been started.
    fn note(&self, pool: &str) -> Option<String> {
        match &self.trouble {
            _ if !self.up => Some("the server cannot be reached".to_owned()),
            Some(trouble) => Some(format!("the server does not take jobs: {trouble}")),
            None if self.book.agents.is_empty() => {
                Some(format!("no agent of the pool {pool} has been heard of"))
            }
            None => None,
        }
    }
}

impl Line for Hub {
    fn cancel(&self, id: u64) -> bool {
        self.with(|book, deeds| book.cancel(id, deeds))
    }

    fn kill(&self, id: u64) -> bool {
        self.with(|book, deeds| book.kill(id, deeds))
    }
}
