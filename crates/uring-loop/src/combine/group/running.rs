//! The future of a group: polls the body, then waits for the children, then answers.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::TaskErrors;
use super::state::State;
use crate::cancel::{Cancelled, LinkKind, Parked, Scope, hand_outward, is_above};
use crate::context;
use crate::time::wheel::Entry;

/// How long a group waits for children that were asked to end before it says so, in debug builds.
const PATIENCE: Duration = Duration::from_secs(10);

pin_project! {
    /// A group at work.
    ///
    /// *Body*: `body` is there, and its catchers are the first to be asked. *Waiting*: the body is
    /// gone, with or without a `value`; children are alive. *Over*: it has answered, by a result
    /// or by handing a request outward.
    pub(super) struct Running<'a, F, T, E> {
        #[pin]
        body: Option<F>,
        #[pin]
        scope: Scope,
        #[pin]
        stragglers: Entry,
        state: &'a State<E>,
        value: Option<T>,
        // A request from outside, to be handed on.
        foreign: Option<Cancelled>,
        reports: u64,
        over: bool,
    }
}

impl<'a, F, T, E> Running<'a, F, T, E> {
    pub(super) fn new(body: F, state: &'a State<E>) -> Self {
        Running {
            body: Some(body),
            scope: Scope::new(LinkKind::Catcher),
            stragglers: Entry::new(),
            state,
            value: None,
            foreign: None,
            reports: 0,
            over: false,
        }
    }
}

impl<F, T, E> Future for Running<'_, F, T, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, TaskErrors<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.over {
            return Poll::Pending;
        }
        if self.as_mut().project().body.as_pin_mut().is_some() {
            self.as_mut().poll_body(cx);
        } else {
            // It has its place in the tree without a body too.
            drop(self.as_mut().project().scope.as_ref().enter());
        }
        let this = self.as_mut().project();
        if this.body.is_none() {
            let hasty = mutant!("a-cancelled-group-does-not-wait") && this.foreign.is_some();
            if this.state.alive() == 0 || hasty {
                return self.answer();
            }
            self.as_mut().hear();
        }
        let this = self.as_mut().project();
        this.state.set_waker(cx.waker());
        this.scope.set_waker(cx.waker());
        if cfg!(debug_assertions) && this.state.is_ending() {
            self.watch_stragglers(cx);
        }
        Poll::Pending
    }
}

impl<F, T, E> Running<'_, F, T, E>
where
    F: Future<Output = Result<T, E>>,
{
    /// Polls the body; drops it when it is done or has to end.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let scope = this.scope.as_ref();
        loop {
            if this.state.is_ending() {
                scope.end();
            }
            let polled = {
                let _entered = scope.enter();
                let body = this.body.as_mut().as_pin_mut().expect("the caller has looked");
                catch_unwind(AssertUnwindSafe(|| body.poll(cx)))
            };
            match polled {
                Ok(Poll::Ready(Ok(value))) => *this.value = Some(value),
                Ok(Poll::Ready(Err(error))) => this.state.fail(error),
                Err(panic) => this.state.panicked(panic),
                Ok(Poll::Pending) => {
                    if let Some(request) = scope.link.take_request() {
                        // Nobody in the body takes it, or somebody has handed it on.
                        scope.link.note_taken(request.origin());
                        *this.foreign = Some(request);
                        this.state.end();
                    } else if !this.state.is_ending() {
                        return;
                    } else {
                        match scope.parked() {
                            Parked::Drop => {}
                            Parked::Asked => continue,
                            Parked::Wait => return,
                        }
                    }
                }
            }
            scope.drop_inside(|| this.body.set(None));
            // One that somebody inside had taken; or that the body, ready, has not heard.
            if let Some(inside) = scope.link.take_request() {
                if !mutant!("a-ready-body-keeps-the-request-to-itself") {
                    scope.link.note_taken(inside.origin());
                }
                *this.foreign = Some(scope.link.merge(this.foreign.take(), inside));
                this.state.end();
            }
            return;
        }
    }

    /// Takes a request from outside while only children are left.
    fn hear(self: Pin<&mut Self>) {
        let this = self.project();
        let Some(request) = this.scope.link.take_request() else { return };
        this.scope.link.note_taken(request.origin());
        let insists = this.foreign.is_some();
        *this.foreign = Some(this.scope.link.merge(this.foreign.take(), request));
        if !insists {
            this.state.end();
        } else if !mutant!("a-group-hears-one-request-only") {
            this.state.cancel_children();
        }
    }

    /// All have ended. In this order: a panic goes on here; then errors, and a request from outside
    /// is made anew behind them; then such a request; then the value.
    fn answer(self: Pin<&mut Self>) -> Poll<Result<T, TaskErrors<E>>> {
        let this = self.project();
        *this.over = true;
        this.state.close();
        this.stragglers.disarm();
        if let Some(panic) = this.state.take_panic() {
            this.scope.leave();
            resume_unwind(panic);
        }
        let errors = this.state.take_errors();
        let foreign = this.foreign.take().map(Cancelled::answered);
        let foreign = foreign.filter(|origin| is_above(*origin));
        if let (false, Some(origin)) = (errors.is_empty(), foreign) {
            if !mutant!("errors-swallow-the-request") {
                this.scope.link.owe(origin);
            }
        } else if let Some(origin) = foreign {
            this.scope.leave();
            hand_outward(origin);
            return Poll::Pending;
        }
        this.scope.leave();
        match this.value.take() {
            Some(value) if errors.is_empty() => Poll::Ready(Ok(value)),
            _ => Poll::Ready(Err(TaskErrors::new(errors))),
        }
    }

    /// Tells the log now and then whom it waits for.
    fn watch_stragglers(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let this = self.project();
        let entry = this.stragglers.as_ref();
        if entry.fired() {
            *this.reports += 1;
            this.state.report_stragglers(*this.reports * PATIENCE.as_secs());
        }
        entry.set_waker(cx.waker());
        if !entry.armed() {
            let after = PATIENCE.as_nanos() as u64;
            context::core("TaskGroup", |core| {
                core.timers.arm(entry, core.clock.now().saturating_add(after));
            });
        }
    }
}
