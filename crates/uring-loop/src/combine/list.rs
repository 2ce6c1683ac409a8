//! Branches of one type: arrays and vectors of futures.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::Context;

use pin_project_lite::pin_project;

use super::branches::{Branches, Collect, FILLED, IntoBranches, TryCollect, Uniform};
use crate::cancel::{Branch, BranchList, Combinator, Step};

pin_project! {
    /// Branches in one allocation. `C` says what becomes of their outputs.
    pub struct List<F, C> {
        #[pin]
        branches: BranchList<F>,
        collect: PhantomData<C>,
    }
}

impl<F: Future, C> List<F, C> {
    fn new(futures: impl IntoIterator<Item = F>) -> Self {
        let branches = futures.into_iter().map(|future| Branch::new(Some(future))).collect();
        List { branches, collect: PhantomData }
    }
}

/// Collects into a `Vec`.
#[derive(Debug)]
pub struct ToVec;

/// Collects into an array.
#[derive(Debug)]
pub struct ToArray<const N: usize>;

impl<F: Future> IntoBranches for Vec<F> {
    type Branches = List<F, ToVec>;

    fn into_branches(self) -> Self::Branches {
        List::new(self)
    }
}

impl<F: Future, const N: usize> IntoBranches for [F; N] {
    type Branches = List<F, ToArray<N>>;

    fn into_branches(self) -> Self::Branches {
        List::new(self)
    }
}

impl<F: Future, C> Branches for List<F, C> {
    type Item = F::Output;

    fn count(&self) -> usize {
        self.branches.len()
    }

    fn step(
        self: Pin<&mut Self>,
        index: usize,
        combinator: Pin<&Combinator>,
        cx: &mut Context<'_>,
    ) -> Step<F::Output> {
        self.project().branches.branch(index).step(combinator, cx)
    }

    fn is_over(&self, index: usize) -> bool {
        self.branches.is_over(index)
    }

    fn end(self: Pin<&mut Self>, index: usize) {
        self.project().branches.branch(index).end();
    }
}

/// Outputs at the places of their branches.
#[derive(Debug)]
pub struct Slots<T>(Vec<Option<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots(Vec::new())
    }
}

impl<T> Slots<T> {
    fn put(&mut self, index: usize, output: T) {
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(output);
    }

    fn all(self) -> impl Iterator<Item = T> {
        self.0.into_iter().map(|slot| slot.expect(FILLED))
    }

    fn array<const N: usize>(self) -> [T; N] {
        let all: Vec<T> = self.all().collect();
        all.try_into().unwrap_or_else(|_| unreachable!("one output for each of the branches"))
    }
}

impl<F: Future> Collect for List<F, ToVec> {
    type Outputs = Vec<F::Output>;
    type Slots = Slots<F::Output>;

    fn put(slots: &mut Self::Slots, index: usize, item: F::Output) {
        slots.put(index, item);
    }

    fn outputs(slots: Self::Slots) -> Self::Outputs {
        slots.all().collect()
    }
}

impl<F: Future, const N: usize> Collect for List<F, ToArray<N>> {
    type Outputs = [F::Output; N];
    type Slots = Slots<F::Output>;

    fn put(slots: &mut Self::Slots, index: usize, item: F::Output) {
        slots.put(index, item);
    }

    fn outputs(slots: Self::Slots) -> Self::Outputs {
        slots.array()
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> TryCollect for List<F, ToVec> {
    type Outputs = Vec<T>;
    type Error = E;
    type Slots = Slots<T>;

    fn put(slots: &mut Self::Slots, index: usize, item: Result<T, E>) -> Result<(), E> {
        slots.put(index, item?);
        Ok(())
    }

    fn outputs(slots: Self::Slots) -> Self::Outputs {
        slots.all().collect()
    }
}

impl<F: Future<Output = Result<T, E>>, T, E, const N: usize> TryCollect for List<F, ToArray<N>> {
    type Outputs = [T; N];
    type Error = E;
    type Slots = Slots<T>;

    fn put(slots: &mut Self::Slots, index: usize, item: Result<T, E>) -> Result<(), E> {
        slots.put(index, item?);
        Ok(())
    }

    fn outputs(slots: Self::Slots) -> Self::Outputs {
        slots.array()
    }
}

impl<F: Future, C> Uniform for List<F, C> {
    type Output = F::Output;

    fn output(item: F::Output) -> F::Output {
        item
    }
}
