//! The engine of all that gathers: waits for a row of tasks and puts their results together.
//!
//! It is a node in the tree of scopes, and its tasks are the nodes below. A request to end reaches
//! each of them; each is handed on, and all are waited for. If one of them ends cancelled by it,
//! the request goes on outward when the last has ended: what the others came to is dropped then,
//! as asyncio does. If all of them answer with values, the request is swallowed, as it is for a
//! single task that is awaited.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::gather::GatherError;
use super::members::{Members, TryMembers};
use crate::cancel::{Cancelled, LinkKind, Origin, Scope, hand_outward, is_above};
use crate::context;
use crate::task::JoinError;
use crate::task::collect::{Collector, Left};

/// What ends a gathering early, and how its results are put together.
pub(super) trait Form {
    type Members: Members;
    type Output;
    /// What a task gives that gathers. Panics and cancels are its own.
    type Value;

    fn members(&self) -> &Self::Members;

    /// Whether this task, which is ready, ends the gathering.
    fn has_failed(&self, index: usize) -> bool;

    fn failure(self, index: usize) -> Self::Output;

    /// All are ready, and none has failed.
    fn finish(self) -> Self::Output;

    /// The output as the result of a task.
    fn split(output: Self::Output) -> Result<Self::Value, JoinError>;
}

/// A task without a value ends it.
pub(super) struct All<M>(pub(super) M);

/// So does one whose value is an error.
pub(super) struct TryAll<M>(pub(super) M);

/// Nothing ends it early.
pub(super) struct Settled<M>(pub(super) M);

impl<M: Members> Form for All<M> {
    type Members = M;
    type Output = Result<M::Values, JoinError>;
    type Value = M::Values;

    fn members(&self) -> &M {
        &self.0
    }

    fn has_failed(&self, index: usize) -> bool {
        self.0.is_err(index)
    }

    fn failure(mut self, index: usize) -> Self::Output {
        Err(self.0.error(index))
    }

    fn finish(self) -> Self::Output {
        Ok(self.0.values())
    }

    fn split(output: Self::Output) -> Self::Output {
        output
    }
}

impl<M: TryMembers> Form for TryAll<M> {
    type Members = M;
    type Output = Result<M::Oks, GatherError<M::Error>>;
    type Value = Result<M::Oks, M::Error>;

    fn members(&self) -> &M {
        &self.0
    }

    fn has_failed(&self, index: usize) -> bool {
        self.0.has_failed(index)
    }

    fn failure(mut self, index: usize) -> Self::Output {
        Err(self.0.failure(index))
    }

    fn finish(self) -> Self::Output {
        Ok(self.0.oks())
    }

    fn split(output: Self::Output) -> Result<Self::Value, JoinError> {
        match output {
            Ok(values) => Ok(Ok(values)),
            Err(GatherError::Failed(error)) => Ok(Err(error)),
            Err(GatherError::Join(error)) => Err(error),
        }
    }
}

impl<M: Members> Form for Settled<M> {
    type Members = M;
    type Output = M::Outcomes;
    type Value = M::Outcomes;

    fn members(&self) -> &M {
        &self.0
    }

    fn has_failed(&self, _: usize) -> bool {
        false
    }

    fn failure(self, _: usize) -> Self::Output {
        unreachable!("nothing ends it early")
    }

    fn finish(self) -> Self::Output {
        self.0.outcomes()
    }

    fn split(output: Self::Output) -> Result<Self::Value, JoinError> {
        Ok(output)
    }
}

pin_project! {
    /// Waits for the members of a form.
    pub(super) struct Gathering<F> {
        // Goes ahead of the scope: a request that a member has not heard finds its way back through
        // that.
        state: Option<State<F>>,
        #[pin]
        scope: Scope,
    }
}

struct State<F> {
    form: F,
    /// From the first poll on.
    collector: Option<Collector>,
    left: usize,
    /// How many of those left were asked to end.
    asked: usize,
    /// The first that failed.
    failed: Option<usize>,
    /// A member ended cancelled by this request. Dropped with the gathering, it is taken over by
    /// whoever drops that.
    ended_by: Option<Cancelled>,
    /// All have ended, and that request was handed outward; its origin.
    handed: Option<Origin>,
    /// A member was ready before it could answer a request of this origin. The others may clean up
    /// for it, so it is not made anew before all are ready.
    owed: Option<Origin>,
}

impl<F: Form> Gathering<F> {
    pub(super) fn new(form: F) -> Self {
        let left = form.members().len();
        let state = State {
            form,
            collector: None,
            left,
            asked: 0,
            failed: None,
            ended_by: None,
            handed: None,
            owed: None,
        };
        Gathering { state: Some(state), scope: Scope::new(LinkKind::Origin) }
    }

    /// The loop of the members; `None` if there are none.
    pub(super) fn loop_id(&self) -> Option<u32> {
        let members = self.state.as_ref()?.form.members();
        (members.len() > 0).then(|| members.member(0).loop_id())
    }

    /// How many members are not ready, or not seen to be.
    pub(super) fn left(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.left)
    }
}

impl<F: Form> State<F> {
    /// The first poll: every member learns whom to wake.
    fn begin(&mut self) {
        let members = self.form.members();
        let collector = Collector::new(members.len());
        for index in 0..members.len() {
            let member = members.member(index);
            member.begin(Some(context::scope()));
            if member.is_ready() {
                collector.push(index);
            } else {
                member.tell(collector.waker(index));
            }
        }
        self.collector = Some(collector);
    }

    /// Gives members that have lost their places in the tree new ones.
    fn begin_again(&self) {
        let members = self.form.members();
        let left = (0..members.len()).map(|index| members.member(index));
        left.filter(|member| !member.is_ready()).for_each(|member| member.take_place());
    }

    /// Sees to the members that were woken.
    fn collect(&mut self, scope: &Scope) {
        if self.collector.is_none() {
            self.begin();
        } else if scope.look_for_places() {
            self.begin_again();
        }
        let State { form, collector: Some(collector), .. } = self else { return };
        let members = form.members();
        while let Some(index) = collector.pop() {
            let member = members.member(index);
            if !member.is_ready() {
                self.asked += usize::from(member.forward_request());
                member.tell(collector.waker(index));
                continue;
            }
            collector.close(index);
            self.left -= 1;
            let forwarded = member.has_forwarded();
            self.asked -= usize::from(forwarded);
            match member.leave() {
                Left::Unasked => {}
                Left::Answered(origin) | Left::Unanswered(origin) if member.is_cancelled() => {
                    let request = scope.link.request_of(origin);
                    self.ended_by = Some(scope.link.merge(self.ended_by.take(), request));
                }
                Left::Answered(_) => {}
                Left::Unanswered(origin) => self.owed = Some(origin),
            }
            if self.failed.is_none() && form.has_failed(index) {
                self.failed = Some(index);
            }
        }
    }

    /// Whether there is an answer: all are ready, or one has failed and none is on its way to a
    /// requested end.
    fn is_over(&self) -> bool {
        let ending = self.asked > 0 || self.ended_by.is_some();
        let failed = self.failed.is_some() && (!ending || mutant!("gather-waits-for-no-clean-up"));
        self.left == 0 || failed
    }

    fn into_output(self) -> F::Output {
        let Some(index) = self.failed else { return self.form.finish() };
        let members = self.form.members();
        for other in (0..members.len()).filter(|other| *other != index) {
            // As asyncio: how the others end counts as seen.
            members.member(other).disown();
        }
        self.form.failure(index)
    }
}

impl<F: Form> Future for Gathering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let scope = this.scope.as_ref();
        let state = this.state.as_mut().expect("what gathers is not polled after it was ready");
        {
            let _entered = scope.enter();
            state.collect(&scope);
        }
        if !state.is_over() {
            if let Some(collector) = &state.collector {
                collector.set_waker(cx.waker());
            }
            return Poll::Pending;
        }
        let ended_by = state.ended_by.take().map(Cancelled::answered).or(state.handed);
        if let Some(origin) = ended_by.filter(|origin| is_above(*origin)) {
            // Should it be polled once more, it hands it on once more.
            state.handed = Some(origin);
            scope.leave();
            hand_outward(origin);
            return Poll::Pending;
        }
        if let Some(origin) = state.owed {
            scope.link.ask(origin);
        }
        let output = this.state.take().map(State::into_output);
        scope.leave();
        Poll::Ready(output.expect("it was there"))
    }
}
