//! Branches: futures polled side by side by one of our own combinators.
//!
//! A combinator is transparent as long as nothing in its branches catches. If something does, a
//! request is answered branch by branch: those that catch clean up, the others are dropped, and the
//! combinator ends as cancelled once all are over (what that means exactly is up to it: one that
//! needs a single value may still have it).
//!
//! # Life story of a [`Branch`]
//!
//! *fresh*: not polled yet. If its combinator has been asked by then, it never begins. *running*:
//! in the tree below the combinator. *over*: its future is gone, because it was ready, was
//! cancelled, or is not needed any more; it has left the tree. A request that it was asked and did
//! not answer is owed by the combinator from then on.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::scope::marks;
use super::tree::Parent;
use super::{Cancelled, LinkKind, Scope, hand_outward};
use crate::context;

/// What a poll of a branch brought.
#[derive(Debug)]
pub enum Step<T> {
    Pending,
    Ready(T),
    /// It has ended for a request.
    Cancelled,
}

pin_project! {
    /// A future polled beside others.
    pub struct Branch<F> {
        // Dropped before its scope, and that before the combinator's: what they owe goes outward.
        #[pin]
        future: Option<F>,
        begun: bool,
        #[pin]
        scope: Scope,
    }
}

pin_project! {
    /// The place in the tree of what polls branches.
    pub struct Combinator {
        #[pin]
        scope: Scope,
        // The request for which branches have ended. Dropped with the combinator, it goes to
        // whoever drops that.
        cancelled: Cell<Option<Cancelled>>,
    }
}

impl<T> Step<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Pending => Step::Pending,
            Step::Ready(value) => Step::Ready(f(value)),
            Step::Cancelled => Step::Cancelled,
        }
    }
}

impl<F: Future> Branch<F> {
    /// One that polls `future`; over from the start if there is none.
    pub(crate) fn new(future: Option<F>) -> Self {
        Branch { future, begun: false, scope: Scope::new(LinkKind::Branch) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.future.is_none()
    }

    /// Drops the future: it is not needed any more.
    pub(crate) fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.future.set(None);
        this.scope.branch_lets_go();
        this.scope.leave();
    }

    /// Polls the future, which is there, unless the branch shall not even begin.
    pub(crate) fn step(
        mut self: Pin<&mut Self>,
        combinator: Pin<&Combinator>,
        cx: &mut Context<'_>,
    ) -> Step<F::Output> {
        let mut this = self.as_mut().project();
        let above = combinator.project_ref().scope;
        if !std::mem::replace(this.begun, true)
            && above.has(marks::ASKED)
            && !mutant!("a-branch-begins-after-the-request")
        {
            this.future.set(None);
            combinator.branch_ended(above.link.request_of(above.link.origin()));
            return Step::Cancelled;
        }
        let scope = this.scope.as_ref();
        scope.attach(above.reference());
        let polled = {
            let _entered = context::enter_scope(scope.reference());
            this.future.as_mut().as_pin_mut().expect("the branch is not over").poll(cx)
        };
        match polled {
            Poll::Ready(value) => {
                if scope.branch_owes() {
                    combinator.scope.put(marks::UNHEARD, true);
                }
                scope.leave();
                this.future.set(None);
                Step::Ready(value)
            }
            Poll::Pending if scope.branch_must_end() => {
                self.cancel(combinator);
                Step::Cancelled
            }
            Poll::Pending => Step::Pending,
        }
    }

    fn cancel(self: Pin<&mut Self>, combinator: Pin<&Combinator>) {
        let mut this = self.project();
        let scope = this.scope.as_ref();
        // Handed as far as here, or asked and given nothing to ask in turn.
        scope.link.ask(scope.link.origin());
        let request = scope.link.take_request();
        scope.drop_inside(|| this.future.set(None));
        let inside = scope.link.take_request();
        scope.answered();
        scope.leave();
        for request in request.into_iter().chain(inside) {
            combinator.branch_ended(request);
        }
    }
}

/// Branches of one type, side by side in memory. They are pinned when it is.
pub(crate) struct BranchList<F>(Box<[Branch<F>]>);

impl<F: Future> BranchList<F> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_over(&self, index: usize) -> bool {
        self.0[index].is_over()
    }

    pub(crate) fn branch(self: Pin<&mut Self>, index: usize) -> Pin<&mut Branch<F>> {
        // SAFETY: the branches are reached through this pin only, and never moved out of their
        // allocation, which lives until they are dropped in their place. (`is_over` only looks.)
        unsafe { self.map_unchecked_mut(|list| &mut list.0[index]) }
    }
}

impl<F: Future> FromIterator<Branch<F>> for BranchList<F> {
    fn from_iter<I: IntoIterator<Item = Branch<F>>>(branches: I) -> Self {
        BranchList(branches.into_iter().collect())
    }
}

impl Scope {
    /// As a branch whose future has parked: whether it has to end, because a request was handed
    /// on as far as here, or because it was asked and nothing in it catches.
    fn branch_must_end(&self) -> bool {
        if self.has(marks::HANDED) {
            return true;
        }
        let asked = self.link.take_request().map(Cancelled::answered).is_some();
        (asked | self.take(marks::AGAIN)) && !self.ask_below(self.link.origin())
    }

    /// As a branch: whether it was asked and has not answered.
    fn branch_owes(&self) -> bool {
        self.link.is_asked() || self.has(marks::AGAIN)
    }

    /// As a branch whose future was dropped while it waited: whoever had a request in hand there
    /// is gone.
    fn branch_lets_go(&self) {
        if self.has(marks::IN_HAND)
            && let Parent::Scope(combinator) = self.link.parent.get().parent()
        {
            combinator.put(marks::IN_HAND, true);
        }
    }

    /// As a branch that ends for a request: nothing is owed for it.
    fn answered(&self) {
        self.link.take_request().map(Cancelled::answered);
        self.put(marks::AGAIN | marks::HANDED, false);
    }
}

impl Combinator {
    pub(crate) const fn new() -> Self {
        Combinator { scope: Scope::new(LinkKind::Combinator), cancelled: Cell::new(None) }
    }

    /// Takes its place in the tree. Its branches are polled after this, below it.
    pub(crate) fn enter(self: Pin<&Self>) {
        self.project_ref().scope.attach(context::scope());
    }

    /// Whether a branch was asked since the last look: then all of them are to be polled.
    pub(crate) fn look_again(&self) -> bool {
        self.scope.take(marks::LOOK)
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.scope.set_waker(waker);
    }

    /// Whether a branch has ended for a request.
    pub(crate) fn is_cancelled(&self) -> bool {
        let cancelled = self.cancelled.take();
        let is = cancelled.is_some();
        self.cancelled.set(cancelled);
        is
    }

    fn branch_ended(&self, request: Cancelled) {
        let origin = request.origin();
        let link = &self.scope.link;
        self.cancelled.set(Some(link.merge(self.cancelled.take(), request)));
        if !self.scope.has(marks::ASKED) {
            self.scope.end_branches(origin);
        }
    }

    /// Ends with a value. Requests that were not answered wait for the next park; the one for which
    /// branches have ended is answered by that value. But if the value is that of a branch which
    /// was asked as well and has not heard it, it answers nothing: the request is made anew, now
    /// that those in the other branches who had it in hand have handed it on, or are gone.
    pub(crate) fn leave(&self) {
        let ended = self.cancelled.take().map(Cancelled::answered).is_some();
        let in_hand = self.scope.take(marks::IN_HAND) || ended;
        if self.scope.take(marks::UNHEARD)
            && in_hand
            && !mutant!("a-winner-that-is-deaf-answers-the-request")
        {
            self.scope.link.insist();
        }
        self.scope.leave();
    }

    /// Ends with a value although branches have ended for a request: that waits as well.
    pub(crate) fn leave_owing(&self) {
        if let Some(request) = self.cancelled.take()
            && !mutant!("a-failed-join-swallows-the-request")
        {
            self.scope.link.owe(request.answered());
        }
        self.leave();
    }

    /// Ends as cancelled: the request goes on outward, and what owns this never becomes ready.
    pub(crate) fn hand_on(&self) {
        let cancelled = self.cancelled.take();
        if let Some(request) = self.scope.link.take_request() {
            request.answered();
        }
        self.leave();
        if let Some(request) = cancelled {
            hand_outward(request.answered());
        }
    }
}
