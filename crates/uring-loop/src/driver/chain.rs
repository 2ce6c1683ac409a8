//! Linked operations: each starts when the one before it has succeeded.
//!
//! Nothing is submitted, and no slot is taken, before the first poll. Then all entries go over
//! together, since the kernel ends a chain where an enter ends: if the queue has no room for all of
//! them it is handed over first, and if that does not help they wait as a whole in the backlog.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::op::{Op, Submit};
use super::ring::{Cqe, Sqe, Wait, sqe_flags};
use super::{Driver, Inner, Key, count};

/// Operations that can be [chained](Driver::chain): tuples of two to eight [`Op`]s, and vectors of
/// one kind. What comes out is a tuple, or a vector, of their outputs.
pub trait Chain: parts::Chain {}

impl<C: parts::Chain> Chain for C {}

/// A link that holds even if this operation fails (`IOSQE_IO_HARDLINK`, Linux 5.5): what follows it
/// in a [chain](Driver::chain) starts all the same.
///
/// At the end of a chain, or outside of one, it changes nothing.
#[derive(Debug)]
pub struct Hard<T>(pub T);

// SAFETY: the inner op's; the flag only says when a later entry starts.
unsafe impl<T: Op> Op for Hard<T> {
    type Output = T::Output;
    const HOLDS_CLOCK: bool = T::HOLDS_CLOCK;

    fn prepare(&mut self, sqe: &mut Sqe) {
        self.0.prepare(sqe);
        sqe.flags |= sqe_flags::IO_HARDLINK;
    }

    fn complete(self, cqe: Cqe) -> T::Output {
        self.0.complete(cqe)
    }
}

impl Driver {
    /// Runs operations in a row, without coming back to the loop between them: each starts when the
    /// one before it has succeeded (`IOSQE_IO_LINK`, Linux 5.3). All outputs come together.
    ///
    /// When one fails, those behind it complete with `ECANCELED`, unless it is [`Hard`]. A read or
    /// write that moves less than it was asked for counts as failed. To limit the time of an
    /// operation, put a [`LinkTimeout`](crate::op::LinkTimeout) behind it.
    ///
    /// # Panics
    ///
    /// If the chain is longer than the submission queue
    /// ([`Builder::submissions`](crate::Builder::submissions)), or of a vector without operations.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped, every operation that is not complete is cancelled, but the first ones may
    /// have taken effect.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::op::{Driver, Nop};
    ///
    /// uring_loop::run(async {
    ///     let (first, second) = Driver::current().chain((Nop, Nop)).await;
    ///     first.and(second)
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn chain<C: Chain>(self: &Rc<Self>, ops: C) -> Chained<C> {
        let (length, most) = (ops.length(), self.inner().ring.capacity() as usize);
        assert!(length > 0, "a chain needs an operation");
        // Of a closed ring nothing is asked: the ops end as cancelled.
        assert!(
            length <= most || self.closing(),
            "a chain of {length} operations does not fit a submission queue of {most} entries: \
             make the loop with more (Builder::submissions)"
        );
        Chained { driver: self.clone(), state: State::New(ops) }
    }

    /// Pushes entries whose ops lie in their slots, as one chain.
    fn push_chain(&self, Entries(mut chain): Entries) {
        let last = chain.len() - 1;
        for (_, sqe) in &mut chain[..last] {
            if sqe.flags & sqe_flags::IO_HARDLINK == 0 {
                sqe.flags |= sqe_flags::IO_LINK;
            }
        }
        chain[last].1.flags &= !(sqe_flags::IO_LINK | sqe_flags::IO_HARDLINK);
        let mut inner = self.inner();
        if inner.closing {
            for (key, _) in chain {
                self.complete_unsubmitted(&mut inner, key);
            }
            return;
        }
        if self.make_room(&mut inner, chain.len() as u32) {
            chain.iter().for_each(|(_, sqe)| self.push(&mut inner, *sqe));
        } else {
            for (_, sqe) in &chain {
                count(&self.counters.submissions);
                count(&self.counters.backlogged);
                inner.backlog.push_back(*sqe);
            }
        }
        drop(inner);
        chain.iter().for_each(|(key, _)| self.show_submitted(*key));
    }

    fn make_room(&self, inner: &mut Inner, entries: u32) -> bool {
        if !inner.backlog.is_empty() {
            return false;
        }
        if inner.room() < entries {
            count(&self.counters.flushes);
            // As in `push`: an error leaves the queue full.
            let _ = inner.ring.enter(Wait::Submit);
        }
        inner.room() >= entries
    }
}

/// Entries whose ops lie in their slots.
#[derive(Debug)]
pub struct Entries(Vec<(Key, Sqe)>);

/// Future of [`Driver::chain`].
#[must_use = "operations are submitted when this is first polled"]
pub struct Chained<C: Chain> {
    driver: Rc<Driver>,
    state: State<C>,
}

enum State<C: Chain> {
    New(C),
    Started(C::Parts),
    Taken,
}

// An op is moved into its slot at submission; nothing is pinned in the future.
impl<C: Chain> Unpin for Chained<C> {}

impl<C: Chain> Future for Chained<C> {
    type Output = C::Outputs;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Outputs> {
        let this = &mut *self;
        let mut parts = match std::mem::replace(&mut this.state, State::Taken) {
            State::New(ops) => {
                let mut entries = Entries(Vec::with_capacity(ops.length()));
                let parts = ops.start(&this.driver, &mut entries);
                this.driver.push_chain(entries);
                parts
            }
            State::Started(parts) => parts,
            State::Taken => panic!("a Chained is not polled after it was ready"),
        };
        let polled = C::poll(&mut parts, cx);
        if polled.is_pending() {
            this.state = State::Started(parts);
        }
        polled
    }
}

impl<C: Chain> fmt::Debug for Chained<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::New(_) => "Chained(new)",
            State::Started(_) => "Chained(in flight)",
            State::Taken => "Chained(taken)",
        })
    }
}

/// What a [`Chain`] is made of; sealed.
mod parts {
    use super::{Context, Driver, Entries, Op, Pin, Poll, Rc, Submit};
    use std::future::Future;

    pub trait Chain {
        type Outputs;
        type Parts;

        fn length(&self) -> usize;
        /// Moves the ops into slots and notes their entries, in order.
        fn start(self, driver: &Rc<Driver>, entries: &mut Entries) -> Self::Parts;
        /// Ready when all are.
        fn poll(parts: &mut Self::Parts, cx: &mut Context<'_>) -> Poll<Self::Outputs>;
    }

    /// An op of the chain, or what came of it.
    pub enum Part<T: Op> {
        Waiting(Submit<T>),
        Done(T::Output),
        Taken,
    }

    impl<T: Op> std::fmt::Debug for Part<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(match self {
                Part::Waiting(_) => "Part(waiting)",
                Part::Done(_) => "Part(done)",
                Part::Taken => "Part(taken)",
            })
        }
    }

    impl<T: Op> Part<T> {
        fn start(op: T, driver: &Rc<Driver>, entries: &mut Entries) -> Self {
            let (key, sqe) = driver.start_later(op);
            entries.0.push((key, sqe));
            Part::Waiting(Submit::started(driver.clone(), key))
        }

        fn is_done(&mut self, cx: &mut Context<'_>) -> bool {
            if let Part::Waiting(submit) = self {
                match Pin::new(submit).poll(cx) {
                    Poll::Ready(output) => *self = Part::Done(output),
                    Poll::Pending => return false,
                }
            }
            true
        }

        fn take(&mut self) -> T::Output {
            match std::mem::replace(self, Part::Taken) {
                Part::Done(output) => output,
                _ => unreachable!("every part is done, and taken once"),
            }
        }
    }

    impl<T: Op> Chain for Vec<T> {
        type Outputs = Vec<T::Output>;
        type Parts = Vec<Part<T>>;

        fn length(&self) -> usize {
            self.len()
        }

        fn start(self, driver: &Rc<Driver>, entries: &mut Entries) -> Self::Parts {
            self.into_iter().map(|op| Part::start(op, driver, entries)).collect()
        }

        fn poll(parts: &mut Self::Parts, cx: &mut Context<'_>) -> Poll<Self::Outputs> {
            // Every one is polled, so that every one knows whom to wake.
            let waiting = parts.iter_mut().filter_map(|part| (!part.is_done(cx)).then_some(()));
            if waiting.count() > 0 {
                return Poll::Pending;
            }
            Poll::Ready(parts.iter_mut().map(Part::take).collect())
        }
    }

    macro_rules! tuples {
        ($($length:literal: $($op:ident $at:tt)+;)+) => {$(
            impl<$($op: Op),+> Chain for ($($op,)+) {
                type Outputs = ($($op::Output,)+);
                type Parts = ($(Part<$op>,)+);

                fn length(&self) -> usize {
                    $length
                }

                fn start(
                    self,
                    driver: &Rc<Driver>,
                    entries: &mut Entries,
                ) -> Self::Parts {
                    ($(Part::start(self.$at, driver, entries),)+)
                }

                fn poll(parts: &mut Self::Parts, cx: &mut Context<'_>) -> Poll<Self::Outputs> {
                    let done = [$(parts.$at.is_done(cx)),+];
                    if done.contains(&false) {
                        return Poll::Pending;
                    }
                    Poll::Ready(($(parts.$at.take(),)+))
                }
            }
        )+};
    }

    tuples! {
        2: A 0 B 1;
        3: A 0 B 1 C 2;
        4: A 0 B 1 C 2 D 3;
        5: A 0 B 1 C 2 D 3 E 4;
        6: A 0 B 1 C 2 D 3 E 4 F 5;
        7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
        8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
    }
}
