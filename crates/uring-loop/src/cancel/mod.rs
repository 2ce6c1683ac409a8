//! Cancellation: a request that a task can see, take and answer, and the scopes that route it.
//!
//! The rules are in `docs/CANCELLATION.md`; in short: a request has an *origin* (a task, a
//! [`timeout`](crate::time::timeout), a [`TaskGroup`](crate::TaskGroup)); it goes to the innermost
//! *catchers* ([`catch_cancel`], an awaited [`Task`](crate::Task), a group) below its origin, and
//! where there is none the origin drops its future. A *branch* of one of our own combinators is
//! asked too if it has no catcher and another branch has one.
//!
//! `tree.rs` has the places in the tree, `request.rs` how a request travels down and back,
//! `in_hand.rs` when it need not come back, `scope.rs` the places that have others below them,
//! `branch.rs` the branches of combinators, `catch.rs` and `cancelled.rs` what users see.
//!
//! Everything here lives on one thread.

mod branch;
mod cancelled;
mod catch;
mod in_hand;
mod request;
mod scope;
mod tree;

pub(crate) use branch::{Branch, BranchList, Combinator, Step};
pub use cancelled::{Cancelled, Reason};
pub use catch::{CatchCancel, catch_cancel};
pub(crate) use request::{hand_outward, is_above, went_with_its_holder};
pub(crate) use scope::{Parked, Scope};
pub(crate) use tree::{Children, Link, LinkKind, ScopeRef};

/// Identifies the origin of a request among those above a scope. 0 is the task itself.
pub(crate) type Origin = u32;

/// The task as an origin.
pub(crate) const TASK: Origin = 0;
