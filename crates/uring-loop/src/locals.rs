//! Task-locals: values that belong to a task and go on to the tasks and callbacks it starts.
//!
//! asyncio's contextvars (PEP 567). A task starts with what its parent has at that moment; what it
//! sets later is its own. A callback, of a task or a promise that is done too, has what was there
//! when it was asked for. The values lie in a list that parent and child share until one of them
//! changes it.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context;
use crate::task::raw::Header;
use crate::task::state::flags;
use crate::turn::Core;

/// Declares task-locals: each a `static` of type [`LocalKey`], with or without a value for tasks
/// that have set none.
///
/// # Examples
///
/// ```
/// uring_loop::task_local! {
///     /// Who asks.
///     static USER: String;
///     static DEPTH: u32 = 0;
/// }
///
/// uring_loop::run(async {
///     USER.set("ann".to_owned());
///     let child = uring_loop::spawn(async {
///         DEPTH.set(DEPTH.get() + 1); // its own from here on
///         format!("{} at depth {}", USER.get(), DEPTH.get())
///     });
///     assert_eq!(child.await.unwrap(), "ann at depth 1");
///     assert_eq!(DEPTH.get(), 0);
/// })
/// # .unwrap();
/// ```
#[doc(alias = "contextvars")]
#[doc(alias = "ContextVar")]
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $init:expr; $($rest:tt)*) => {
        $(#[$meta])*
        $vis static $name: $crate::LocalKey<$type> =
            $crate::LocalKey::new(stringify!($name), Some(|| $init));
        $crate::task_local!($($rest)*);
    };
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty; $($rest:tt)*) => {
        $(#[$meta])*
        $vis static $name: $crate::LocalKey<$type> =
            $crate::LocalKey::new(stringify!($name), None);
        $crate::task_local!($($rest)*);
    };
}

/// A task-local; declared by [`task_local!`](crate::task_local).
pub struct LocalKey<T: 'static> {
    name: &'static str,
    init: Option<fn() -> T>,
}

/// The values of a task: shared with the tasks it started, until one of them sets one.
#[derive(Clone, Default)]
pub(crate) struct Locals(Option<Rc<Vec<Value>>>);

#[derive(Clone)]
struct Value {
    /// Address of the key, which is a `static`.
    key: usize,
    value: Rc<dyn Any>,
}

impl Locals {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Those of the running task, as they are now.
    pub(crate) fn current() -> Self {
        if !context::task_has_extras() {
            return Locals::default();
        }
        let look = |core: &Core, task: &Header| {
            core.tasks.extras.look(task, |extras| extras.locals.clone())
        };
        context::with_task(look).flatten().unwrap_or_default()
    }

    /// Gives them to a task in the place of those it has.
    pub(crate) fn give_to(self, core: &Core, task: &Header) {
        if !self.is_empty() || task.has(flags::EXTRAS) {
            // The old ones are dropped outside of the borrow: they may be anything.
            let _old =
                core.tasks.extras.edit(task, |extras| std::mem::replace(&mut extras.locals, self));
        }
    }

    fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        let values = self.0.as_ref()?;
        values.iter().find(|value| value.key == key).map(|value| value.value.clone())
    }

    /// Sets a value, or removes it; gives the old one.
    fn replace(&mut self, key: usize, new: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        let values = Rc::make_mut(self.0.get_or_insert_default());
        let at = values.iter().position(|value| value.key == key);
        match (at, new) {
            (Some(at), Some(new)) => Some(std::mem::replace(&mut values[at].value, new)),
            (Some(at), None) => Some(values.remove(at).value),
            (None, Some(value)) => {
                values.push(Value { key, value });
                None
            }
            (None, None) => None,
        }
    }
}

/// While it lives, the running task has these values, and what it makes of them is kept for the
/// next: the main tasks of a runner, one after the other.
pub(crate) struct Lent<'a>(&'a RefCell<Locals>);

impl<'a> Lent<'a> {
    pub(crate) fn new(home: &'a RefCell<Locals>) -> Self {
        let locals = home.take();
        context::with_task(|core, task| locals.give_to(core, task));
        Lent(home)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !mutant!("a-run-forgets-its-task-locals") {
            self.0.replace(Locals::current());
        }
    }
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(name: &'static str, init: Option<fn() -> T>) -> Self {
        LocalKey { name, init }
    }

    fn address(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }

    fn look(&'static self) -> Option<Rc<dyn Any>> {
        context::with_task(|core, task| {
            core.tasks.extras.look(task, |extras| extras.locals.get(self.address())).flatten()
        })
        .flatten()
    }

    /// Sets or removes the value of the running task; gives the old one.
    #[track_caller]
    fn exchange(&'static self, new: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        let replaced = context::with_task(|core, task| {
            core.tasks.extras.edit(task, |extras| extras.locals.replace(self.address(), new))
        });
        let why = "a task-local is set by a task or a callback, while it runs";
        replaced.unwrap_or_else(|| panic!("{}: {why}", self.name))
    }

    /// Lends the task's value to `f`: what it or the nearest of its parents has set, or the initial
    /// value. `None`: there is neither.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        match self.look() {
            Some(value) => value.downcast_ref().map(f),
            None => self.init.map(|init| f(&init())),
        }
    }

    /// Lends the task's value to `f`. See [`try_with`](Self::try_with).
    ///
    /// # Panics
    ///
    /// If nothing was set and there is no initial value.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Some(result) => result,
            None => panic!("{} was not set in this task, and has no initial value", self.name),
        }
    }

    /// The task's value. See [`with`](Self::with).
    ///
    /// # Panics
    ///
    /// If nothing was set and there is no initial value.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Sets the value of the running task, for it and for all that it starts from here on.
    ///
    /// # Panics
    ///
    /// If no task or callback is running.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        // The old value is dropped here, outside of any borrow: it may be anything.
        let _old = self.exchange(Some(Rc::new(value)));
    }

    /// Runs `future` with this value; before and after, and while it waits, the task has its own.
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    ///
    /// # Examples
    ///
    /// ```
    /// uring_loop::task_local! { static USER: &'static str = "nobody"; }
    ///
    /// uring_loop::run(async {
    ///     assert_eq!(USER.scope("ann", async { USER.get() }).await, "ann");
    ///     assert_eq!(USER.get(), "nobody");
    /// })
    /// # .unwrap();
    /// ```
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scoped<T, F> {
        Scoped { future, key: self, inside: Some(Rc::new(value)) }
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} task-locals", self.0.as_ref().map_or(0, |values| values.len()))
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKey({})", self.name)
    }
}

pin_project! {
    /// Future of [`LocalKey::scope`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scoped<T: 'static, F> {
        #[pin]
        future: F,
        key: &'static LocalKey<T>,
        // The value as the future left it; gone while it is polled.
        inside: Option<Rc<dyn Any>>,
    }
}

impl<T, F: Future> Future for Scoped<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let outside = this.key.exchange(this.inside.take());
        let _restore = Restore { key: this.key, outside, inside: this.inside };
        this.future.poll(cx)
    }
}

/// Puts the value from outside back, on unwinding too, and keeps the one from inside.
struct Restore<'a, T: 'static> {
    key: &'static LocalKey<T>,
    outside: Option<Rc<dyn Any>>,
    inside: &'a mut Option<Rc<dyn Any>>,
}

impl<T> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        *self.inside = self.key.exchange(self.outside.take());
    }
}

impl<T, F> fmt::Debug for Scoped<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("key", self.key).finish_non_exhaustive()
    }
}
