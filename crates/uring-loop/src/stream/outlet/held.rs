//! What is written while something else goes first: a file (`send_file.rs`), or all that is for the
//! old stream of a connection that gets another one (`upgrade.rs`).

use std::io;
use std::task::{Context, Poll, Waker};

use super::{End, Outlet, gone};

/// What was written since then.
#[derive(Default)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// Who waits until what goes first is sent.
    pub(super) waker: Option<Waker>,
}

impl Outlet {
    /// Holds what is written from now on back.
    ///
    /// # Errors
    ///
    /// What it is lost for; `BrokenPipe` if our direction has ended; `ResourceBusy` if somebody
    /// does that already.
    pub(super) fn hold(&self) -> io::Result<()> {
        let refuse = |kind, text| Err(io::Error::new(kind, text));
        let mut state = self.state.borrow_mut();
        if let Some(loss) = &state.lost {
            return Err(loss.error().unwrap_or_else(gone));
        }
        if state.closing {
            return Err(gone());
        }
        if state.end != End::No {
            let text = "this direction of the connection has ended";
            return refuse(io::ErrorKind::BrokenPipe, text);
        }
        if state.held.is_some() {
            let text = "an upgrade of this connection, or a file on it, is under way";
            return refuse(io::ErrorKind::ResourceBusy, text);
        }
        state.held = Some(Box::default());
        Ok(())
    }

    /// What was held is for the stream that is there now.
    pub(super) fn unhold(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(held) = state.held.take() {
            state.pending.extend_from_slice(&held.bytes);
            self.settle(state);
        }
    }

    /// Ready when everything is sent that was written before the rest was held, or never will be.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        let fresh = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if state.is_sent() {
            return Poll::Ready(());
        }
        let Some(held) = &mut state.held else { return Poll::Ready(()) };
        let stale = held.waker.replace(fresh);
        drop(state);
        drop(stale);
        Poll::Pending
    }
}
