//! `select!`: waiting for the first of several futures, with code for each.

/// Waits for the first of several futures, and runs the code that belongs to it.
///
/// ```text
/// select! {
///     biased;                                   // may be left out
///     pattern = future => expression,
///     pattern = future, if condition => { … }
///     else => expression,                       // may be left out
/// }
/// ```
///
/// Up to 12 branches. All futures are polled side by side, in the task that awaits; the first whose
/// output matches its pattern decides, the others are dropped, and *then* its expression is
/// evaluated: it may use what the other futures have borrowed. It may `await`, `return`, `break`,
/// and use `?`.
///
/// * A branch whose output does not match is out, and the others go on.
/// * A branch whose condition is false is out from the start; its future is not even made.
/// * When all are out, `else` is evaluated; without one the macro panics.
/// * Of several futures that are ready at the same time, any may win. With `biased;` it is the
///   first one, which is cheaper, and starves the later ones if it is always ready.
///
/// A pattern that can fail to match binds by reference while it is tried, so it can't have `mut` or
/// `ref` inside.
///
/// A losing future is dropped. Operations of this crate say under *Cancel safety* what is lost
/// then; a `recv` or an `accept` loses nothing. To go on with a future that lost, make it outside
/// and give `&mut future`.
///
/// Each is a *branch*, as in [`race`](crate::race): see there for what a cancel request does.
///
/// # Panics
///
/// If no branch is left and there is no `else`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::select;
/// use uring_loop::time::sleep;
///
/// # uring_loop::testing::run(async {
/// let mut numbers = vec![3, 2, 1].into_iter();
/// let mut sum = 0;
/// let patience = sleep(Duration::from_secs(1));
/// let mut patience = std::pin::pin!(patience);
/// loop {
///     select! {
///         biased;
///         () = &mut patience => panic!("too slow"),
///         Some(number) = std::future::ready(numbers.next()) => sum += number,
///         else => break,
///     }
///     if sum == 6 {
///         break;
///     }
/// }
/// assert_eq!(sum, 6);
/// # })
/// ```
#[macro_export]
macro_rules! select {
    (biased; $($branches:tt)+) => {
        $crate::select!(@parse false [] [B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11] $($branches)+)
    };

    (@parse $fair:tt [$($done:tt)+] [$($free:ident)*] else => $else:expr $(,)?) => {
        $crate::select!(@run $fair [$($done)+] $else)
    };
    (@parse $fair:tt [$($done:tt)+] [$($free:ident)*]) => {
        $crate::select!(@run $fair [$($done)+] $crate::__private::select::nothing_left())
    };
    (@parse $fair:tt [$($done:tt)*] []
        $pattern:pat = $future:expr $(, if $condition:expr)? => $($rest:tt)*) => {
        ::core::compile_error!("select! takes up to 12 branches")
    };
    (@parse $fair:tt [$($done:tt)*] [$name:ident $($free:ident)*]
        $pattern:pat = $future:expr, if $condition:expr => $body:block, $($rest:tt)*) => {
        $crate::select!(@parse $fair
            [$($done)* ($name ($pattern)
                (if $condition { ::core::option::Option::Some($future) } else {
                    ::core::option::Option::None
                })
                ($body))] [$($free)*] $($rest)*)
    };
    (@parse $fair:tt [$($done:tt)*] [$name:ident $($free:ident)*]
        $pattern:pat = $future:expr, if $condition:expr => $body:block $($rest:tt)*) => {
        $crate::select!(@parse $fair
            [$($done)* ($name ($pattern)
                (if $condition { ::core::option::Option::Some($future) } else {
                    ::core::option::Option::None
                })
                ($body))] [$($free)*] $($rest)*)
    };
    (@parse $fair:tt [$($done:tt)*] [$name:ident $($free:ident)*]
        $pattern:pat = $future:expr, if $condition:expr => $body:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@parse $fair
            [$($done)* ($name ($pattern)
                (if $condition { ::core::option::Option::Some($future) } else {
                    ::core::option::Option::None
                })
                ($body))] [$($free)*]
            $($($rest)*)?)
    };
    (@parse $fair:tt [$($done:tt)*] [$name:ident $($free:ident)*]
        $pattern:pat = $future:expr => $body:block, $($rest:tt)*) => {
        $crate::select!(@parse $fair
            [$($done)* ($name ($pattern) (::core::option::Option::Some($future)) ($body))]
            [$($free)*] $($rest)*)
    };
    (@parse $fair:tt [$($done:tt)*] [$name:ident $($free:ident)*]
        $pattern:pat = $future:expr => $body:block $($rest:tt)*) => {
        $crate::select!(@parse $fair
            [$($done)* ($name ($pattern) (::core::option::Option::Some($future)) ($body))]
            [$($free)*] $($rest)*)
    };
    (@parse $fair:tt [$($done:tt)*] [$name:ident $($free:ident)*]
        $pattern:pat = $future:expr => $body:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@parse $fair
            [$($done)* ($name ($pattern) (::core::option::Option::Some($future)) ($body))]
            [$($free)*] $($($rest)*)?)
    };

    (@run $fair:tt
        [$(($name:ident ($pattern:pat) ($future:expr) ($body:expr)))+]
        $else:expr
    ) => {{
        // The futures are gone by the end of this statement.
        let item = $crate::__private::select::select(
            $fair,
            ($($future,)+),
            |item| match item {
                $($crate::__private::select::Item::$name(output) =>
                {
                    #[allow(unused_variables, unreachable_patterns, clippy::all)]
                    match output {
                        $pattern => true,
                        _ => false,
                    }
                })+
                #[allow(unreachable_patterns)]
                _ => false,
            },
        )
        .await;
        #[allow(unreachable_patterns)]
        match item {
            $(::core::option::Option::Some(
                $crate::__private::select::Item::$name($pattern)
            ) => $body,)+
            ::core::option::Option::Some(_) => ::core::unreachable!("it matched before"),
            ::core::option::Option::None => $else,
        }
    }};

    ($($branches:tt)+) => {
        $crate::select!(@parse true [] [B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11] $($branches)+)
    };
}

/// What the macro expands to.
pub mod support {
    use std::future::{Future, poll_fn};
    use std::ops::ControlFlow;
    use std::pin::pin;

    use super::super::branches::{Branches, IntoBranches};
    use super::super::side::Side;
    pub use super::super::tuples::Item;
    use super::super::tuples::Maybe;
    use crate::context;

    /// The first output that `wanted` wants; `None` when no branch is left.
    pub fn select<T>(
        fair: bool,
        futures: T,
        wanted: impl Fn(&<<Maybe<T> as IntoBranches>::Branches as Branches>::Item) -> bool,
    ) -> impl Future<Output = Option<<<Maybe<T> as IntoBranches>::Branches as Branches>::Item>>
    where
        Maybe<T>: IntoBranches,
    {
        let branches = Maybe(futures).into_branches();
        let count = branches.count();
        let side = Side::new(branches);
        async move {
            let mut side = pin!(side);
            poll_fn(|cx| {
                let start = if fair { context::lot(count) } else { 0 };
                side.as_mut().poll(cx, start, &mut |_, item| match wanted(&item) {
                    true => ControlFlow::Break(item),
                    false => ControlFlow::Continue(()),
                })
            })
            .await
        }
    }

    /// No branch is left, and there is no `else`.
    #[track_caller]
    pub fn nothing_left() -> ! {
        panic!("every branch of select! is out, and it has no `else` for that")
    }
}
