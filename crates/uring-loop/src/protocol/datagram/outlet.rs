//! Datagrams that were given to a transport and are not sent yet.
//!
//! # Life story
//!
//! *open*: datagrams stand in line; the endpoint's task sends one after the other. *closing*:
//! nothing is received any more, and the socket is let go of behind the last datagram. *lost*:
//! nothing is sent any more. What is sent from then on is dropped.
//!
//! The size that the water marks are about counts the datagram that is being sent, and for each the
//! header that the kernel puts before it; so a flood of empty ones is too much, too, at some time.
//! asyncio does so since 3.13 (`Lib/asyncio/selector_events.py`).

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::EndpointSocket;
use crate::io::Address;
use crate::stream::flow::{Vain, WaterMarks};

/// What a datagram counts beside its bytes.
const HEADER: usize = 8;

pub(super) struct Outlet {
    /// None once it is lost.
    socket: RefCell<Option<Rc<EndpointSocket>>>,
    local: Option<Address>,
    peer: Option<Address>,
    state: RefCell<State>,
}

struct State {
    line: VecDeque<Outgoing>,
    /// Of the line, and of the datagram that is being sent.
    size: usize,
    marks: WaterMarks,
    closing: bool,
    lost: bool,
    vain: Vain,
    /// The endpoint's task.
    task: Option<Waker>,
}

/// A datagram, and whom it is for if that is not who the socket is connected to.
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    pub(super) to: Option<Address>,
}

impl Outgoing {
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + if mutant!("empty-datagrams-weigh-nothing") { 0 } else { HEADER }
    }
}

impl Outlet {
    pub(super) fn new(socket: EndpointSocket) -> Rc<Self> {
        Rc::new(Outlet {
            local: socket.local_address(),
            peer: socket.peer_address(),
            socket: RefCell::new(Some(Rc::new(socket))),
            state: RefCell::new(State {
                line: VecDeque::new(),
                size: 0,
                marks: WaterMarks::new(),
                closing: false,
                lost: false,
                vain: Vain::default(),
                task: None,
            }),
        })
    }

    pub(super) fn socket(&self) -> Option<Rc<EndpointSocket>> {
        self.socket.borrow().clone()
    }

    pub(super) fn local_address(&self) -> Option<&Address> {
        self.local.as_ref()
    }

    pub(super) fn peer_address(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    /// Puts a datagram at the end of the line.
    ///
    /// # Panics
    ///
    /// If the socket is connected, and not to where this is to go.
    pub(super) fn send(&self, bytes: &[u8], to: Option<Address>) {
        let to = to.filter(|to| match &self.peer {
            Some(peer) if is_same(peer, to) => false,
            Some(peer) => panic!("this endpoint is connected to {peer}, and cannot send to {to}"),
            None => true,
        });
        let mut state = self.state.borrow_mut();
        if state.lost || (state.closing && state.size == 0) {
            state.vain.note();
            return;
        }
        let datagram = Outgoing { bytes: bytes.to_vec(), to };
        state.size += datagram.size();
        state.line.push_back(datagram);
        settle(state);
    }

    /// The next datagram to send; `None` when there will be none any more.
    pub(super) fn poll_next(&self) -> Poll<Option<Outgoing>> {
        let mut state = self.state.borrow_mut();
        match state.line.pop_front() {
            Some(datagram) => Poll::Ready(Some(datagram)),
            None if state.closing => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// That one is sent, or cannot be.
    pub(super) fn sent(&self, size: usize) {
        let mut state = self.state.borrow_mut();
        state.size = state.size.saturating_sub(size);
        settle(state);
    }

    pub(super) fn note_task(&self, waker: &Waker) {
        let fresh = waker.clone();
        let stale = self.state.borrow_mut().task.replace(fresh);
        drop(stale);
    }

    pub(super) fn size(&self) -> usize {
        self.state.borrow().size
    }

    pub(super) fn limits(&self) -> (usize, usize) {
        self.state.borrow().marks.get()
    }

    pub(super) fn set_limits(&self, low: Option<usize>, high: Option<usize>) {
        let mut state = self.state.borrow_mut();
        state.marks.set(low, high);
        settle(state);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.borrow().marks.is_paused()
    }

    /// Sends what is in line, then lets go of the socket.
    pub(super) fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        settle(state);
    }

    pub(super) fn is_closing(&self) -> bool {
        let state = self.state.borrow();
        state.closing || state.lost
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state.borrow().lost
    }

    /// Lets go of the socket at once, with what is in line.
    pub(super) fn abort(&self) {
        let mut state = self.state.borrow_mut();
        state.lost = true;
        state.size = 0;
        let line = std::mem::take(&mut state.line);
        settle(state);
        drop(line);
        let socket = self.socket.take();
        drop(socket);
    }
}

/// Something has changed: the task looks. It is foreign code, so the state is not borrowed.
fn settle(mut state: RefMut<'_, State>) {
    let size = state.size;
    state.marks.look(size);
    let task = state.task.take();
    drop(state);
    if let Some(waker) = task {
        waker.wake();
    }
}

/// Whether two addresses mean the same end. The scope of an IPv6 address is the kernel's to fill
/// in.
fn is_same(one: &Address, other: &Address) -> bool {
    use std::os::linux::net::SocketAddrExt as _;
    match (one, other) {
        (Address::Ip(one), Address::Ip(other)) => {
            (one.ip(), one.port()) == (other.ip(), other.port())
        }
        (Address::Unix(one), Address::Unix(other)) => {
            one.as_pathname() == other.as_pathname()
                && one.as_abstract_name() == other.as_abstract_name()
        }
        _ => false,
    }
}
