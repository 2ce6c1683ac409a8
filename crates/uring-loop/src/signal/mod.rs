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
use std::rc::Rc;
use std::task::{Context, Poll};

pub(crate) use ear::{Ear, Ears};
pub use kind::SignalKind;

use crate::callback::Callback;
use crate::context;
use crate::sys::signal::{Listening, count};
use crate::task::door;

/// Listens to signals of one kind on this thread's loop.
///
/// # Errors
///
/// `InvalidInput` for a signal that cannot be handled (SIGKILL, SIGSTOP) or that reports a fault of
/// the program (SIGSEGV and its like).
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
#[doc(alias = "signalfd")]
#[track_caller]
pub fn signals(kind: SignalKind) -> io::Result<Signals> {
    let ear = context::core("signals", |core| core.ears.open(core.door()));
    let listening = Listening::to(kind.number(), door::ring_listeners)?;
    Ok(Signals { seen: count(kind.number()), listening, ear })
}

/// Signals of one kind, made by [`signals`].
pub struct Signals {
    listening: Listening,
    /// The count of the last signal that was given out.
    seen: u32,
    ear: Rc<Ear>,
}

impl Signals {
    /// Waits for the next signal: one that has come since the last was given out, or that comes.
    ///
    /// # Cancel safety
    ///
    /// Strict: a signal that was not given out is given out by the next call.
    pub async fn recv(&mut self) {
        poll_fn(|cx| self.poll_recv(cx)).await;
    }

    /// The same as a poll function.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // First the ear, then the count: a signal between them is seen in the count.
        self.ear.listen(cx.waker());
        let now = count(self.listening.number());
        if std::mem::replace(&mut self.seen, now) == now {
            return Poll::Pending;
        }
        self.ear.cover();
        Poll::Ready(())
    }

    /// What it listens to.
    pub fn kind(&self) -> SignalKind {
        SignalKind::from_number(self.listening.number())
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.ear.close();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signals({})", self.kind())
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
    signals(SignalKind::INTERRUPT)?.recv().await;
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
pub fn on_signal(kind: SignalKind, f: impl FnMut() + 'static) -> io::Result<Callback> {
    let signals = signals(kind)?;
    Ok(Callback::on_signal(signals, f))
}
