//! The ways of a request: down to the catchers, back if it was not answered, outward if it was
//! handed on.
//!
//! *Down*: every innermost catcher below the origin is asked. A combinator of ours lets it through
//! to its branches; if any of them has a catcher, those that have none are asked themselves, and
//! are dropped.
//!
//! *Back*: a link that was asked and leaves its place without having answered, or that nobody
//! polls any more, gives its request to the nearest place above that can ask anew: the branch it
//! is in, whose siblings may have answered already, or else the origin. There it is made anew,
//! unless somebody else has it in hand (`in_hand.rs`). A branch that has nobody to ask gives it to
//! its combinator, which owes it: it answers by ending as cancelled, or gives it back in turn.
//!
//! *Outward*: a catcher that propagates gives the request to the next catcher, branch or group
//! above, or to the origin, which then drops its future.

use super::scope::marks;
use super::tree::{Parent, Place};
use super::{Cancelled, Children, Link, LinkKind, Origin, Scope, ScopeRef, TASK};
use crate::context;
use crate::task::raw::Header;
use crate::wake::LocalWaker;

/// Collected on the way and woken at its end, since a foreign waker may do anything.
type Wakers = Vec<LocalWaker>;

fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(LocalWaker::wake);
}

impl Children {
    /// Asks the innermost catchers below. `false`: there is none.
    pub(crate) fn request(&self, origin: Origin) -> bool {
        let mut wakers = Wakers::new();
        let any = self.mark(origin, &mut wakers);
        wake(wakers);
        any
    }

    fn mark(&self, origin: Origin, wakers: &mut Wakers) -> bool {
        let mut any = false;
        self.for_each(|place| any |= place.mark(origin, wakers));
        any
    }

    /// Takes the requests back that nobody has heard, although the task has parked: those who were
    /// asked are kept somewhere and polled by nobody. Catchers become loose, and the others are
    /// asked.
    ///
    /// Parents come before their children, so what a child gives to a branch above it is left for
    /// that branch to hear.
    pub(crate) fn give_back_unheard(&self) {
        let mut wakers = Wakers::new();
        self.unheard(&mut wakers);
        wake(wakers);
    }

    fn unheard(&self, wakers: &mut Wakers) {
        self.for_each(|place| {
            let (link, scope) = (place.link, place.scope());
            match link.kind {
                LinkKind::Catcher | LinkKind::Join if link.requested.replace(false) => {
                    wakers.extend(link.give_back());
                    if let Parent::Scope(above) = link.parent.get().parent() {
                        above.put(marks::LOOK, true);
                    }
                    return link.unlink();
                }
                LinkKind::Branch if !mutant!("a-kept-join-swallows-the-request") => {
                    let again = scope.is_some_and(|scope| scope.take(marks::AGAIN));
                    if (again | link.requested.replace(false))
                        && let Parent::Scope(combinator) = link.parent.get().parent()
                    {
                        combinator.link.origin.set(link.origin.get());
                        wakers.extend(combinator.link.give_back());
                    }
                }
                _ => {}
            }
            if let Some(scope) = scope {
                scope.children.unheard(wakers);
            }
        });
    }

    /// The parent goes away: children that were asked give it back on its behalf.
    pub(super) fn give_back(&self) {
        let mut wakers = Wakers::new();
        self.for_each(|place| {
            if place.link.requested.replace(false) {
                wakers.extend(place.link.give_back());
            }
        });
        wake(wakers);
    }

    /// Takes back the requests of the task that nobody has taken.
    pub(crate) fn withdraw(&self) {
        self.for_each(|place| {
            if place.link.origin.get() == TASK {
                place.link.requested.set(false);
            }
            let Some(scope) = place.scope() else { return };
            if place.link.kind == LinkKind::Branch && place.link.origin.get() == TASK {
                scope.put(marks::AGAIN, false);
            }
            scope.children.withdraw();
        });
    }
}

impl Place<'_> {
    fn mark(self, origin: Origin, wakers: &mut Wakers) -> bool {
        let below = match self.scope() {
            None => false,
            Some(scope) if self.link.kind == LinkKind::Combinator => {
                scope.mark_branches(origin, wakers)
            }
            Some(scope) => scope.children.mark(origin, wakers),
        };
        if below || matches!(self.link.kind, LinkKind::Origin | LinkKind::Combinator) {
            return below;
        }
        if self.link.kind == LinkKind::Branch {
            // Its combinator decides.
            return false;
        }
        self.link.ask(origin);
        wakers.extend(self.link.waker.take());
        true
    }
}

impl Scope {
    /// Asks what catches in the branches. If anything does, branches where nothing does are to be
    /// dropped.
    fn mark_branches(&self, origin: Origin, wakers: &mut Wakers) -> bool {
        let mut any = false;
        self.children.for_each(|branch| {
            let below = branch.mark(origin, wakers);
            if let Some(scope) = branch.scope() {
                scope.put(marks::LOOK, below);
                scope.put(marks::IN_HAND, false);
            }
            any |= below;
        });
        if any {
            self.mark_the_rest(origin);
            wakers.extend(self.link.waker.take());
        }
        any
    }

    /// Asks the branches themselves of which none below was asked just now.
    fn mark_the_rest(&self, origin: Origin) {
        self.children.for_each(|branch| {
            if branch.scope().is_some_and(|scope| !scope.take(marks::LOOK))
                && !mutant!("branches-without-a-catcher-go-on")
            {
                branch.link.ask(origin);
            }
        });
        if !self.link.requested.get() {
            // For branches that have not begun, and never will.
            self.link.origin.set(origin);
        }
        self.put(marks::ASKED | marks::LOOK, true);
    }

    /// As a combinator, one branch of which ended as cancelled without a request to all: asks the
    /// others, each of which is dropped if nothing in it catches.
    pub(super) fn end_branches(&self, origin: Origin) {
        let mut wakers = Wakers::new();
        self.children.for_each(|branch| {
            let below = branch.mark(origin, &mut wakers);
            if let Some(scope) = branch.scope() {
                scope.put(marks::LOOK, below);
                scope.put(marks::IN_HAND, false);
            }
        });
        self.mark_the_rest(origin);
        self.link.note_asked();
        wake(wakers);
    }

    /// As a branch: asks what catches below it. `false`: there is nothing.
    pub(super) fn ask_below(&self, origin: Origin) -> bool {
        let any = self.children.request(origin);
        if any {
            self.link.note_asked();
        }
        any
    }
}

impl Link {
    /// Notes a request; of two that were not answered yet the outer one counts, if it is still
    /// there.
    pub(crate) fn ask(&self, origin: Origin) {
        let old = self.origin.replace(origin);
        let before = self.requested.replace(true) | self.has_forwarded();
        if before && old != origin && self.is_below(old) {
            self.origin.set(self.outer(old, origin));
        }
    }

    /// Notes a request that somebody has had in hand and gives up: should it not be answered here,
    /// it is made anew.
    pub(crate) fn owe(&self, origin: Origin) {
        self.ask(origin);
        self.insists.set(!mutant!("a-request-handed-on-counts-as-answered"));
    }

    /// What was asked here and has not been answered is to be made anew whoever has it in hand.
    pub(super) fn insist(&self) {
        self.insists.set(self.requested.get());
    }

    /// Which of two origins above is further out.
    pub(crate) fn outer(&self, one: Origin, other: Origin) -> Origin {
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

    /// Which of two requests that were taken here counts.
    pub(crate) fn merge(&self, before: Option<Cancelled>, now: Cancelled) -> Cancelled {
        let Some(before) = before else { return now };
        let outer = self.outer(before.origin(), now.origin());
        let (kept, other) = if outer == before.origin() { (before, now) } else { (now, before) };
        other.answered();
        kept
    }

    /// Whether the origin stands above this.
    fn is_below(&self, origin: Origin) -> bool {
        is_above_of(self.parent.get(), origin)
    }

    /// The origin of the last request.
    pub(crate) fn origin(&self) -> Origin {
        self.origin.get()
    }

    /// Takes the request, if there is one.
    pub(crate) fn take_request(&self) -> Option<Cancelled> {
        self.insists.set(false);
        self.requested.replace(false).then(|| self.request_of(self.origin.get()))
    }

    /// The request of an origin above, taken here.
    pub(crate) fn request_of(&self, origin: Origin) -> Cancelled {
        let task = self.parent.get().root();
        let reason = task.filter(|_| origin == TASK).and_then(Header::reason);
        Cancelled::taken(origin, task.map_or(0, |task| task.node.id), reason)
    }

    /// Catchers were asked: the task looks at its next park whether they have heard it.
    pub(super) fn note_asked(&self) {
        if let Some(task) = self.parent.get().root() {
            task.note_asked();
        }
    }

    /// Gives the last request to the nearest place above that can ask anew, unless somebody else
    /// below that place has it in hand. The answer is to be woken.
    pub(super) fn give_back(&self) -> Option<LocalWaker> {
        let origin = self.origin.get();
        let insists = self.insists.replace(false);
        let mut at = self.parent.get();
        loop {
            let scope = match at.parent() {
                Parent::None => return None,
                Parent::Task(task) => {
                    if origin == TASK && (insists || !self.is_in_hand_below(task)) {
                        task.ask_again();
                    }
                    return None;
                }
                Parent::Scope(scope) => scope,
            };
            let answers = scope.is_origin(origin) || scope.link.kind == LinkKind::Branch;
            if answers && !insists && scope.is_in_hand(origin, self) {
                return None;
            }
            if scope.is_origin(origin) {
                scope.put(marks::AGAIN, true);
                return scope.link.waker.take();
            }
            match scope.link.kind {
                LinkKind::Branch if !mutant!("a-request-given-back-asks-everybody") => {
                    scope.link.insists.set(insists | scope.link.insists.get());
                    return scope.ask_branch_again(origin);
                }
                LinkKind::Combinator => {
                    // From one of its branches, which has nothing left to ask.
                    scope.link.ask(origin);
                    scope.link.insists.set(insists | scope.link.insists.get());
                    return None;
                }
                _ => at = scope.link.parent.get(),
            }
        }
    }
}

impl Scope {
    fn ask_branch_again(&self, origin: Origin) -> Option<LocalWaker> {
        let asked = self.link.requested.get() || self.has(marks::AGAIN);
        let old = self.link.origin.replace(origin);
        if asked && old != origin {
            self.link.origin.set(self.link.outer(old, origin));
        }
        self.put(marks::AGAIN, true);
        self.link.note_asked();
        match self.link.parent.get().parent() {
            Parent::Scope(combinator) => {
                combinator.put(marks::LOOK, true);
                combinator.link.waker.take()
            }
            _ => None,
        }
    }
}

/// Gives the request to the next catcher or branch above the scope being polled, or to the origin
/// itself. No wake is needed: all of them are being polled, and look when what is inside parks.
pub(crate) fn hand_outward(origin: Origin) {
    let mut at = context::scope();
    loop {
        let scope = match at.parent() {
            Parent::None => return,
            Parent::Task(task) => return task.drop_after_poll(),
            Parent::Scope(scope) => scope,
        };
        if scope.is_origin(origin) {
            return scope.put(marks::HANDED, true);
        }
        match scope.link.kind {
            LinkKind::Catcher => return scope.link.owe(origin),
            LinkKind::Branch => {
                scope.link.origin.set(origin);
                return scope.put(marks::HANDED, true);
            }
            _ => at = scope.link.parent.get(),
        }
    }
}

/// A request that was taken is dropped, neither handed on nor swallowed, if its holder is being
/// dropped by a scope: then it becomes that scope's.
///
/// `task` is the number of the task that took it; elsewhere it is nobody's.
pub(crate) fn went_with_its_holder(origin: Origin, task: u32) {
    if let Parent::Scope(scope) = context::scope().parent()
        && scope.has(marks::GOING)
        && scope.link.parent.get().root().is_some_and(|root| root.node.id == task)
        && !scope.is_origin(origin)
        && scope.link.is_below(origin)
        && !mutant!("a-request-goes-with-its-holder")
    {
        scope.link.ask(origin);
    }
}

/// Whether the origin of a request stands above the scope being polled. One that has ended can't
/// take anything back.
pub(crate) fn is_above(origin: Origin) -> bool {
    is_above_of(context::scope(), origin)
}

fn is_above_of(mut at: ScopeRef, origin: Origin) -> bool {
    while let Parent::Scope(scope) = at.parent() {
        if scope.is_origin(origin) {
            return true;
        }
        at = scope.link.parent.get();
    }
    origin == TASK
}
