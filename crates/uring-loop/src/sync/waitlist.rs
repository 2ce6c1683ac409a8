//! The line of waiters under every primitive: first come, first served, on one thread.
//!
//! A [`WaitList`] lies in the lock, the event, the queue; a [`Waiter`] lies in each future that
//! waits and is linked into the list by its own memory, so that waiting allocates nothing. What
//! waiting is *for* is not here: `wait.rs` has the future, each primitive its rules.
//!
//! # Life story of a waiter
//!
//! | state | who points to it | what its drop does |
//! |---|---|---|
//! | *idle* | nobody | nothing |
//! | *waiting* | its list and its neighbours in line; it owns the waker of its task | leaves the line |
//! | *moved* | the same, in its second list (`move_first_to`) | leaves that line |
//! | *chosen* | nobody; whoever chose it took its waker and woke it | nothing here; the future gives on what it was given (`Wait::refused`) |
//!
//! A chosen waiter that finds that somebody was faster may wait again: it has kept its ticket and
//! goes back to its place.
//!
//! # Why the pointers are good
//!
//! A node is linked only while it is pinned, and its drop unlinks it. So a node in a line was not
//! dropped, and until it is, its memory stays: that is the promise of [`Pin`]. It covers a future
//! that was *forgotten* (`mem::forget` of its box) as well: the memory is leaked, not reused, and
//! the node stays in line as a neighbour of others. A list that goes away finds only such nodes,
//! since all others borrow it; it takes their wakers, so that their tasks are not kept, too.
//!
//! A waiter borrows its lists, so they neither move nor go while it may still be polled or dropped.
//! A list in which only forgotten nodes are left may move: nodes do not point to it, but for
//! borrows that nobody uses any more.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr;
use std::task::Waker;

use crate::wake::LocalWaker;

/// Who waits, in order. Touched by one thread only, since it is neither `Send` nor `Sync`.
pub(crate) struct WaitList {
    first: Cell<*const Node>,
    last: Cell<*const Node>,
    /// The ticket of whoever gets in line next.
    next: Cell<u64>,
}

/// Where a waiter stands; see the life story.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Idle,
    Waiting,
    Moved,
    Chosen,
}

struct Node {
    prev: Cell<*const Node>,
    next: Cell<*const Node>,
    waker: Cell<Option<LocalWaker>>,
    ticket: Cell<u64>,
    /// From the waiter what it wants, to the chosen one what it got.
    note: Cell<usize>,
    /// The list it may be moved to; null if none. A borrow of the waiter's.
    second: *const WaitList,
    state: Cell<State>,
    _pinned: PhantomPinned,
}

/// What a chosen waiter learns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// Its own note, or that of who chose it.
    pub(crate) note: usize,
    /// When it got in line: later ones have higher tickets.
    pub(crate) ticket: u64,
}

/// What became of [`WaitList::move_first_to`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MoveFirst {
    /// Nobody was in line.
    Nobody,
    Moved,
    /// The first one in line was made for another list; it stays.
    NotForThere,
}

impl WaitList {
    pub(crate) const fn new() -> Self {
        WaitList { first: Cell::new(ptr::null()), last: Cell::new(ptr::null()), next: Cell::new(0) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    #[inline]
    fn first(&self) -> Option<&Node> {
        // SAFETY: a node in line is pinned and not dropped (see the top). The reference is used
        // up before foreign code runs: no method here calls any while it holds one.
        unsafe { self.first.get().as_ref() }
    }

    /// How many wait. Walks along the line.
    pub(crate) fn len(&self) -> usize {
        let (mut count, mut at) = (0, self.first.get());
        // SAFETY: as in `first`.
        while let Some(node) = unsafe { at.as_ref() } {
            count += 1;
            at = node.next.get();
        }
        count
    }

    /// What the first in line wants.
    pub(crate) fn first_note(&self) -> Option<usize> {
        self.first().map(|node| node.note.get())
    }

    /// The ticket of the first in line.
    pub(crate) fn first_ticket(&self) -> Option<u64> {
        self.first().map(|node| node.ticket.get())
    }

    /// A ticket that is later than those of all who are in line now.
    pub(crate) fn next_ticket(&self) -> u64 {
        self.next.get()
    }

    fn draw_ticket(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// Chooses the first in line and leaves its note as it is. Wake the waker once the state of
    /// the primitive is in order: a foreign one may do anything.
    #[inline]
    #[must_use = "whoever was chosen must be woken"]
    pub(crate) fn choose(&self) -> Option<LocalWaker> {
        self.first().and_then(|node| self.choose_node(node))
    }

    fn choose_node(&self, node: &Node) -> Option<LocalWaker> {
        self.unlink(node);
        node.state.set(State::Chosen);
        let waker = node.waker.take();
        debug_assert!(waker.is_some(), "whoever is in line has a waker");
        waker
    }

    /// As [`choose`](Self::choose), and tells the chosen one `note`.
    #[must_use = "whoever was chosen must be woken"]
    pub(crate) fn choose_with(&self, note: usize) -> Option<LocalWaker> {
        self.first()?.note.set(note);
        self.choose()
    }

    /// As [`choose`](Self::choose), if the first in line has a ticket before `end`.
    #[must_use = "whoever was chosen must be woken"]
    pub(crate) fn choose_before(&self, end: u64) -> Option<LocalWaker> {
        if self.first()?.ticket.get() < end { self.choose() } else { None }
    }

    /// Chooses and wakes all that are in line now; not those that get in line meanwhile.
    pub(crate) fn choose_all(&self) {
        let end = self.next_ticket();
        while let Some(waker) = self.choose_before(end) {
            waker.wake();
        }
    }

    /// Moves the first in line to the end of `to`, if it was made for both.
    pub(crate) fn move_first_to(&self, to: &WaitList) -> MoveFirst {
        let Some(node) = self.first() else { return MoveFirst::Nobody };
        // The waiter borrows `to` then; if it was forgotten, nobody looks at its borrows.
        if !ptr::eq(node.second, to) {
            return MoveFirst::NotForThere;
        }
        self.unlink(node);
        node.state.set(State::Moved);
        node.ticket.set(to.draw_ticket());
        // SAFETY: it was in line, hence pinned and not dropped.
        unsafe { to.link_behind(to.last.get(), node) };
        MoveFirst::Moved
    }

    /// Puts `node` into the line behind `prev`; null: in front.
    ///
    /// # Safety
    ///
    /// `prev` is in this line. `node` is in none, is pinned, and is unlinked when it is dropped.
    unsafe fn link_behind(&self, prev: *const Node, node: &Node) {
        // SAFETY: in line (caller), and so are its neighbours.
        let next = match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.replace(node),
            None => self.first.replace(node),
        };
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(node),
            None => self.last.set(node),
        }
        node.prev.set(prev);
        node.next.set(next);
    }

    /// Takes `node` out of this line, in which it is.
    fn unlink(&self, node: &Node) {
        let (prev, next) = (node.prev.replace(ptr::null()), node.next.replace(ptr::null()));
        // SAFETY: neighbours in line are not dropped (see the top).
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => self.first.set(next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(prev),
            None => self.last.set(prev),
        }
    }

    /// The last in line whose ticket is before `ticket`; null if there is none.
    fn last_before(&self, ticket: u64) -> *const Node {
        let (mut found, mut at) = (ptr::null(), self.first.get());
        // SAFETY: as in `first`.
        while let Some(node) = unsafe { at.as_ref() }
            && node.ticket.get() < ticket
        {
            found = at;
            at = node.next.get();
        }
        found
    }
}

impl Default for WaitList {
    fn default() -> Self {
        WaitList::new()
    }
}

impl Drop for WaitList {
    fn drop(&mut self) {
        // Only forgotten ones are left. They are not woken: what they waited for is gone.
        while let Some(waker) = self.choose() {
            drop(waker);
        }
    }
}

impl fmt::Debug for WaitList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.len())
    }
}

/// A place in line, in the future that waits.
pub(super) struct Waiter<'a> {
    list: &'a WaitList,
    node: Node,
}

impl<'a> Waiter<'a> {
    /// One that is not in line yet.
    pub(super) const fn new(list: &'a WaitList) -> Self {
        Waiter { list, node: Node::new(ptr::null()) }
    }

    /// One that may be moved to the line of `second` while it waits.
    pub(super) const fn moving(list: &'a WaitList, second: &'a WaitList) -> Self {
        Waiter { list, node: Node::new(second) }
    }

    pub(super) fn state(&self) -> State {
        self.node.state.get()
    }

    /// Gets in line, at its end. It must be idle.
    pub(super) fn line_up(self: Pin<&Self>, note: usize, waker: &Waker) {
        debug_assert_eq!(self.state(), State::Idle);
        self.node.note.set(note);
        self.set_waker(waker);
        self.node.ticket.set(self.list.draw_ticket());
        self.node.state.set(State::Waiting);
        // SAFETY: the node is pinned with the waiter, was in no line, and is unlinked by its drop.
        unsafe { self.list.link_behind(self.list.last.get(), &self.get_ref().node) };
    }

    /// Gets back in line where it stood when it was chosen. It must be idle since.
    pub(super) fn line_up_again(self: Pin<&Self>, note: usize, waker: &Waker) {
        debug_assert_eq!(self.state(), State::Idle);
        self.node.note.set(note);
        self.set_waker(waker);
        self.node.state.set(State::Waiting);
        let prev = match mutant!("overtaken-goes-to-the-end") {
            true => self.list.last.get(),
            false => self.list.last_before(self.node.ticket.get()),
        };
        // SAFETY: as in `line_up`.
        unsafe { self.list.link_behind(prev, &self.get_ref().node) };
    }

    /// Whom to wake when it is chosen. Nothing happens if that is known.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let known = self.node.waker.take();
        let same = known.as_ref().is_some_and(|known| known.will_wake(waker));
        // Cloning a foreign waker may panic: a node in line has a waker all the while.
        self.node.waker.set(known);
        if !same {
            self.node.waker.set(Some(LocalWaker::new(waker)));
        }
    }

    /// Takes what the chosen one was told; it is idle from here on.
    pub(super) fn take_grant(&self) -> Grant {
        debug_assert_eq!(self.state(), State::Chosen);
        self.node.state.set(State::Idle);
        Grant { note: self.node.note.get(), ticket: self.node.ticket.get() }
    }

    /// Leaves the line it is in, if it is in one.
    pub(super) fn leave(&self) {
        match self.state() {
            State::Idle | State::Chosen => return,
            State::Waiting => self.list.unlink(&self.node),
            // SAFETY: moved, so there is a second list: `moving` has it as a borrow that lasts at
            // least as long as this waiter.
            State::Moved => unsafe { &*self.node.second }.unlink(&self.node),
        }
        self.node.state.set(State::Idle);
    }
}

// Each future that waits carries one; a cache line is what it may cost.
const _: () = assert!(size_of::<Waiter<'_>>() <= 64);

impl Node {
    const fn new(second: *const WaitList) -> Self {
        Node {
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            waker: Cell::new(None),
            ticket: Cell::new(0),
            note: Cell::new(0),
            second,
            state: Cell::new(State::Idle),
            _pinned: PhantomPinned,
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
