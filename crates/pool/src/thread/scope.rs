//! Scoped jobs: they may borrow what outlives the scope.
//!
//! # Life
//!
//! A scoped job is an ordinary job of the pool whose closure had its lifetime taken away. What
//! makes that sound is `scope`, which does not return, nor unwind, before every such closure is
//! gone, run or dropped: each holds a `Pass`, its last field to be dropped, and `scope` waits until
//! all passes have been given back. Where the closure goes meanwhile (queue, another thread, a
//! refusal) does not matter, nor whether handles are forgotten: the result lies in a place of its
//! own, which the handle shares with the closure and which cannot be reached when the handle's
//! lifetime is over.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::ThreadPool;
use crate::error::JobError;
use crate::job::{Backing, Job, JobState};

/// Gives jobs that borrow to a thread pool; made by [`ThreadPool::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    pool: &'scope ThreadPool,
    gate: Arc<Gate>,
    /// The jobs of the scope, if it was opened on a worker of its pool: that runs those nobody has
    /// started when it leaves, for all workers may be leaving a scope like this one.
    own: Option<&'scope Own>,
    // Invariant in both, as in std: neither may be made longer or shorter.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Jobs of a scope.
type Own = Mutex<Vec<Arc<dyn Backing<()>>>>;

/// A job that borrows; made by [`Scope::spawn`].
#[must_use = "a dropped job still runs, but its result and its error are lost"]
pub struct ScopedJob<'scope, R> {
    job: Job<()>,
    place: Arc<Mutex<Option<R>>>,
    scope: PhantomData<&'scope ()>,
}

/// Counts the passes that are out.
#[derive(Debug, Default)]
struct Gate {
    out: Mutex<usize>,
    last: Condvar,
}

/// Held by a closure as long as it is there.
struct Pass(Arc<Gate>);

impl Gate {
    fn pass(self: &Arc<Self>) -> Pass {
        *self.out.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Pass(Arc::clone(self))
    }

    fn wait(&self) {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.last.wait_while(out, |out| *out > 0).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        *out -= 1;
        if *out == 0 {
            self.0.last.notify_all();
        }
    }
}

/// A closure with its pass. Fields are dropped in their order: the pass goes last.
struct Work<'scope, R> {
    f: Option<Box<dyn FnOnce() -> R + Send + 'scope>>,
    place: Arc<Mutex<Option<R>>>,
    _pass: Pass,
}

impl<R: Send> Work<'_, R> {
    fn run(mut self) {
        if let Some(f) = self.f.take() {
            let result = f();
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    }
}

impl ThreadPool {
    /// Runs `body` with a [`Scope`] whose jobs may borrow what is outside, and returns when all of
    /// them have ended.
    ///
    /// On a worker of this very pool, jobs of the scope that no other worker has started are run
    /// here, at the latest when `body` has returned.
    ///
    /// # Panics
    ///
    /// If `body` panics; also then after all jobs have ended. A job's panic is its handle's error.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::ThreadPool::new();
    /// let words = vec!["a", "scope", "may", "borrow"];
    /// let (front, back) = words.split_at(2);
    /// let letters = pool.scope(|scope| {
    ///     let front = scope.spawn(|| front.concat().len());
    ///     let back = scope.spawn(|| back.concat().len());
    ///     front.wait().unwrap() + back.wait().unwrap()
    /// });
    /// assert_eq!(letters, 15);
    /// ```
    pub fn scope<'env, T>(&self, body: impl for<'scope> FnOnce(&Scope<'scope, 'env>) -> T) -> T {
        struct Leave<'a>(&'a Gate, &'a Own);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                let own =
                    std::mem::take(&mut *self.1.lock().unwrap_or_else(PoisonError::into_inner));
                for job in own {
                    job.help();
                }
                self.0.wait();
            }
        }
        let (gate, jobs) = (Arc::new(Gate::default()), Mutex::default());
        let _leave = Leave(&gate, &jobs);
        let own = (super::current_pool() == Some(self.crew.id)).then_some(&jobs);
        let gate = Arc::clone(&gate);
        body(&Scope { pool: self, gate, own, scope: PhantomData, env: PhantomData })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Gives a closure to the pool.
    pub fn spawn<F, R>(&self, f: F) -> ScopedJob<'scope, R>
    where
        F: FnOnce() -> R + Send + 'scope,
        R: Send + 'scope,
    {
        let place = Arc::new(Mutex::new(None));
        let work =
            Work { f: Some(Box::new(f)), place: Arc::clone(&place), _pass: self.gate.pass() };
        let work: Box<dyn FnOnce() + Send + 'scope> = Box::new(move || work.run());
        // SAFETY: the two types differ in a lifetime only. The closure is not used or dropped after
        // `'scope` ends: `scope` waits until its pass is given back, which is the last thing its
        // running or dropping does (see the top of the file).
        let work = unsafe {
            std::mem::transmute::<
                Box<dyn FnOnce() + Send + 'scope>,
                Box<dyn FnOnce() + Send + 'static>,
            >(work)
        };
        let job = self.pool.spawn(work);
        if let Some(own) = self.own {
            own.lock().unwrap_or_else(PoisonError::into_inner).push(job.share_backing());
        }
        ScopedJob { job, place, scope: PhantomData }
    }
}

impl<R> ScopedJob<'_, R> {
    /// Waits until the job has ended, and gives its result; see [`Job::wait`].
    ///
    /// # Errors
    ///
    /// The job's own fate, see [`JobError`].
    pub fn wait(self) -> Result<R, JobError> {
        self.job.wait()?;
        let result = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(result.expect("a job that went well has left its result"))
    }

    /// Cancels the job if no worker has started it; see [`Job::cancel`].
    pub fn cancel(&self) -> bool {
        self.job.cancel()
    }

    /// Where the job is in its life.
    pub fn state(&self) -> JobState {
        self.job.state()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for ScopedJob<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJob").field("state", &self.state()).finish()
    }
}
