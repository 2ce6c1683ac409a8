//! The tree of scopes: who is polled by whom.
//!
//! # Life story of a [`Link`] and a [`Scope`]
//!
//! The parent of a scope is the scope that is being polled when it is polled itself.
//! *loose*: not in the tree; before the first poll, after completion, after its parent went away.
//! *attached*: in its parent's list of children, its parent and its neighbours point to it. It
//! is pinned (it lies in a pinned future, or in a task's header), and it detaches itself when it
//! completes or is dropped. A scope that goes away while it has children makes them loose; a child
//! that is polled under another parent moves there.
//!
//! A link that was asked (`requested`) and leaves its place without having answered gives the
//! request back: `request.rs`.

use std::cell::Cell;
use std::mem::{self, offset_of};
use std::ptr;

use super::{Origin, Scope, TASK};
use crate::task::raw::Header;
use crate::wake::LocalWaker;

/// The head of a list of links: what a scope and a task have below them.
#[derive(Debug)]
pub(crate) struct Children(Cell<*const Link>);

impl Children {
    pub(crate) const fn new() -> Self {
        Children(Cell::new(ptr::null()))
    }

    /// Calls `f` for each place in the list. It may take that one out, and no other, and runs no
    /// foreign code: wakers are collected.
    pub(super) fn for_each(&self, mut f: impl FnMut(Place<'_>)) {
        let mut at = self.0.get();
        // SAFETY: a link in the list is attached, hence pinned and alive (life story). `f` frees
        // nothing, so the next one is still there after it.
        while let Some(link) = unsafe { at.as_ref() } {
            let here = Place { whole: at, link };
            at = link.next.get();
            f(here);
        }
    }

    /// Makes every child loose, because its parent goes away.
    pub(crate) fn let_go(&self) {
        self.for_each(|place| place.link.unlink());
    }
}

/// A link that was met in the tree.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// From the whole scope, if the link belongs to one.
    whole: *const Link,
    pub(super) link: &'a Link,
}

impl<'a> Place<'a> {
    /// The scope that the link belongs to, if it can have children.
    pub(super) fn scope(self) -> Option<&'a Scope> {
        // SAFETY: links of the other kinds exist only as the `link` field of a `Scope`, and
        // pointers in the tree were made by `Scope::attach` from the whole scope.
        (self.link.kind != LinkKind::Join)
            .then(|| unsafe { &*self.whole.byte_sub(offset_of!(Scope, link)).cast::<Scope>() })
    }
}

/// Where a link hangs: a scope, a task's root, or nowhere.
///
/// A pointer to the parent's [`Children`]; the lowest bit says that it is a task's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ScopeRef(*const Children);

pub(super) enum Parent<'a> {
    None,
    Scope(&'a Scope),
    Task(&'a Header),
}

impl ScopeRef {
    pub(crate) const NONE: ScopeRef = ScopeRef(ptr::null());

    pub(crate) fn task(header: &Header) -> Self {
        ScopeRef((&raw const header.children).map_addr(|address| address | 1))
    }

    pub(super) fn scope(scope: *const Scope) -> Self {
        ScopeRef(scope.cast())
    }

    fn children<'a>(self) -> Option<&'a Children> {
        // SAFETY: a reference to a parent is kept only while the parent lives: it clears those
        // of its children when it goes, and the context's when its poll ends.
        unsafe { self.0.map_addr(|address| address & !1).as_ref() }
    }

    pub(super) fn parent<'a>(self) -> Parent<'a> {
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

    /// The task at the root, if there is one.
    pub(super) fn root<'a>(self) -> Option<&'a Header> {
        let mut at = self;
        loop {
            match at.parent() {
                Parent::None => return None,
                Parent::Task(task) => return Some(task),
                Parent::Scope(scope) => at = scope.link.parent.get(),
            }
        }
    }
}

/// What a link does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkKind {
    /// Takes it, and hands it to the task it awaits.
    Join,
    /// Takes it, unless something below does.
    Catcher,
    /// Lets it through to what is below, and is itself an origin.
    Origin,
    /// Lets it through to its branches. Its children are branches, all of them.
    Combinator,
    /// Takes it only if nothing below does, but something in another branch.
    Branch,
}

/// A place in the tree.
pub(crate) struct Link {
    pub(super) parent: Cell<ScopeRef>,
    prev: Cell<*const Link>,
    next: Cell<*const Link>,
    /// Whom to wake when asked.
    pub(crate) waker: Cell<Option<LocalWaker>>,
    pub(super) origin: Cell<Origin>,
    pub(super) requested: Cell<bool>,
    /// A request was handed to the awaited task, which has not ended yet.
    forwarded: Cell<bool>,
    /// The request is on its way back for good: it is made anew whoever else has it in hand.
    pub(super) insists: Cell<bool>,
    pub(super) kind: LinkKind,
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
            forwarded: Cell::new(false),
            insists: Cell::new(false),
            kind,
        }
    }

    /// Hangs this link under `parent`, if it doesn't hang there already.
    ///
    /// # Safety
    ///
    /// The link (and its scope) is pinned and is detached before it is freed. `this` may be used
    /// for the whole scope, if it has one.
    #[inline]
    pub(crate) unsafe fn attach(this: *const Link, parent: ScopeRef) {
        // SAFETY: the caller's promise.
        let link = unsafe { &*this };
        if link.parent.get() == parent {
            return;
        }
        link.detach();
        link.parent.set(parent);
        if let Some(children) = parent.children() {
            let first = children.0.replace(this);
            link.prev.set(ptr::null());
            link.next.set(first);
            // SAFETY: links in the list are alive.
            if let Some(first) = unsafe { first.as_ref() } {
                first.prev.set(this);
            }
        }
    }

    /// The task whose future it hangs in.
    pub(crate) fn task_above(&self) -> Option<&Header> {
        self.parent.get().root()
    }

    /// Whether it was asked and has not answered.
    pub(crate) fn is_asked(&self) -> bool {
        self.requested.get()
    }

    /// Notes whether a request was forwarded, and tells whether one had been.
    pub(crate) fn forward(&self, forwarded: bool) -> bool {
        self.forwarded.replace(forwarded)
    }

    pub(crate) fn has_forwarded(&self) -> bool {
        self.forwarded.get()
    }

    /// Whether it hangs under `parent`.
    pub(crate) fn is_under(&self, parent: ScopeRef) -> bool {
        self.parent.get() == parent
    }

    #[inline]
    pub(super) fn unlink(&self) {
        // They stay as they are: `attach` writes both.
        let (prev, next) = (self.prev.get(), self.next.get());
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

    /// Leaves the tree. A request not answered is given back.
    #[inline]
    pub(crate) fn detach(&self) {
        if self.parent.get() == ScopeRef::NONE {
            return;
        }
        if self.requested.get() {
            self.detach_asked();
        } else {
            self.unlink();
        }
    }

    #[cold]
    fn detach_asked(&self) {
        self.requested.set(false);
        let lost = mutant!("a-request-not-answered-is-lost");
        let waker = if lost { None } else { self.give_back() };
        self.unlink();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The number of the task that its waker wakes.
    pub(crate) fn wakes(&self) -> Option<u32> {
        let waker = self.waker.take();
        let task = waker.as_ref().and_then(LocalWaker::task);
        self.waker.set(waker);
        task
    }

    /// Replaces the waker unless it would wake the same task.
    #[inline]
    pub(crate) fn set_waker(&self, waker: &std::task::Waker) {
        let waker = match self.waker.take() {
            None => LocalWaker::new(waker),
            Some(old) if old.will_wake(waker) => old,
            Some(_) => LocalWaker::new(waker),
        };
        // It was taken out: there is none to drop.
        mem::forget(self.waker.replace(Some(waker)));
    }
}
