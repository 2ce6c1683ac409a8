//! A link that can have others below it: catchers, origins, combinators and their branches.

use std::cell::Cell;
use std::fmt;
use std::mem::offset_of;
use std::pin::Pin;
use std::ptr;
use std::task::Waker;

use super::tree::Parent;
use super::{Cancelled, Children, Link, LinkKind, Origin, ScopeRef, TASK, hand_outward, is_above};
use crate::context;

/// A catcher, an origin, a combinator or a branch of one. Its life story is in `tree.rs`.
#[repr(C)]
pub(crate) struct Scope {
    pub(super) children: Children,
    pub(crate) link: Link,
    /// As an origin that has asked; 0 for all others.
    id: Cell<Origin>,
    marks: Cell<u16>,
}

/// What becomes of a future that its origin is ending, when it has parked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parked {
    /// It is dropped: nobody in it takes the request, or somebody has handed it outward.
    Drop,
    /// Somebody in it was asked just now: poll it once more, so that they hear it at once.
    Asked,
    /// Somebody in it has been asked.
    Wait,
}

/// What is noted on a scope.
pub(super) mod marks {
    /// A catcher below went away without an answer: ask again at the next park.
    pub(crate) const AGAIN: u16 = 1 << 0;
    /// A catcher below handed the request outward as far as here.
    pub(crate) const HANDED: u16 = 1 << 1;
    /// As an origin: it has begun to end its future.
    pub(crate) const ENDING: u16 = 1 << 2;
    /// As an origin: nobody below takes the request, so its future is to be dropped.
    pub(crate) const DROPPING: u16 = 1 << 3;
    /// As a combinator: its branches were asked.
    pub(crate) const ASKED: u16 = 1 << 4;
    /// As a combinator: look at all branches, one has a request. As a branch, for a moment: a
    /// catcher below it was asked. As a gathering: a task below it has lost its place.
    pub(crate) const LOOK: u16 = 1 << 5;
    /// It is dropping its future.
    pub(crate) const GOING: u16 = 1 << 6;
    /// As a timeout: it has handed on a request and never becomes ready.
    pub(crate) const GONE: u16 = 1 << 7;
    /// As an origin or a branch: a catcher below has taken the last request (`in_hand.rs`). As a
    /// combinator: one in a branch had, and is gone.
    pub(crate) const IN_HAND: u16 = 1 << 8;
    /// As a combinator: a branch that was asked is ready and has not heard it.
    pub(crate) const UNHEARD: u16 = 1 << 9;
}

impl Scope {
    pub(crate) const fn new(kind: LinkKind) -> Self {
        Scope {
            children: Children::new(),
            link: Link::new(kind),
            id: Cell::new(TASK),
            marks: Cell::new(0),
        }
    }

    pub(super) fn has(&self, mark: u16) -> bool {
        self.marks.get() & mark != 0
    }

    pub(super) fn put(&self, mark: u16, set: bool) {
        let marks = self.marks.get() & !mark;
        self.marks.set(if set { marks | mark } else { marks });
    }

    /// Clears the mark and tells whether it was set.
    pub(super) fn take(&self, mark: u16) -> bool {
        let was = self.has(mark);
        self.put(mark, false);
        was
    }

    pub(super) fn reference(self: Pin<&Self>) -> ScopeRef {
        ScopeRef::scope(ptr::from_ref(self.get_ref()))
    }

    /// Takes its place under `parent`.
    pub(super) fn attach(self: Pin<&Self>, parent: ScopeRef) {
        let this = ptr::from_ref(self.get_ref());
        // SAFETY: pinned; `Scope::drop` detaches it; the pointer covers the whole scope.
        unsafe { Link::attach(this.byte_add(offset_of!(Scope, link)).cast(), parent) };
    }

    /// Takes its place under the scope being polled, and becomes the scope being polled itself
    /// until the guard is dropped.
    pub(crate) fn enter(self: Pin<&Self>) -> context::EnteredScope {
        self.attach(context::scope());
        context::enter_scope(self.reference())
    }

    /// Leaves the tree. What it was asked and has not answered is given back.
    pub(crate) fn leave(&self) {
        if self.link.kind == LinkKind::Branch && self.take(marks::AGAIN) {
            self.link.requested.set(true);
        }
        self.link.detach();
    }

    /// As an origin: asks the catchers below. `false`: there is none.
    fn request(&self) -> bool {
        if self.id.get() == TASK {
            self.id.set(context::core("a cancel scope", crate::turn::Core::next_origin));
        }
        self.put(marks::IN_HAND, false);
        let any = self.children.request(self.id.get());
        if any {
            self.link.note_asked();
        }
        any
    }

    /// Whether this scope made the requests of `origin`. Those that never asked have the id of the
    /// task and are none.
    pub(super) fn is_origin(&self, origin: Origin) -> bool {
        origin != TASK && self.id.get() == origin
    }

    /// As an origin: asks the catchers below to end, once; where there are none the future is to be
    /// dropped when it next parks.
    ///
    /// It is called before the future is polled, so that origins further in see that they are
    /// outranked.
    pub(crate) fn end(&self) {
        if !self.has(marks::ENDING) {
            self.put(marks::ENDING, true);
            self.put(marks::DROPPING, !self.request());
        }
    }

    /// As an origin: whether it has begun to end its future.
    pub(crate) fn is_ending(&self) -> bool {
        self.has(marks::ENDING)
    }

    /// As an origin that is ending its future, which has parked: what becomes of it.
    pub(crate) fn parked(&self) -> Parked {
        // A catcher may have come to be while the future was polled; it is asked now.
        let newly = self.take(marks::DROPPING) || !self.is_ending();
        self.put(marks::ENDING, true);
        if newly | self.take(marks::AGAIN) {
            self.put(marks::DROPPING, !self.request());
        }
        if self.has(marks::HANDED | marks::DROPPING) {
            Parked::Drop
        } else if newly {
            Parked::Asked
        } else {
            Parked::Wait
        }
    }

    /// As an origin that must drop its future: whether something further out is about to drop this
    /// scope as well. Then the request from there is the one that counts.
    pub(crate) fn is_outranked(&self) -> bool {
        let mut at = self.link.parent.get();
        loop {
            match at.parent() {
                Parent::None => return false,
                Parent::Task(task) => return task.is_ending(),
                Parent::Scope(scope) => {
                    let asked = scope.link.requested.get()
                        && matches!(scope.link.kind, LinkKind::Catcher | LinkKind::Branch);
                    if asked || scope.has(marks::DROPPING) {
                        return true;
                    }
                    at = scope.link.parent.get();
                }
            }
        }
    }

    /// Drops the future inside. A request that somebody in it had taken and not answered is this
    /// scope's from here on: [`Link::take_request`].
    pub(crate) fn drop_inside(self: Pin<&Self>, drop: impl FnOnce()) {
        let _entered = self.enter();
        self.put(marks::GOING, true);
        drop();
        self.put(marks::GOING, false);
    }

    /// As a gathering: whether tasks below it have lost their places since the last look, because
    /// it was not polled when they were asked.
    pub(crate) fn look_for_places(&self) -> bool {
        self.take(marks::LOOK) && !mutant!("a-gathering-passed-over-stays-deaf")
    }

    /// As a timeout whose future is ready after all: that answers whatever was taken inside.
    pub(crate) fn leave_answered(&self) {
        self.link.take_request().map(Cancelled::answered);
        self.leave();
    }

    /// As a timeout: it has handed on a request and waits to be dropped.
    pub(crate) fn is_gone(&self) -> bool {
        self.has(marks::GONE)
    }

    /// As a timeout that has dropped its future: hands on the request of somebody further out that
    /// was in there, or was taken there after its own, if there was one. Then it is gone.
    pub(crate) fn hand_on_what_was_inside(&self) -> bool {
        let inside = self.link.take_request().map(Cancelled::answered);
        self.leave();
        let Some(origin) = inside.filter(|origin| is_above(*origin)) else { return false };
        self.put(marks::GONE, true);
        hand_outward(origin);
        true
    }

    /// Whom to wake when asked, or when a request comes back.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.link.set_waker(waker);
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.children.give_back();
        self.children.let_go();
        self.leave();
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("kind", &self.link.kind)
            .field("requested", &self.link.requested.get())
            .field("ending", &self.is_ending())
            .finish_non_exhaustive()
    }
}
