//! `Line`: the worker's end of the line to its parent.
//!
//! # Life
//!
//! Made when the parent has introduced itself, and lives as long as the process. `fetch` sleeps
//! until there is a call; its arguments stay where they are, in the inbox or in `payload`, until
//! the next `fetch`. `link.rs` says what goes by the ring and what by the socket.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use super::futex;
use super::lead::{SHORT, WATCH};
use super::page::{Page, RESERVED};
use super::ring::{Reader, Wake, Writer};
use super::shared::Memory;
use super::sys::{self, Arrived};
use super::wire::{Header, INLINE, Inbox, Kind, ROOMY};
use super::worker::give_up;
use crate::pause;

pub(super) struct Line {
    pub(super) socket: UnixStream,
    /// Which file that is.
    inode: Option<u64>,
    pub(super) page: &'static Page,
    inbox: Inbox,
    arrived: Arrived,
    calls: Reader,
    answers: Writer,
    /// A payload from the ring.
    payload: Vec<u8>,
    /// The last call came by the socket: its arguments are in the inbox.
    by_socket: bool,
    /// Whether it was worth the while, lately, to watch the ring before going to sleep.
    dense: bool,
}

impl Line {
    pub(super) fn new(
        socket: UnixStream,
        page: &'static Page,
        inbox: Inbox,
        arrived: Arrived,
    ) -> Line {
        Line {
            inode: sys::inode_of(&socket),
            socket,
            page,
            inbox,
            arrived,
            calls: Reader::default(),
            answers: Writer::default(),
            payload: Vec::new(),
            by_socket: false,
            dense: false,
        }
    }

    /// The next frame from the parent, and the descriptors that came with it.
    pub(super) fn fetch(&mut self) -> (Header, Vec<OwnedFd>) {
        let header = loop {
            match self.calls.pop(self.page.calls(), &mut self.payload) {
                Ok(Some(header)) => break header,
                Ok(None) => self.rest(),
                Err(why) => give_up(&why.to_string()),
            }
        };
        self.by_socket = header.kind == Kind::Follows;
        if !self.by_socket {
            return (header, Vec::new());
        }
        let header = loop {
            match self.inbox.next() {
                Ok(Some((frame, _))) if frame.ticket == header.ticket => break frame,
                Ok(Some(_)) => give_up("its parent sent another frame than it said"),
                Ok(None) => self.receive(),
                Err(why) => give_up(&why.to_string()),
            }
        };
        match self.arrived.take(header.fds) {
            Some(fds) => (header, fds),
            None => give_up("a shared buffer has not come along"),
        }
    }

    /// The payload of the frame fetched last.
    pub(super) fn payload(&self) -> &[u8] {
        if self.by_socket { self.inbox.last() } else { &self.payload }
    }

    /// There is no call: watches the ring for a moment if calls came fast lately (`lead.rs` says
    /// why), then sleeps on the bell. Should the parent die meanwhile, the watchdog sees it.
    fn rest(&mut self) {
        let ring = self.page.calls();
        let begun = Instant::now();
        let mut rounds = 0;
        while self.dense {
            if !self.calls.is_empty(ring) {
                return;
            }
            pause::give_way(&mut rounds);
            self.dense = begun.elapsed() < WATCH;
        }
        if sys::inode_of(&self.socket) != self.inode && !mutant!("works-without-a-socket") {
            // The next call that needs it would be lost, and is not to blame.
            give_up("a job has closed its socket");
        }
        if !self.calls.may_sleep(ring, Wake::Word) {
            return;
        }
        let begun = Instant::now();
        while ring.is_armed(Wake::Word) {
            futex::wait(ring.bell(), Wake::Word as u32);
        }
        self.dense = begun.elapsed() < SHORT;
        self.calls.stay_awake(ring);
    }

    /// Sleeps until something has come by the socket.
    fn receive(&mut self) {
        match sys::receive(&self.socket, self.inbox.room(), &mut self.arrived, true) {
            Ok(Some(count)) if count > 0 => self.inbox.received(count),
            // The parent hung up.
            Ok(_) => sys::exit_now(0),
            Err(error) => give_up(&format!("receiving from its parent: {error}")),
        }
    }

    /// Answers a call. `by_socket`: something of the answer has gone that way already.
    pub(super) fn answer(
        &mut self,
        (kind, ticket): (Kind, u64),
        payload: &[u8],
        memory: &[Arc<Memory>],
        by_socket: bool,
    ) {
        let ring = self.page.answers();
        let header = Header::new(kind, ticket, 0, payload.len());
        if memory.is_empty() && !by_socket && self.put(header, payload) {
            match ring.ring() {
                None => {}
                Some(Wake::Word) => futex::wake(ring.bell()),
                Some(Wake::Socket) => look(&self.socket),
            }
        } else {
            self.put(Header::new(Kind::Follows, ticket, 0, 0), &[]);
            // Who sleeps on the socket is woken by the frame itself.
            if ring.ring() == Some(Wake::Word) {
                futex::wake(ring.bell());
            }
            send(&self.socket, kind, ticket, 0, payload, memory);
        }
    }

    /// Puts a frame on the ring. `false`: it has to go by the socket.
    fn put(&mut self, header: Header, payload: &[u8]) -> bool {
        let ring = self.page.answers();
        if payload.len() > INLINE {
            let roomy = payload.len() <= ROOMY;
            return roomy && self.answers.push_beside(RESERVED, ring, header, payload);
        }
        if !self.answers.push(ring, header, payload) {
            give_up("its parent asked for more than there is room for answers");
        }
        true
    }
}

/// Wakes the parent, unless there is no room for more wakes: then it has not read the last ones.
fn look(socket: &UnixStream) {
    let bytes = Header::new(Kind::Look, 0, 0, 0).to_bytes();
    match sys::send_some(socket, &[std::io::IoSlice::new(&bytes)], &[]) {
        Ok(0) => {}
        // Streams do not cut what is this small; if one did, the rest has to follow.
        Ok(sent) => sent_all(sys::send_all(socket, &bytes[sent..], &[], &[])),
        Err(error) => sent_all(Err(error)),
    }
}

/// Sends a frame by the socket; waits for room.
pub(super) fn send(
    socket: &UnixStream,
    kind: Kind,
    ticket: u64,
    value: u64,
    payload: &[u8],
    memory: &[Arc<Memory>],
) {
    let head = Header::new(kind, ticket, value, payload.len()).with_fds(memory.len()).to_bytes();
    let fds: Vec<RawFd> = memory.iter().map(|memory| memory.fd().as_raw_fd()).collect();
    sent_all(sys::send_all(socket, &head, payload, &fds));
}

fn sent_all(sent: std::io::Result<()>) {
    match sent {
        Ok(()) => {}
        // The parent hung up.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => sys::exit_now(0),
        Err(error) => give_up(&format!("sending to its parent: {error}")),
    }
}
