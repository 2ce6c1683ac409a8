//! A shard as the code that runs on it sees it. What is done on many shards is in `everywhere.rs`.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::calls::Outcome;
use crate::error::CallError;
use crate::group::Group;
use crate::mesh::{self, Mesh};
use crate::service::{CALLS, Service};
use crate::state::States;

thread_local! {
    static CURRENT: RefCell<Option<Shard>> = const { RefCell::new(None) };
}

/// This thread's shard, and the way to the others of its group. Cheap to clone; stays on its
/// thread.
///
/// # Examples
///
/// ```
/// use shard::{Shard, Shards};
///
/// let shards = Shards::builder().cpus([0, 0, 0]).spawn(|shard: Shard| async move {
///     // Each shard asks the next one who it is.
///     let next = (shard.index() + 1) % shard.count();
///     let answer = shard.submit_to(next, || async { Shard::current().index() }).await?;
///     assert_eq!(answer, next);
///     Ok(())
/// })?;
/// shards.join()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Shard {
    index: usize,
    incarnation: u64,
    group: Arc<Group>,
    mesh: Rc<Mesh>,
    states: Rc<States>,
}

impl Shard {
    pub(crate) fn new(index: usize, incarnation: u64, group: Arc<Group>, mesh: Rc<Mesh>) -> Self {
        Shard { index, incarnation, group, mesh, states: Rc::default() }
    }

    /// The shard that runs on this thread.
    ///
    /// # Panics
    ///
    /// If this is not a thread of a shard.
    #[track_caller]
    pub fn current() -> Shard {
        Self::try_current().expect("Shard::current: no shard runs on this thread")
    }

    /// The shard that runs on this thread, if one does.
    pub fn try_current() -> Option<Shard> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Makes this the thread's shard, or none.
    pub(crate) fn set_current(shard: Option<Shard>) {
        let old = CURRENT.with(|current| current.replace(shard));
        drop(old);
    }

    /// Its number, from 0 to less than [`count`](Self::count).
    #[doc(alias = "this_shard_id")]
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many shards the group has.
    #[doc(alias = "smp::count")]
    pub fn count(&self) -> usize {
        self.group.cpus.len()
    }

    /// The CPU it is pinned to.
    pub fn cpu(&self) -> usize {
        self.group.cpus[self.index]
    }

    /// How often it was started again after a panic: 0 for the first run.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Gives this shard a state of type `T`, and returns the one it had. It is dropped with the
    /// shard's loop; one that is started again after a panic begins without.
    pub fn put<T: 'static>(&self, state: T) -> Option<T> {
        self.states.put(state)
    }

    /// Lets a closure use the shard's state of type `T`. It is there for nobody else meanwhile,
    /// and since a closure cannot wait, nobody ever finds it in use but from within.
    ///
    /// # Panics
    ///
    /// If there is none (see [`put`](Self::put)), or the closure runs within one of the same type.
    ///
    /// # Examples
    ///
    /// ```
    /// use shard::{Shard, Shards};
    ///
    /// struct Visits(u32);
    ///
    /// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
    ///     shard.put(Visits(0));
    ///     shard.invoke_on_all(|| async { Shard::current().index() }).await?; // all have begun
    ///     if shard.index() == 1 {
    ///         shard.submit_to(0, || async {
    ///             Shard::current().with(|visits: &mut Visits| visits.0 += 1)
    ///         }).await?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # shards.join()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn with<T: 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.states.with(f)
    }

    pub(crate) fn mesh(&self) -> &Rc<Mesh> {
        &self.mesh
    }

    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    /// A class of calls with a limit of its own, from
    /// [`Builder::service`](crate::Builder::service).
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    #[track_caller]
    pub fn service(&self, name: &str) -> Service {
        let index = self.group.services.iter().position(|service| service == name);
        let index = index.unwrap_or_else(|| {
            panic!("no service {name:?} in this group: give it a limit with Builder::service")
        });
        Service::new(self.clone(), index)
    }

    /// Runs a future on shard `target` and gives its result. The closure travels and makes the
    /// future there, so the future need not be `Send`; [`Shard::current`] in it is the target.
    ///
    /// At most [`Builder::calls`](crate::Builder::calls) calls from one shard to one other are
    /// under way; further ones wait here for their turn, in order, and hold nothing over there. So
    /// memory is bounded, and since answers never wait for anything, shards that flood each other
    /// cannot block each other. **Calls made from within a call** are the exception: a handler that
    /// waits for a call of its own keeps its caller's permit meanwhile. If handlers of two shards
    /// call each other, and more are under way than the limit, all may wait in a circle; let
    /// handlers call in one direction only, do the second call from the first caller, or make it
    /// through a [service](Self::service) with permits of its own.
    ///
    /// A call of the own shard runs as a task here, and counts for no limit.
    ///
    /// # Errors
    ///
    /// [`CallError::Panicked`] if the closure or its future panics, [`CallError::Stopped`] if the
    /// target has stopped or stops before the call is done.
    ///
    /// # Panics
    ///
    /// If there is no shard `target`.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped before its turn, nothing was sent. Dropped later, the call's task over there
    /// is asked to end, as by [`Task::cancel`](uring_loop::Task::cancel): what it had begun may be
    /// done or not, and its result is lost. A call that must not be stopped half way goes into a
    /// task of its own there, or under [`catch_cancel`](uring_loop::catch_cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// use shard::{Shard, Shards};
    ///
    /// let shards = Shards::builder().cpus([0, 0]).spawn(|shard| async move {
    ///     let next = (shard.index() + 1) % shard.count();
    ///     let answer = shard.submit_to(next, || async { Shard::current().index() * 10 }).await?;
    ///     Ok(answer)
    /// })?;
    /// let answers: Vec<_> = shards.join()?.into_iter().filter_map(|end| end.returned()).collect();
    /// assert_eq!(answers, [10, 0]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn submit_to<C, F>(
        &self,
        target: usize,
        make: C,
    ) -> impl Future<Output = Result<F::Output, CallError>> + use<C, F>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.submit(CALLS, target, make)
    }

    /// The same, by the permits of a service.
    #[track_caller]
    pub(crate) fn submit<C, F>(
        &self,
        service: usize,
        target: usize,
        make: C,
    ) -> impl Future<Output = Result<F::Output, CallError>> + use<C, F>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let count = self.count();
        assert!(target < count, "submit_to({target}): this group has only {count} shards");
        let (mesh, here) = (self.mesh.clone(), target == self.index);
        async move {
            let outcome = match here {
                true => mesh::call_here(make).await,
                false => mesh.call(service, target, make).await,
            };
            match outcome {
                Outcome::Value(value) => {
                    Ok(*value.downcast().expect("an answer has the type its call gives"))
                }
                failed => Err(failed.into_error(target)),
            }
        }
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Asks all services of the group to end, this one too, and to do so within `patience`; what
    /// has not ended then is aborted. Returns at once.
    pub fn stop(&self, patience: Duration) {
        self.group.stop(patience);
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shard({} of {}, CPU {})", self.index, self.count(), self.cpu())
    }
}
