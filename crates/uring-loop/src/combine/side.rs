//! Polling branches side by side.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::branches::Branches;
use super::wake_set::WakeSet;
use crate::cancel::{Combinator, Step};

/// From how many branches on each is woken by itself. Fewer are all polled when one is woken: that
/// is cheaper than a waker for each, which their operations could not keep without an allocation.
const MANY: usize = 17;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// It gave a value. No branch is left.
    Over,
    /// It handed a request on, and is going to be dropped. No branch is left.
    HandedOn,
}

pin_project! {
    /// Branches and their place in the tree.
    pub(super) struct Side<B> {
        // Dropped first: what branches owe goes to the combinator.
        #[pin]
        branches: B,
        #[pin]
        combinator: Combinator,
        wakes: Option<WakeSet>,
        left: usize,
        owing: bool,
        state: State,
    }
}

impl<B: Branches> Side<B> {
    pub(super) fn new(branches: B) -> Self {
        let count = branches.count();
        let left = (0..count).filter(|index| !branches.is_over(*index)).count();
        let many = count >= MANY && !mutant!("every-branch-is-polled");
        let wakes = many.then(|| WakeSet::new(count));
        Side {
            branches,
            combinator: Combinator::new(),
            wakes,
            left,
            owing: false,
            state: State::Running,
        }
    }

    /// If it is broken off although branches have ended for a request, that request waits for the
    /// next park.
    pub(super) fn owing(self) -> Self {
        Side { owing: true, ..self }
    }

    /// Polls the branches, from `start` on and round, and shows what they give to `each`, which may
    /// break off with a value: then the others are dropped.
    ///
    /// Ready with `None` if all are over and none has ended for a request.
    pub(super) fn poll<R>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: usize,
        each: &mut dyn FnMut(usize, B::Item) -> ControlFlow<R>,
    ) -> Poll<Option<R>> {
        match self.state {
            State::Running => {}
            State::HandedOn => return Poll::Pending,
            State::Over => panic!("a combinator is not polled after it was ready"),
        }
        self.as_mut().project().combinator.as_ref().enter();
        if let ControlFlow::Break(value) = self.as_mut().poll_branches(cx, start, each) {
            self.end();
            return Poll::Ready(Some(value));
        }
        let this = self.project();
        if *this.left > 0 {
            this.combinator.set_waker(cx.waker());
            return Poll::Pending;
        }
        if this.combinator.is_cancelled() {
            *this.state = State::HandedOn;
            this.combinator.hand_on();
            return Poll::Pending;
        }
        *this.state = State::Over;
        this.combinator.leave();
        Poll::Ready(None)
    }

    fn poll_branches<R>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: usize,
        each: &mut dyn FnMut(usize, B::Item) -> ControlFlow<R>,
    ) -> ControlFlow<R> {
        let count = self.branches.count();
        let asked = self.combinator.look_again();
        let woken = self.wakes.as_ref().map(|wakes| wakes.take(cx.waker(), asked));
        match woken {
            Some(woken) => {
                for index in woken {
                    self.as_mut().step(index, cx, each)?;
                }
            }
            None => {
                for index in (start..count).chain(0..start) {
                    self.as_mut().step(index, cx, each)?;
                }
            }
        }
        // Branches that were asked meanwhile: by another's end, or by whoever polls them all.
        while self.combinator.look_again() {
            for index in 0..count {
                self.as_mut().step(index, cx, each)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn step<R>(
        self: Pin<&mut Self>,
        index: usize,
        cx: &mut Context<'_>,
        each: &mut dyn FnMut(usize, B::Item) -> ControlFlow<R>,
    ) -> ControlFlow<R> {
        let this = self.project();
        if this.branches.is_over(index) {
            return ControlFlow::Continue(());
        }
        let combinator = this.combinator.as_ref();
        let step = match this.wakes {
            Some(wakes) => {
                let mut own = Context::from_waker(wakes.waker(index));
                this.branches.step(index, combinator, &mut own)
            }
            None => this.branches.step(index, combinator, cx),
        };
        match step {
            Step::Pending => return ControlFlow::Continue(()),
            Step::Cancelled => {}
            Step::Ready(item) => {
                *this.left -= 1;
                return each(index, item);
            }
        }
        *this.left -= 1;
        ControlFlow::Continue(())
    }

    /// One value was enough: drops the other branches.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.state = State::Over;
        for index in 0..this.branches.count() {
            this.branches.as_mut().end(index);
        }
        if *this.owing {
            this.combinator.leave_owing();
        } else {
            this.combinator.leave();
        }
    }
}
