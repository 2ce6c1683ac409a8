//! Requests to end, as a task sees them: counted, with a reason, asked of its catchers, taken back.
//!
//! How they travel below the task is in `cancel/`.

use std::task::Waker;

use super::raw::Header;
use super::state::flags;
use crate::cancel::{Cancelled, Link, Reason, ScopeRef, TASK, hand_outward, is_above};
use crate::context;
use crate::turn::Core;

/// In the word that counts the requests: a catcher in the task has the last of them. The flags
/// are full.
const IN_HAND: u16 = 1 << 15;
const MOST: u16 = IN_HAND - 1;

impl Header {
    /// Requests already made and not taken back; at most 32,767 are counted.
    pub(crate) fn cancels(&self) -> u32 {
        (self.cancels.get() & MOST).into()
    }

    /// Asks the catchers, or marks the task to be dropped where it next parks.
    pub(super) fn cancel(&self, reason: Option<Reason>) -> bool {
        if self.has(flags::COMPLETE) {
            // As asyncio: who wanted to end it need not hear how it failed (`Future.cancel` in
            // Lib/asyncio/futures.py).
            if !mutant!("a-late-cancel-leaves-the-report") {
                self.clear(flags::FAILED);
            }
            return false;
        }
        // Nobody has this one in hand.
        self.cancels.set(MOST.min((self.cancels.get() & MOST) + 1));
        self.set_reason(reason);
        if !self.ask() {
            self.set(flags::CANCEL);
        }
        // Also if a catcher was woken: it may be one that nobody polls any more.
        self.wake();
        true
    }

    /// Takes one request back; the last one also if nobody has heard it yet.
    pub(crate) fn uncancel(&self) -> u32 {
        if self.has(flags::COMPLETE) {
            return self.cancels();
        }
        let left = (self.cancels.get() & MOST).saturating_sub(1);
        self.cancels.set(left | self.cancels.get() & IN_HAND);
        if left == 0 && !mutant!("uncancel-leaves-the-request") {
            self.clear(flags::CANCEL);
            self.set_reason(None);
            self.children.withdraw();
        }
        self.cancels()
    }

    /// Whether the future is about to be dropped.
    pub(crate) fn is_ending(&self) -> bool {
        self.has(flags::CANCEL | flags::ABORT)
    }

    /// Why it was last cancelled.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let look = |core: &Core| core.tasks.extras.look(self, |extras| extras.reason.clone());
        if !self.has(flags::EXTRAS) {
            return None;
        }
        context::with_loop(self.node.loop_id, look).flatten().flatten()
    }

    /// The last cancel counts, with its reason or without.
    pub(crate) fn set_reason(&self, reason: Option<Reason>) {
        if reason.is_some() || self.has(flags::EXTRAS) {
            let edit = |core: &Core| core.tasks.extras.edit(self, |extras| extras.reason = reason);
            context::with_loop(self.node.loop_id, edit);
        }
    }

    /// Asks the catchers; `false`: there is none.
    pub(super) fn ask(&self) -> bool {
        let any = self.children.request(TASK);
        if any {
            self.note_asked();
        }
        any
    }

    /// Catchers below were asked: see at the next park whether they have heard it.
    pub(crate) fn note_asked(&self) {
        self.set(flags::ASKED);
    }

    /// A catcher went away without an answer: ask again at the next park.
    pub(crate) fn ask_again(&self) {
        self.set(flags::CANCEL);
        if !self.has(flags::RUNNING) {
            self.wake();
        }
    }

    /// Somebody in the task has the last request in hand: it need not be made anew for the sake of
    /// a catcher that went away before. `taken`: and for no other, until there is another request.
    pub(crate) fn note_in_hand(&self, taken: bool) {
        self.clear(flags::CANCEL);
        if taken {
            self.cancels.set(self.cancels.get() | IN_HAND);
        }
    }

    /// Whether a catcher in the task has taken the last request.
    pub(crate) fn is_in_hand(&self) -> bool {
        self.cancels.get() & IN_HAND != 0
    }

    /// The request was handed as far out as it goes, by a poll of this very task.
    pub(crate) fn drop_after_poll(&self) {
        self.set(flags::ABORT);
    }

    /// The output is not to be had yet: the awaiter has its place below the scope being polled, and
    /// is woken. What was asked of it meanwhile it hands to this task.
    #[inline(never)]
    pub(super) fn wait_under(&self, scope: ScopeRef, waker: &Waker) {
        if !self.join.is_under(scope) {
            assert!(!context::is_task(self), "a task that awaits itself would wait for ever");
            // SAFETY: the link lies in the task's heap cell, which the handle of whoever awaits it
            // keeps alive, and `release_handle` detaches it.
            unsafe { Link::attach(&raw const self.join, scope) };
        }
        // One that is done and has callbacks to run is not asked: the request goes back.
        if self.join.is_asked() && !self.has(flags::COMPLETE) {
            self.take_over_request();
        }
        self.join.set_waker(waker);
    }

    #[cold]
    fn take_over_request(&self) {
        if let Some(request) = self.join.take_request() {
            self.join.forward(true);
            self.join.note_forwarded(request.origin());
            self.cancel(request.into_reason());
        }
    }

    /// The awaiter takes the output, which is a value.
    #[inline]
    pub(super) fn leave_with_value(&self) {
        if self.join.has_forwarded() {
            self.answers_its_awaiter(false);
        } else {
            self.join.detach();
        }
    }

    /// The awaiter has come for the output, which is a failure: whether it was asked to end
    /// meanwhile, and this task has ended as cancelled. Then so does the awaiter.
    pub(super) fn goes_on_outward(&self, cancelled: bool) -> bool {
        if cancelled || self.join.has_forwarded() {
            return self.answers_its_awaiter(cancelled);
        }
        self.join.detach();
        false
    }

    fn answers_its_awaiter(&self, cancelled: bool) -> bool {
        let forwarded = self.join.forward(false);
        let origin = self.join.origin();
        let asked = self.join.is_asked() && !mutant!("an-awaiter-sees-its-own-cancel");
        if cancelled && (forwarded || asked) && is_above(origin) {
            // If it was asked in this very turn, that is the answer to it.
            self.join.take_request().map(Cancelled::answered);
            self.join.detach();
            hand_outward(origin);
            return true;
        }
        if forwarded && !cancelled && self.is_unanswered() {
            self.join.ask(origin);
        }
        self.join.detach();
        false
    }

    /// Whether nobody in the task, which is complete, has answered the last request to it.
    pub(super) fn is_unanswered(&self) -> bool {
        self.has(flags::CANCEL) && !mutant!("a-value-answers-a-request")
    }
}
