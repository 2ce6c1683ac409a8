//! `Worker`: the parent's end of the line to one worker that has reported ready.
//!
//! # Life
//!
//! Made by the supervisor after the handshake; in the hub's table until the supervisor buries the
//! process. `sent` holds the calls the worker has not answered, oldest first; it answers each, in
//! order. An entry whose job was recalled stays, empty, until the worker has skipped it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use super::cell::{Call, Cell};
use super::page::{DEPTH, Page};
use super::sys;
use super::wire::{Header, Inbox, Kind};
use crate::error::Limit;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) key: u64,
    pub(super) pid: u32,
    pub(super) ready_at: Instant,
    socket: UnixStream,
    page: Arc<Page>,
    inbox: Inbox,
    /// What the socket had no room for.
    outbox: VecDeque<u8>,
    sent: VecDeque<Sent>,
    tickets: u64,
    /// It has answered a call.
    pub(super) useful: bool,
    /// Its end of the socket is closed, or it sent garbage: the supervisor ends it.
    pub(super) lost: bool,
    /// It is to be killed for the job it runs.
    pub(super) condemned: Option<(Arc<Cell>, Sentence)>,
    /// It was told to stop.
    pub(super) stopping: bool,
    /// epoll watches for room in the socket.
    pub(super) watching_room: bool,
}

/// Why a running job is ended together with its worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sentence {
    Killed,
    TimedOut(Limit),
}

#[derive(Debug)]
struct Sent {
    ticket: u64,
    job: Option<Arc<Cell>>,
}

/// An answer, as it came.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) kind: Kind,
    pub(super) job: Option<Arc<Cell>>,
    pub(super) payload: Vec<u8>,
}

impl Worker {
    pub(super) fn new(key: u64, pid: u32, socket: UnixStream, page: Page, inbox: Inbox) -> Worker {
        Worker {
            key,
            pid,
            ready_at: Instant::now(),
            socket,
            page: Arc::new(page),
            inbox,
            outbox: VecDeque::new(),
            sent: VecDeque::new(),
            tickets: 0,
            useful: false,
            lost: false,
            condemned: None,
            stopping: false,
            watching_room: false,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// How many calls it has not answered.
    pub(super) fn load(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < DEPTH && self.outbox.is_empty() && self.is_sound()
    }

    /// Whether it is to go on working.
    pub(super) fn is_sound(&self) -> bool {
        !self.lost && !self.stopping && self.condemned.is_none()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty() && self.has_room()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The jobs in its queue, oldest first.
    pub(super) fn jobs(&self) -> impl DoubleEndedIterator<Item = &Arc<Cell>> {
        self.sent.iter().filter_map(|sent| sent.job.as_ref())
    }

    /// Sends it a job, unless that was cancelled.
    pub(super) fn send_job(&mut self, cell: Arc<Cell>) {
        let ticket = self.tickets;
        let page = Arc::clone(&self.page);
        if cell.offer(&page, ticket, |call| self.send_call(ticket, call)) {
            self.tickets += 1;
            self.sent.push_back(Sent { ticket, job: Some(cell) });
        }
    }

    fn send_call(&mut self, ticket: u64, call: &Call) {
        let header = Header::new(Kind::Call, ticket, call.entry, call.arguments.len());
        self.send(header, &call.arguments);
    }

    pub(super) fn send_stop(&mut self) {
        self.stopping = true;
        self.send(Header::new(Kind::Stop, 0, 0, 0), &[]);
    }

    fn send(&mut self, header: Header, payload: &[u8]) {
        let head = header.to_bytes();
        let sent = if self.outbox.is_empty() {
            let parts = [IoSlice::new(&head), IoSlice::new(payload)];
            // A failure means that the worker is gone; the supervisor hears of it in its own way.
            sys::send_some(&self.socket, &parts).unwrap_or(0)
        } else {
            0
        };
        self.outbox.extend(&head[sent.min(head.len())..]);
        self.outbox.extend(&payload[sent.saturating_sub(head.len())..]);
    }

    /// Sends what is left over, as far as there is room.
    pub(super) fn send_rest(&mut self) {
        while !self.outbox.is_empty() {
            let (first, second) = self.outbox.as_slices();
            let parts = [IoSlice::new(first), IoSlice::new(second)];
            match sys::send_some(&self.socket, &parts) {
                Ok(0) => return,
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(_) => {
                    self.outbox.clear();
                    self.lost = true;
                }
            }
        }
        self.outbox = VecDeque::new();
    }

    /// Takes the newest call back that the worker has not started.
    pub(super) fn recall_newest(&mut self) -> Option<Arc<Cell>> {
        let sent = self
            .sent
            .iter_mut()
            .rev()
            .find(|sent| sent.job.as_ref().is_some_and(|job| job.recall()))?;
        sent.job.take()
    }

    /// Takes all calls back that it has not started and that `which` says, oldest first.
    pub(super) fn recall_all(&mut self, which: impl Fn(&Cell) -> bool) -> Vec<Arc<Cell>> {
        let unstarted = |sent: &mut Sent| sent.job.take_if(|job| which(job) && job.recall());
        self.sent.iter_mut().filter_map(unstarted).collect()
    }

    /// Whether it has the job, and the job is started.
    pub(super) fn runs(&self, cell: &Arc<Cell>) -> bool {
        self.jobs().any(|job| Arc::ptr_eq(job, cell)) && cell.is_claimed()
    }

    /// Receives what has come, and hands each answer to `answer`.
    pub(super) fn receive(&mut self, mut answer: impl FnMut(Reply)) {
        loop {
            let room = self.inbox.room();
            let size = room.len();
            let count = match sys::receive(&self.socket, room, false) {
                Ok(Some(count)) if count > 0 => count,
                Ok(None) => return,
                Ok(_) | Err(_) => {
                    self.lost = true;
                    return;
                }
            };
            self.inbox.received(count);
            if !self.take_frames(&mut answer) {
                self.lost = true;
                return;
            }
            if count < size {
                return;
            }
        }
    }

    /// `false`: that was no answer to what it was asked.
    fn take_frames(&mut self, answer: &mut impl FnMut(Reply)) -> bool {
        loop {
            let (header, payload) = match self.inbox.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return true,
                Err(_) => return false,
            };
            let Some(sent) = self.sent.pop_front() else { return false };
            if sent.ticket != header.ticket || !header.kind.is_answer() {
                self.sent.push_front(sent);
                return false;
            }
            answer(Reply { kind: header.kind, job: sent.job, payload: payload.to_vec() });
            self.useful |= header.kind != Kind::Skipped;
        }
    }

    /// Its last will: the jobs it leaves, oldest first.
    pub(super) fn into_jobs(self) -> impl DoubleEndedIterator<Item = Arc<Cell>> {
        self.sent.into_iter().filter_map(|sent| sent.job)
    }
}
