//! What was written and is not sent yet, and how it gets out: under writers and transports.
//!
//! # Life story
//!
//! *open*: bytes gather in `pending`; whoever drives it ([`Outlet::poll_send`]) hands all
//! of them over to the stream whenever that has taken the last lot. Writes of one turn so go out
//! together. *ending*: an end of our direction was asked for; it follows the last byte. *closing*:
//! nothing is read any more, and the stream is let go of behind the last byte. *lingering*: it
//! would be, but there are bytes that nobody has read, and so the peer would find a reset instead
//! of the last bytes; what comes is dropped for a while first (`io/linger.rs`). *lost*: nothing is
//! sent any more, since it was closed or aborted, its writer is gone, or sending failed. What is
//! written from then on is dropped. A failure leaves the stream to its reader: what the peer said
//! before it went may be of interest.
//!
//! An upgrade (`outlet/upgrade.rs`) puts another stream in the place of the one below. While that,
//! or a file (`outlet/send_file.rs`), is under way, what is written is held back
//! (`outlet/held.rs`).
//!
//! The size that the water marks are about is what is pending and what is in flight, as in
//! asyncio's `Lib/asyncio/proactor_events.py`.

mod held;
mod send_file;
mod state;
mod upgrade;

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

pub(crate) use state::Loss;
pub(super) use state::gone;
use state::{End, Sender, State};

use super::Link;
use crate::io::failure::Failure;
use crate::io::linger::Linger;
use crate::io::{Address, ByteStream};
use crate::sync::Event;

pub(crate) struct Outlet {
    pub(crate) link: Rc<Link>,
    state: RefCell<State>,
    /// Set while there are not too many bytes.
    pub(crate) writable: Event,
    /// Set while there is nothing to be sent.
    idle: Event,
    /// Set when it is lost.
    pub(crate) ended: Event,
}

impl Outlet {
    pub(crate) fn new(link: Rc<Link>) -> Rc<Self> {
        let outlet = Outlet {
            link,
            state: RefCell::default(),
            writable: Event::new(),
            idle: Event::new(),
            ended: Event::new(),
        };
        outlet.writable.set();
        outlet.idle.set();
        Rc::new(outlet)
    }

    /// One with a task of its own that will send, from its first poll on: nobody else starts to.
    /// (Two who send wait for the same things, and one of them is not woken.)
    pub(crate) fn driven(link: Rc<Link>) -> Rc<Self> {
        let outlet = Self::new(link);
        if !mutant!("two-send-for-one-connection") {
            outlet.set_sender(Sender::Awake);
        }
        outlet
    }

    /// Adds bytes behind those that there are.
    ///
    /// # Panics
    ///
    /// After [`end`](Self::end).
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        assert!(state.end == End::No, "write after write_eof: there is nothing behind the end");
        if bytes.is_empty() {
            return;
        }
        if state.lost.is_some() || (state.closing && state.size() == 0) {
            state.vain.note();
            return;
        }
        let State { held, pending, .. } = &mut *state;
        let held = held.as_mut().filter(|_| !mutant!("secrets-go-by-the-old-stream"));
        let place = held.map_or(pending, |held| &mut held.bytes);
        place.extend_from_slice(bytes);
        self.settle(state);
    }

    /// Bytes that are not sent yet.
    pub(crate) fn size(&self) -> usize {
        self.state.borrow().size()
    }

    /// Low and high water mark.
    pub(crate) fn limits(&self) -> (usize, usize) {
        self.state.borrow().marks.get()
    }

    /// Sets the water marks.
    ///
    /// # Panics
    ///
    /// If the low one is above the high one.
    pub(crate) fn set_limits(&self, low: Option<usize>, high: Option<usize>) {
        let mut state = self.state.borrow_mut();
        state.marks.set(low, high);
        self.settle(state);
    }

    pub(crate) fn local_address(&self) -> Option<&Address> {
        self.link.local_address()
    }

    pub(crate) fn peer_address(&self) -> Option<&Address> {
        self.link.peer_address()
    }

    /// Whether there is too much.
    pub(crate) fn is_paused(&self) -> bool {
        self.state.borrow().marks.is_paused()
    }

    /// Ends our direction behind what was written.
    pub(crate) fn end(&self) {
        let mut state = self.state.borrow_mut();
        if state.end == End::No && state.lost.is_none() {
            state.end = End::Asked;
            self.settle(state);
        }
    }

    /// Reads no more, sends what was written, then lets go of the stream.
    pub(crate) fn close(&self) {
        let mut state = self.state.borrow_mut();
        if std::mem::replace(&mut state.closing, true) {
            return;
        }
        let over = state.lost.is_some()
            || (state.is_idle() && state.end != End::Asked && !self.link.has_unread());
        self.settle(state);
        if over {
            self.lose(Loss::Closed);
            self.link.close();
        } else {
            self.link.stop_reading();
        }
    }

    /// The writer is gone. Our direction ends behind what was written; the stream closes when
    /// nobody reads from it either.
    pub(crate) fn leave(&self) {
        let mut state = self.state.borrow_mut();
        state.left = true;
        if state.end == End::No {
            state.end = End::Asked;
        }
        let over = state.is_idle() && self.is_alone() && !self.link.has_unread();
        self.settle(state);
        if over {
            self.lose(Loss::Closed);
        }
    }

    /// Lets go of the stream at once, with what was not sent.
    pub(crate) fn abort(&self) {
        if let Some(stream) = self.link.stream() {
            stream.abort();
        }
        self.lose(Loss::Closed);
        self.link.close();
    }

    /// Reading has failed, and so the connection has. What is on its way is given up: a peer that
    /// takes nothing would keep the connection for ever, which nobody has any more.
    pub(crate) fn fail(&self, error: &io::Error) {
        if let Some(stream) = self.link.stream()
            && !mutant!("a-lost-connection-goes-on-sending")
        {
            stream.abort();
        }
        self.lose(Loss::Failed(Failure::of(error)));
    }

    /// Whether it was closed, or is lost.
    pub(crate) fn is_closing(&self) -> bool {
        let state = self.state.borrow();
        state.closing || state.lost.is_some()
    }

    /// Why nothing is sent any more.
    pub(crate) fn loss(&self) -> Option<Loss> {
        self.state.borrow().lost.clone()
    }

    /// Nothing is sent any more.
    fn lose(&self, loss: Loss) {
        let mut state = self.state.borrow_mut();
        if state.lost.is_some() {
            return;
        }
        state.lost = Some(loss);
        state.in_flight = 0;
        let pending = std::mem::take(&mut state.pending);
        let held = state.held.take();
        self.settle(state);
        drop(pending);
        if let Some(waker) = held.and_then(|held| held.waker) {
            waker.wake();
        }
        self.ended.set();
    }

    /// Something has changed: tells who waits for less, and who sends. Those are foreign code, so
    /// the state is not borrowed any more.
    fn settle(&self, mut state: RefMut<'_, State>) {
        let size = if state.lost.is_none() { state.size() } else { 0 };
        let changed = state.marks.look(size);
        let paused = state.marks.is_paused();
        let sender = state.sender.wake_up();
        let upgrade = match state.is_sent() {
            true => state.held.as_mut().and_then(|held| held.waker.take()),
            false => None,
        };
        drop(state);
        match size {
            0 if !self.idle.is_set() => self.idle.set(),
            0 => {}
            _ => self.idle.clear(),
        }
        if changed && paused {
            self.writable.clear();
        } else if changed {
            self.writable.set();
        }
        [sender, upgrade].into_iter().flatten().for_each(Waker::wake);
    }

    /// Waits until everything that was written is sent.
    ///
    /// # Errors
    ///
    /// `ConnectionReset` if it is closed; what it is lost for.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        while self.loss().is_none() && self.size() > 0 {
            self.idle.wait().await;
        }
        match self.loss() {
            None => Ok(()),
            Some(loss) => Err(loss.error().unwrap_or_else(gone)),
        }
    }

    /// Whether there is something to send and nobody who does; from now on somebody does.
    pub(crate) fn adopt(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let work = !state.pending.is_empty() || state.end == End::Asked || state.closing;
        let adopted = matches!(state.sender, Sender::Nobody) && work && state.lost.is_none();
        if adopted {
            state.sender = Sender::Awake;
        }
        adopted
    }

    /// Whether nobody reads from the stream any more.
    fn is_alone(&self) -> bool {
        Rc::strong_count(&self.link) == 1
    }

    /// Sends what there is. Ready when it is lost, for whatever reason.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<Loss> {
        loop {
            if let Some(loss) = ready!(self.poll_some(cx)) {
                return Poll::Ready(loss);
            }
        }
    }

    /// The same, but ready with `None` whenever there is no longer too much.
    pub(crate) fn poll_some(&self, cx: &mut Context<'_>) -> Poll<Option<Loss>> {
        self.set_sender(Sender::Awake);
        loop {
            if let Some(loss) = self.loss() {
                return Poll::Ready(Some(loss));
            }
            let Some(stream) = self.link.stream() else {
                if self.link.is_away() && !self.state.borrow().closing {
                    self.set_sender(Sender::Asleep(cx.waker().clone()));
                    return Poll::Pending;
                }
                self.lose(Loss::Closed);
                self.link.close();
                continue;
            };
            let paused = self.is_paused();
            match self.poll_step(&*stream, cx) {
                Poll::Ready(Ok(())) if paused && !self.is_paused() && self.loss().is_none() => {
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.lose(Loss::Failed(Failure::of(&error))),
                Poll::Pending => {
                    self.set_sender(Sender::Asleep(cx.waker().clone()));
                    return Poll::Pending;
                }
            }
        }
    }

    fn set_sender(&self, sender: Sender) {
        let stale = std::mem::replace(&mut self.state.borrow_mut().sender, sender);
        drop(stale);
    }

    /// One thing after the other; pending when there is nothing to do for now.
    fn poll_step(&self, stream: &dyn ByteStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.borrow().in_flight > 0 {
            ready!(stream.poll_flush(cx))?;
            let mut state = self.state.borrow_mut();
            state.in_flight = 0;
            self.settle(state);
            return Poll::Ready(Ok(()));
        }
        let (nothing, end, closing, left) = {
            let state = self.state.borrow();
            let end = if state.held.is_some() { End::No } else { state.end };
            (state.pending.is_empty(), end, state.closing, state.left)
        };
        if !nothing {
            ready!(stream.poll_ready(cx))?;
            return Poll::Ready(self.hand_over(stream));
        }
        // A stream that nobody reads from either is closed, which tells the peer as much.
        let alone = left && self.is_alone();
        if end == End::Asked && !alone && stream.can_half_close() {
            ready!(stream.poll_shutdown(cx))?;
            self.state.borrow_mut().end = End::Done;
            return Poll::Ready(Ok(()));
        }
        if closing || left {
            let last = closing || alone;
            if last {
                ready!(self.poll_linger(stream, cx));
            }
            self.lose(Loss::Closed);
            if last {
                self.link.close();
            }
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Waits until the stream can be let go of without a reset, or for as long as is decent. What
    /// comes of it is of no interest: everything was sent, and nobody reads.
    fn poll_linger(&self, stream: &dyn ByteStream, cx: &mut Context<'_>) -> Poll<()> {
        let begun = self.state.borrow_mut().linger.take();
        let mut linger = match begun {
            Some(linger) => linger,
            None if stream.has_unread() && !mutant!("unread-bytes-reset") => {
                Box::new(Linger::behind_the_scenes())
            }
            None => return Poll::Ready(()),
        };
        let polled = linger.poll(stream, cx);
        if polled.is_pending() {
            self.state.borrow_mut().linger = Some(linger);
        }
        polled.map(drop)
    }

    fn hand_over(&self, stream: &dyn ByteStream) -> io::Result<()> {
        let spare = stream.spare_buffer();
        let mut state = self.state.borrow_mut();
        let bytes = std::mem::replace(&mut state.pending, spare);
        state.in_flight = bytes.len();
        drop(state);
        stream.start_send(bytes)
    }
}

impl Drop for Outlet {
    /// Whoever drove it was dropped too. What the stream can take over now gets out all the same.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let Some(stream) = self.link.stream().filter(|_| !state.pending.is_empty()) else { return };
        let pending = std::mem::take(&mut state.pending);
        let now = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(())) = stream.poll_ready(now) {
            // Nobody is left to be told of a failure.
            let _ = stream.start_send(pending);
        }
    }
}
