//! Cancellation: a request that a task can see, take and answer, and the scopes that route it.
//!
//! The rules are in `docs/CANCELLATION.md`; in short: a request has an *origin* (a task, a
//! [`timeout`](crate::time::timeout)); it goes to the innermost *catchers*
//! ([`catch_cancel`], an awaited [`Task`](crate::Task)) below its origin, and where there is none
//! the origin drops its future.
//!
//! # Life story of a [`Link`] and a [`Scope`]
//!
//! Scopes form a tree: the parent of a scope is the scope that is being polled when it is polled.
//! *loose*: not in the tree; before the first poll, after completion, after its parent went away.
//! *attached*: in its parent's list of children, its parent and its neighbours point to it. It
//! is pinned (it lies in a pinned future, or in a task's header), and it detaches itself when it
//! completes or is dropped. A scope that goes away while it has children makes them loose; a child
//! that is polled under another parent moves there.
//!
//! A link that was asked (`requested`) and goes away without having answered gives the request
//! back to its origin, which asks again when its future next parks.
//!
//! Everything here lives on one thread.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem::offset_of;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context;
use crate::task::raw::Header;
use crate::wake::LocalWaker;

/// Identifies the origin of a request among those above a scope. 0 is the task itself.
pub(crate) type Origin = u32;

/// The task as an origin.
pub(crate) const TASK: Origin = 0;

/// The head of a list of links: what a scope and a task have below them.
#[derive(Debug)]
pub(crate) struct Children(Cell<*const Link>);

impl Children {
    pub(crate) const fn new() -> Self {
        Children(Cell::new(ptr::null()))
    }

    /// Asks the innermost catchers below. `false`: there is none.
    ///
    /// Wakers are collected and woken at the end, since a foreign waker may do anything.
    pub(crate) fn request(&self, origin: Origin) -> bool {
        let mut wakers = Vec::new();
        let any = self.mark(origin, &mut wakers);
        wakers.into_iter().for_each(LocalWaker::wake);
        any
    }

    fn mark(&self, origin: Origin, wakers: &mut Vec<LocalWaker>) -> bool {
        let mut any = false;
        let mut at = self.0.get();
        // SAFETY: a link in the list is attached, hence pinned and alive (life story); no foreign
        // code runs during the walk.
        while let Some(link) = unsafe { at.as_ref() } {
            let below = Link::scope(at).is_some_and(|scope| scope.children.mark(origin, wakers));
            if !below && link.kind != LinkKind::Origin {
                link.ask(origin);
                wakers.extend(link.waker.take());
            }
            any |= below || link.kind != LinkKind::Origin;
            at = link.next.get();
        }
        any
    }

    /// Takes the requests back that no catcher has heard, although the task has parked: those
    /// catchers are kept somewhere and polled by nobody. They become loose, and their origins ask
    /// the others.
    pub(crate) fn give_back_unheard(&self) {
        while let Some(link) = self.unheard() {
            // SAFETY: as in `mark`.
            unsafe { &*link }.detach();
        }
    }

    fn unheard(&self) -> Option<*const Link> {
        let mut at = self.0.get();
        // SAFETY: as in `mark`.
        while let Some(link) = unsafe { at.as_ref() } {
            if link.requested.get() {
                return Some(at);
            }
            let below = Link::scope(at).and_then(|scope| scope.children.unheard());
            if below.is_some() {
                return below;
            }
            at = link.next.get();
        }
        None
    }

    /// Makes every child loose, because its parent goes away.
    pub(crate) fn let_go(&self) {
        let mut at = self.0.replace(ptr::null());
        // SAFETY: as in `mark`.
        while let Some(link) = unsafe { at.as_ref() } {
            at = link.next.replace(ptr::null());
            link.prev.set(ptr::null());
            link.parent.set(ScopeRef::NONE);
        }
    }
}

/// Where a link hangs: a scope, a task's root, or nowhere.
///
/// A pointer to the parent's [`Children`]; the lowest bit says that it is a task's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ScopeRef(*const Children);

enum Parent<'a> {
    None,
    Scope(&'a Scope),
    Task(&'a Header),
}

impl ScopeRef {
    pub(crate) const NONE: ScopeRef = ScopeRef(ptr::null());

    pub(crate) fn task(header: &Header) -> Self {
        ScopeRef((&raw const header.children).map_addr(|address| address | 1))
    }

    fn children<'a>(self) -> Option<&'a Children> {
        // SAFETY: a reference to a parent is kept only while the parent lives: it clears those
        // of its children when it goes, and the context's when its poll ends.
        unsafe { self.0.map_addr(|address| address & !1).as_ref() }
    }

    fn parent<'a>(self) -> Parent<'a> {
        let pointer = self.0.map_addr(|address| address & !1);
        if pointer.is_null() {
            Parent::None
        } else if self.0.addr() & 1 == 1 {
            // SAFETY: tagged, so it is the `children` field of a live header (`ScopeRef::task`).
            Parent::Task(unsafe { &*pointer.byte_sub(offset_of!(Header, children)).cast() })
        } else {
            // SAFETY: not tagged, so it is the first field of a live scope (`Scope::reference`).
            Parent::Scope(unsafe { &*pointer.cast() })
        }
    }
}

/// What a link does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkKind {
    /// Takes it.
    Catcher,
    /// Takes it, and hands it to the task it awaits.
    Join,
    /// Lets it through to what is below, and is itself an origin.
    Origin,
}

/// A place in the tree.
pub(crate) struct Link {
    parent: Cell<ScopeRef>,
    prev: Cell<*const Link>,
    next: Cell<*const Link>,
    /// Whom to wake when asked.
    pub(crate) waker: Cell<Option<LocalWaker>>,
    origin: Cell<Origin>,
    requested: Cell<bool>,
    kind: LinkKind,
}

impl Link {
    pub(crate) const fn new(kind: LinkKind) -> Self {
        Link {
            parent: Cell::new(ScopeRef::NONE),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            waker: Cell::new(None),
            origin: Cell::new(TASK),
            requested: Cell::new(false),
            kind,
        }
    }

    /// The scope that the link at `this` belongs to, if it can have children.
    fn scope<'a>(this: *const Link) -> Option<&'a Scope> {
        // SAFETY: a pointer in the tree is to a live link.
        let kind = unsafe { &*this }.kind;
        // SAFETY: links of these kinds exist only as the `link` field of a `Scope`, and pointers
        // in the tree were made by `Scope::enter` from the whole scope.
        (kind != LinkKind::Join)
            .then(|| unsafe { &*this.byte_sub(offset_of!(Scope, link)).cast::<Scope>() })
    }

    /// Hangs this link under `parent`, if it doesn't hang there already.
    ///
    /// # Safety
    ///
    /// The link (and its scope) is pinned and is detached before it is freed. `this` may be used
    /// for the whole scope, if it has one.
    pub(crate) unsafe fn attach(this: *const Link, parent: ScopeRef) {
        // SAFETY: the caller's promise.
        let link = unsafe { &*this };
        if link.parent.get() == parent {
            return;
        }
        link.unlink();
        link.parent.set(parent);
        if let Some(children) = parent.children() {
            let first = children.0.replace(this);
            link.next.set(first);
            // SAFETY: links in the list are alive.
            if let Some(first) = unsafe { first.as_ref() } {
                first.prev.set(this);
            }
        }
    }

    fn unlink(&self) {
        let (prev, next) = (self.prev.replace(ptr::null()), self.next.replace(ptr::null()));
        // SAFETY: neighbours in the list are alive.
        if let Some(next) = unsafe { next.as_ref() } {
            next.prev.set(prev);
        }
        // SAFETY: as above.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => {
                if let Some(children) = self.parent.get().children() {
                    children.0.set(next);
                }
            }
        }
        self.parent.set(ScopeRef::NONE);
    }

    /// Leaves the tree. A request not answered goes back to its origin.
    pub(crate) fn detach(&self) {
        if self.requested.replace(false) {
            self.give_back();
        }
        if self.parent.get() != ScopeRef::NONE {
            self.unlink();
        }
    }

    fn give_back(&self) {
        let mut at = self.parent.get();
        loop {
            match at.parent() {
                Parent::None => return,
                Parent::Task(task) => return task.ask_again(),
                Parent::Scope(scope) if scope.is_origin(self.origin.get()) => {
                    scope.again.set(true);
                    if let Some(waker) = scope.link.waker.take() {
                        waker.wake();
                    }
                    return;
                }
                Parent::Scope(scope) => at = scope.link.parent.get(),
            }
        }
    }

    /// Notes a request; of two that were not answered yet the outer one counts.
    fn ask(&self, origin: Origin) {
        let old = self.origin.replace(origin);
        if self.requested.replace(true) && old != origin {
            self.origin.set(self.outer(old, origin));
        }
    }

    fn outer(&self, one: Origin, other: Origin) -> Origin {
        let mut at = self.parent.get();
        while let Parent::Scope(scope) = at.parent() {
            if scope.is_origin(one) {
                return other;
            }
            if scope.is_origin(other) {
                return one;
            }
            at = scope.link.parent.get();
        }
        TASK
    }

    /// The origin of the last request.
    pub(crate) fn origin(&self) -> Origin {
        self.origin.get()
    }

    /// Takes the request, if there is one.
    pub(crate) fn take_request(&self) -> Option<Cancelled> {
        self.requested.replace(false).then(|| Cancelled { origin: self.origin.get() })
    }

    /// Replaces the waker unless it would wake the same task.
    pub(crate) fn set_waker(&self, waker: &std::task::Waker) {
        let old = self.waker.take();
        self.waker.set(Some(match old {
            Some(old) if old.will_wake(waker) => old,
            _ => LocalWaker::new(waker),
        }));
    }
}

/// A link that can have children: a catcher or an origin.
#[repr(C)]
pub(crate) struct Scope {
    children: Children,
    link: Link,
    /// As an origin; 0 for catchers, which are none.
    id: Cell<Origin>,
    /// Ask again at the next park: a catcher went away without an answer.
    again: Cell<bool>,
    /// A catcher below handed the request outward as far as here.
    handed: Cell<bool>,
}

impl Scope {
    pub(crate) const fn new(kind: LinkKind) -> Self {
        Scope {
            children: Children::new(),
            link: Link::new(kind),
            id: Cell::new(TASK),
            again: Cell::new(false),
            handed: Cell::new(false),
        }
    }

    fn reference(self: Pin<&Self>) -> ScopeRef {
        ScopeRef(ptr::from_ref(self.get_ref()).cast())
    }

    /// Takes its place under the scope being polled, and becomes the scope being polled itself
    /// until the guard is dropped.
    pub(crate) fn enter(self: Pin<&Self>) -> context::EnteredScope {
        let this = ptr::from_ref(self.get_ref());
        // SAFETY: pinned; `Scope::drop` detaches it; the pointer covers the whole scope.
        unsafe { Link::attach(this.byte_add(offset_of!(Scope, link)).cast(), context::scope()) };
        context::enter_scope(self.reference())
    }

    /// Leaves the tree.
    pub(crate) fn leave(&self) {
        self.link.detach();
    }

    /// As an origin: asks the catchers below. `false`: there is none, drop the future.
    pub(crate) fn request(&self) -> bool {
        if self.id.get() == TASK {
            self.id.set(context::core("a cancel scope", crate::turn::Core::next_origin));
        }
        let any = self.children.request(self.id.get());
        if any {
            self.note_asked();
        }
        any
    }

    /// Whether this scope made the requests of `origin`. Catchers, and timeouts that never asked,
    /// have the id of the task and are none.
    fn is_origin(&self, origin: Origin) -> bool {
        origin != TASK && self.id.get() == origin
    }

    fn note_asked(&self) {
        let mut at = self.link.parent.get();
        while let Parent::Scope(scope) = at.parent() {
            at = scope.link.parent.get();
        }
        if let Parent::Task(task) = at.parent() {
            task.note_asked();
        }
    }

    /// As an origin: whom to wake when the request comes back.
    pub(crate) fn set_waker(&self, waker: &std::task::Waker) {
        self.link.set_waker(waker);
    }

    /// As an origin, after the inner future has parked: whether it must be dropped, because the
    /// request came back, or came back and finds nobody.
    pub(crate) fn must_drop(&self) -> bool {
        self.handed.get() || (self.again.replace(false) && !self.request())
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.children.let_go();
        self.link.detach();
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("kind", &self.link.kind)
            .field("requested", &self.link.requested.get())
            .finish_non_exhaustive()
    }
}

/// What [`catch_cancel`] gives when the request reached it.
///
/// It stands for a duty: the task was asked to end. Clean up, then hand it outward with
/// [`propagate`](Cancelled::propagate); or swallow it by just going on.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request to end was taken: propagate it, or decide to go on"]
pub struct Cancelled {
    origin: Origin,
}

impl Cancelled {
    /// For a task that was cancelled as a whole.
    pub(crate) const fn of_task() -> Self {
        Cancelled { origin: TASK }
    }

    /// Hands the request to the next catcher outside, or to its origin, which then drops its
    /// future. Never returns.
    ///
    /// # Cancel safety
    ///
    /// Strict: the request is handed on at the first poll; after that there is nothing to lose.
    pub async fn propagate(self) -> std::convert::Infallible {
        hand_outward(self.origin);
        std::future::pending().await
    }
}

/// Marks the next catcher above the scope being polled, or the origin itself. No wake is needed:
/// both are being polled, and look when the inner future parks.
pub(crate) fn hand_outward(origin: Origin) {
    let mut at = context::scope();
    loop {
        match at.parent() {
            Parent::None => return,
            Parent::Task(task) => return task.drop_after_poll(),
            Parent::Scope(scope) => {
                if scope.is_origin(origin) {
                    return scope.handed.set(true);
                }
                if scope.link.kind == LinkKind::Catcher {
                    return scope.link.ask(origin);
                }
                at = scope.link.parent.get();
            }
        }
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        io::Error::new(io::ErrorKind::Interrupted, cancelled)
    }
}

/// Whether the origin of a request stands above the scope being polled. One that has ended can't
/// take anything back.
pub(crate) fn is_above(origin: Origin) -> bool {
    let mut at = context::scope();
    while let Parent::Scope(scope) = at.parent() {
        if scope.is_origin(origin) {
            return true;
        }
        at = scope.link.parent.get();
    }
    origin == TASK
}

pin_project! {
    /// Future of [`catch_cancel`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancel<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        scope: Scope,
    }
}

/// Runs `future`; a cancel request that arrives meanwhile drops it and is given to the caller.
///
/// Ready wins: if `future` completes in the very poll in which the request would be taken, its
/// value is returned, and the request waits for the next park of the task.
///
/// # Cancel safety
///
/// That of `future`: it is dropped where it waits.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::{catch_cancel, spawn, time::sleep, yield_now};
///
/// uring_loop::run(async {
///     let task = spawn(async {
///         match catch_cancel(sleep(Duration::from_secs(3600))).await {
///             Ok(()) => "slept",
///             Err(_cancelled) => {
///                 sleep(Duration::from_millis(1)).await; // cleaning up may wait
///                 "cleaned up"
///             }
///         }
///     });
///     yield_now().await; // it sleeps now
///     task.cancel();
///     assert_eq!(task.await.unwrap(), "cleaned up");
/// })
/// # .unwrap();
/// ```
pub fn catch_cancel<F: Future>(future: F) -> CatchCancel<F> {
    CatchCancel { inner: Some(future), scope: Scope::new(LinkKind::Catcher) }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let scope = this.scope.as_ref();
        let polled = {
            let _entered = scope.enter();
            let inner = this.inner.as_mut().as_pin_mut();
            inner.expect("a CatchCancel is not polled after it was ready").poll(cx)
        };
        if let Poll::Ready(value) = polled {
            scope.leave();
            this.inner.set(None);
            return Poll::Ready(Ok(value));
        }
        if let Some(cancelled) = scope.link.take_request() {
            {
                let _entered = scope.enter();
                this.inner.set(None);
            }
            scope.leave();
            return Poll::Ready(Err(cancelled));
        }
        scope.link.set_waker(cx.waker());
        Poll::Pending
    }
}
