//! Who has a request in hand.
//!
//! One request may reach several catchers that no combinator of ours tells apart: in the branches
//! of a foreign one, or one that is polled and one that is only kept. Those who hear it see to it.
//! One that goes away unheard meanwhile is as one that was not there: were the request made anew
//! for its sake, those who clean up would be asked twice, which cuts a clean-up short.
//!
//! A request is *in hand* from when a catcher has taken it ([`marks::IN_HAND`] at its origin and at
//! the branches in between), or has forwarded it to a task it still awaits, until the origin makes
//! another. A catcher that hands it outward gives it out of its hand: then it *insists*.

use super::scope::marks;
use super::tree::Parent;
use super::{Children, Link, LinkKind, Origin, Scope, TASK};
use crate::task::raw::Header;

impl Link {
    /// As a catcher: it has taken a request.
    pub(crate) fn note_taken(&self, origin: Origin) {
        self.note_in_hand(origin, true);
    }

    /// As the place of a task that is awaited: a request was forwarded to the task.
    pub(crate) fn note_forwarded(&self, origin: Origin) {
        self.note_in_hand(origin, false);
    }

    /// What went unheard ahead of this is not made anew.
    fn note_in_hand(&self, origin: Origin, taken: bool) {
        if mutant!("a-request-in-hand-is-made-anew") {
            return;
        }
        let mut at = self.parent.get();
        loop {
            let scope = match at.parent() {
                Parent::None => return,
                Parent::Task(task) => {
                    if origin == TASK {
                        task.note_in_hand(taken);
                    }
                    return;
                }
                Parent::Scope(scope) => scope,
            };
            let is_origin = scope.is_origin(origin);
            let is_branch = scope.link.kind == LinkKind::Branch;
            if is_origin || is_branch && scope.link.origin() == origin {
                scope.put(marks::AGAIN, false);
            }
            if taken && (is_origin || is_branch) {
                scope.put(marks::IN_HAND, true);
            }
            if is_origin {
                return;
            }
            if taken && scope.is_ending() && !mutant!("a-limit-forgets-who-outranks-it") {
                // It ends its future already: should that hand on the request it was ended by, this
                // one counts, which came from further out and was taken behind it.
                scope.link.ask(origin);
            }
            at = scope.link.parent.get();
        }
    }

    /// Whether somebody else in the task has its last request in hand.
    pub(super) fn is_in_hand_below(&self, task: &Header) -> bool {
        task.is_in_hand() || task.children.any_forwarded(TASK, self)
    }
}

impl Scope {
    /// Whether somebody below, other than `but`, has the request in hand.
    pub(super) fn is_in_hand(&self, origin: Origin, but: &Link) -> bool {
        self.has(marks::IN_HAND) || self.children.any_forwarded(origin, but)
    }
}

impl Children {
    /// Whether a task that is awaited below was handed a request of this origin.
    fn any_forwarded(&self, origin: Origin, but: &Link) -> bool {
        let mut any = false;
        self.for_each(|place| {
            let link = place.link;
            any |= match place.scope() {
                Some(scope) => scope.children.any_forwarded(origin, but),
                None => {
                    link.has_forwarded()
                        && link.origin() == origin
                        && !std::ptr::eq(link, but)
                        && !mutant!("a-forwarded-request-is-made-anew")
                }
            };
        });
        any
    }
}
