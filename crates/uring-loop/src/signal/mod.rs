//! Signals of Unix: as a stream, as callbacks, and Ctrl+C.
//!
//! Signals are few and belong to the whole process. While anybody in it listens to one, on any
//! loop, its default action is replaced; when the last listener goes, what was there before comes
//! back. Every listener hears every signal. Signals of one kind that come faster than they are
//! taken count as one, as with the kernel itself (signal(7)).
//!
//! A program's main task needs none of this to end on Ctrl+C: see [`run`](crate::run).

mod ear;
mod kind;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub(crate) use ear::{Ear, Ears};
use futures_core::Stream;
pub use kind::SignalKind;

use crate::callback::Callback;
use crate::context;
use crate::sys::signal::{Listening, count};
use crate::task::door;

/// Listens to signals of one kind, or of several, on this thread's loop.
///
/// # Errors
///
/// `InvalidInput` for a signal that cannot be handled (SIGKILL, SIGSTOP) or that reports a fault of
/// the program (SIGSEGV and its like), and for no signal at all.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use uring_loop::signal::{SignalKind, signals};
///
/// uring_loop::run(async {
///     let mut hangups = signals(SignalKind::HANGUP)?;
///     # unsafe extern "C" { safe fn raise(number: i32) -> i32; }
///     raise(SignalKind::HANGUP.number()); // or: kill -HUP, from a shell
///     hangups.recv().await;
///     println!("reading the configuration again");
///     # Ok::<(), std::io::Error>(())
/// })?
/// # ;
/// # Ok::<(), std::io::Error>(())
/// ```
/// Several kinds in one stream:
///
/// ```
/// use uring_loop::signal::{SignalKind, signals};
///
/// uring_loop::run(async {
///     let mut ends = signals([SignalKind::INTERRUPT, SignalKind::TERMINATE])?;
///     # unsafe extern "C" { safe fn raise(number: i32) -> i32; }
///     # raise(SignalKind::TERMINATE.number());
///     let kind = ends.recv().await;
///     println!("ending, because of {kind}");
///     # assert_eq!(kind, SignalKind::TERMINATE);
///     # Ok::<(), std::io::Error>(())
/// })?
/// # ;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "signalfd")]
#[track_caller]
pub fn signals(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Signals> {
    let ear = context::core("signals", |core| core.ears.open(core.door()));
    let mut heard: Vec<Heard> = Vec::new();
    for kind in kinds {
        if heard.iter().all(|other| other.kind() != kind) {
            let listening = Listening::to(kind.number(), door::ring_listeners)?;
            heard.push(Heard { seen: count(kind.number()), listening });
        }
    }
    if heard.is_empty() {
        let text = "signals of no kind: none would ever come";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(Signals { heard, next: 0, ear })
}

/// Signals of one kind or several, made by [`signals`]; also a [`Stream`] of them, which never
/// ends.
///
/// What has come is kept until it is given out, whoever waits or does not: between two calls, or
/// for a call that was dropped. Signals of one kind that come meanwhile are given out as one; those
/// of different kinds each by itself, in no order.
pub struct Signals {
    heard: Vec<Heard>,
    /// Whose turn it is: a kind that comes all the time keeps no other back.
    next: usize,
    ear: Rc<Ear>,
}

/// One kind.
struct Heard {
    listening: Listening,
    /// The count of the last signal that was given out.
    seen: u32,
}

impl Heard {
    fn kind(&self) -> SignalKind {
        SignalKind::from_number(self.listening.number())
    }

    /// Whether one has come since the last was given out. It is given out now.
    fn take(&mut self) -> bool {
        let now = count(self.listening.number());
        std::mem::replace(&mut self.seen, now) != now
    }
}

impl Signals {
    /// Waits for the next signal, one that has come since the last of its kind was given out or
    /// one that comes, and tells its kind.
    ///
    /// # Cancel safety
    ///
    /// Strict: a signal that was not given out is given out by the next call.
    pub async fn recv(&mut self) -> SignalKind {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The same as a poll function.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<SignalKind> {
        // First the ear, then the counts: a signal between them is seen in the count.
        self.ear.listen(cx.waker());
        for turn in 0..self.heard.len() {
            let at = (self.next + turn) % self.heard.len();
            if self.heard[at].take() {
                self.next = at + 1;
                self.ear.cover();
                return Poll::Ready(self.heard[at].kind());
            }
        }
        Poll::Pending
    }

    /// What it listens to.
    pub fn kinds(&self) -> impl Iterator<Item = SignalKind> {
        self.heard.iter().map(Heard::kind)
    }
}

impl Stream for Signals {
    type Item = SignalKind;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SignalKind>> {
        self.poll_recv(cx).map(Some)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.ear.close();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")?;
        f.debug_set().entries(self.kinds()).finish()
    }
}

/// Waits for Ctrl+C (SIGINT), from now on.
///
/// # Errors
///
/// None that is to be expected: SIGINT can be handled.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: a signal that comes between two calls is not seen. Keep [`signals`] for that.
pub async fn ctrl_c() -> io::Result<()> {
    let _ = signals(SignalKind::INTERRUPT)?.recv().await;
    Ok(())
}

/// Calls `f` on this thread's loop whenever a signal of this kind comes, until it is
/// [cancelled](Callback::cancel) or the loop ends.
///
/// `f` runs as a callback of the loop, not inside of a signal handler: it may do anything. A panic
/// in it ends the listening, and is reported to the loop's exception handler.
///
/// # Errors
///
/// As [`signals`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use uring_loop::signal::{SignalKind, on_signal};
///
/// uring_loop::run(async {
///     on_signal(SignalKind::TERMINATE, uring_loop::stop)?;
///     # Ok::<(), std::io::Error>(())
/// })?
/// # ;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "add_signal_handler")]
#[track_caller]
pub fn on_signal(kind: SignalKind, mut f: impl FnMut() + 'static) -> io::Result<Callback> {
    let mut signals = signals(kind)?;
    let next = async move || Some(signals.recv().await);
    let call = move |_| {
        f();
        ControlFlow::Continue(())
    };
    Ok(Callback::each("on_signal", next, call).named(kind.to_string()))
}
