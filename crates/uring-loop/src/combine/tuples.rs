//! Branches of different types: tuples of up to 12 futures.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use pin_project_lite::pin_project;

use super::branches::{Branches, Collect, FILLED, IntoBranches, TryCollect, Uniform};
use crate::cancel::{Branch, Combinator, Step};

/// What one of up to 12 branches gave.
#[derive(Debug)]
#[expect(missing_docs, reason = "a number says it")]
pub enum Item<
    T0 = Infallible,
    T1 = Infallible,
    T2 = Infallible,
    T3 = Infallible,
    T4 = Infallible,
    T5 = Infallible,
    T6 = Infallible,
    T7 = Infallible,
    T8 = Infallible,
    T9 = Infallible,
    T10 = Infallible,
    T11 = Infallible,
> {
    B0(T0),
    B1(T1),
    B2(T2),
    B3(T3),
    B4(T4),
    B5(T5),
    B6(T6),
    B7(T7),
    B8(T8),
    B9(T9),
    B10(T10),
    B11(T11),
}

/// A tuple that says which of its futures are there, for `select!`.
#[derive(Debug)]
pub struct Maybe<T>(pub T);

macro_rules! tuple {
    ($Tuple:ident $count:literal: $($F:ident $T:ident $field:ident $variant:ident $index:tt),+) => {
        pin_project! {
            pub struct $Tuple<$($F),+> {
                $(#[pin] $field: Branch<$F>,)+
            }
        }

        impl<$($F: Future),+> IntoBranches for ($($F,)+) {
            type Branches = $Tuple<$($F),+>;

            fn into_branches(self) -> Self::Branches {
                $Tuple { $($field: Branch::new(Some(self.$index))),+ }
            }
        }

        impl<$($F: Future),+> IntoBranches for Maybe<($(Option<$F>,)+)> {
            type Branches = $Tuple<$($F),+>;

            fn into_branches(self) -> Self::Branches {
                $Tuple { $($field: Branch::new(self.0.$index)),+ }
            }
        }

        impl<$($F: Future),+> Branches for $Tuple<$($F),+> {
            type Item = Item<$($F::Output),+>;

            fn count(&self) -> usize {
                $count
            }

            fn step(
                self: Pin<&mut Self>,
                index: usize,
                combinator: Pin<&Combinator>,
                cx: &mut Context<'_>,
            ) -> Step<Self::Item> {
                let this = self.project();
                match index {
                    $($index => this.$field.step(combinator, cx).map(Item::$variant),)+
                    _ => unreachable!("there are {} branches", $count),
                }
            }

            fn is_over(&self, index: usize) -> bool {
                match index {
                    $($index => self.$field.is_over(),)+
                    _ => unreachable!("there are {} branches", $count),
                }
            }

            fn end(self: Pin<&mut Self>, index: usize) {
                let this = self.project();
                match index {
                    $($index => this.$field.end(),)+
                    _ => unreachable!("there are {} branches", $count),
                }
            }
        }

        impl<$($F: Future),+> Collect for $Tuple<$($F),+> {
            type Outputs = ($($F::Output,)+);
            type Slots = ($(Option<$F::Output>,)+);

            fn put(slots: &mut Self::Slots, _: usize, item: Self::Item) {
                match item {
                    $(Item::$variant(output) => slots.$index = Some(output),)+
                    #[allow(unreachable_patterns, reason = "reachable but with 12 branches")]
                    _ => unreachable!("the other branches give nothing"),
                }
            }

            fn outputs(slots: Self::Slots) -> Self::Outputs {
                ($(slots.$index.expect(FILLED),)+)
            }
        }

        impl<E, $($F, $T),+> TryCollect for $Tuple<$($F),+>
        where
            $($F: Future<Output = Result<$T, E>>),+
        {
            type Outputs = ($($T,)+);
            type Error = E;
            type Slots = ($(Option<$T>,)+);

            fn put(slots: &mut Self::Slots, _: usize, item: Self::Item) -> Result<(), E> {
                match item {
                    $(Item::$variant(output) => slots.$index = Some(output?),)+
                    #[allow(unreachable_patterns, reason = "reachable but with 12 branches")]
                    _ => unreachable!("the other branches give nothing"),
                }
                Ok(())
            }

            fn outputs(slots: Self::Slots) -> Self::Outputs {
                ($(slots.$index.expect(FILLED),)+)
            }
        }

        impl<T, $($F),+> Uniform for $Tuple<$($F),+>
        where
            $($F: Future<Output = T>),+
        {
            type Output = T;

            fn output(item: Self::Item) -> T {
                match item {
                    $(Item::$variant(output) => output,)+
                    #[allow(unreachable_patterns, reason = "reachable but with 12 branches")]
                    _ => unreachable!("the other branches give nothing"),
                }
            }
        }
    };
}

/// One tuple more from each line: with the branches of all lines before it.
macro_rules! tuples {
    ([$($done:tt)*]) => {};
    ([$($F:ident $T:ident $field:ident $variant:ident $index:tt),*]
        $Tuple:ident $count:literal $F_:ident $T_:ident $field_:ident $variant_:ident $index_:tt;
        $($rest:tt)*) => {
        tuple!($Tuple $count: $($F $T $field $variant $index,)*
            $F_ $T_ $field_ $variant_ $index_);
        tuples!([$($F $T $field $variant $index,)* $F_ $T_ $field_ $variant_ $index_] $($rest)*);
    };
}

tuples! { []
    Tuple1 1 F0 T0 f0 B0 0;
    Tuple2 2 F1 T1 f1 B1 1;
    Tuple3 3 F2 T2 f2 B2 2;
    Tuple4 4 F3 T3 f3 B3 3;
    Tuple5 5 F4 T4 f4 B4 4;
    Tuple6 6 F5 T5 f5 B5 5;
    Tuple7 7 F6 T6 f6 B6 6;
    Tuple8 8 F7 T7 f7 B7 7;
    Tuple9 9 F8 T8 f8 B8 8;
    Tuple10 10 F9 T9 f9 B9 9;
    Tuple11 11 F10 T10 f10 B10 10;
    Tuple12 12 F11 T11 f11 B11 11;
}
