//! What can be polled side by side: tuples, arrays and vectors of futures.

use std::pin::Pin;
use std::task::Context;

use crate::cancel::{Combinator, Step};

/// Futures as [`join`](crate::join), [`try_join`](crate::try_join) and [`race`](crate::race) take
/// them: a tuple of up to 12, whose outputs may differ, or an array or a `Vec` of one type.
///
/// Sealed: the types of its branches have no names outside of this crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tuple, an array or a `Vec` of futures",
    note = "put the futures into a tuple: `join((one, other))`"
)]
pub trait IntoBranches {
    #[doc(hidden)]
    type Branches: Branches;

    #[doc(hidden)]
    fn into_branches(self) -> Self::Branches;
}

/// Branches of one combinator, known by their number.
pub trait Branches {
    /// What a branch gives.
    type Item;

    /// How many there are, over or not.
    fn count(&self) -> usize;

    /// Polls one that is not over.
    fn step(
        self: Pin<&mut Self>,
        index: usize,
        combinator: Pin<&Combinator>,
        cx: &mut Context<'_>,
    ) -> Step<Self::Item>;

    fn is_over(&self, index: usize) -> bool;

    /// Drops one that is not needed any more.
    fn end(self: Pin<&mut Self>, index: usize);
}

/// Branches whose outputs are wanted, all of them.
pub trait Collect: Branches {
    type Outputs;
    /// Where they are kept until all are there.
    type Slots: Default;

    fn put(slots: &mut Self::Slots, index: usize, item: Self::Item);

    /// Every branch has put its output.
    fn outputs(slots: Self::Slots) -> Self::Outputs;
}

/// Branches that give a `Result` each, and whose values are wanted, all of them.
pub trait TryCollect: Branches {
    type Outputs;
    type Error;
    type Slots: Default;

    fn put(slots: &mut Self::Slots, index: usize, item: Self::Item) -> Result<(), Self::Error>;

    /// Every branch has put its value.
    fn outputs(slots: Self::Slots) -> Self::Outputs;
}

/// Branches whose outputs are of one type.
pub trait Uniform: Branches {
    type Output;

    fn output(item: Self::Item) -> Self::Output;
}

/// For slots of which all are filled.
pub(super) const FILLED: &str = "every branch has put its output";
