//! `Worker`: the parent's end of the line to one worker that has reported ready.
//!
//! # Life
//!
//! Made by the supervisor after the handshake; in the hub's table until the supervisor buries the
//! process. `sent` holds the calls the worker has not answered, oldest first; it answers each, in
//! order. An entry whose job was recalled stays, empty, until the worker has skipped it.
//!
//! # Ring and socket
//!
//! Frames go by the rings of the page, which costs no system call while the other side is awake:
//! small ones always; larger ones, as those of a map are, if they leave room for all the small ones
//! that may come. The others, and those with descriptors, go by the socket. The ring has the order:
//! for a frame on the socket there is one on the ring that says so, and whoever reads it goes on
//! with the socket. Only what a worker sends of an unfinished chunk has none; the rest of that
//! chunk's answer then comes by the socket too, behind it.
//!
//! The bell of the answers' ring is armed except while a thread looks at the ring over and over
//! (`Hub::watch`). Armed for the socket, it makes whoever sleeps there, be it poll or epoll, hear
//! of everything. While the leader sleeps on the bells themselves (`Hub::rest`), they are armed for
//! that, and what comes by a socket without a word on the ring goes unheard: `is_heard_by_ring`
//! says that there is no such thing.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

#[cfg(loom)]
use loom::sync::atomic::AtomicU32;

use super::call::{Answer, Call};
use super::cell::Cell;
use super::codec;
use super::futex;
use super::hub::Life;
use super::page::{DEPTH, Diary, NAME_WORDS, Page, RESERVED};
use super::ring::{Reader, Wake, Writer};
use super::shared::Memory;
use super::sys::{self, Arrived};
use super::wire::{Header, INLINE, Inbox, Kind, ROOMY, TIMED};
use crate::error::{Limit, Panic};

/// Bytes of a name the kernel keeps: proc_pid_comm(5).
const COMM: usize = 15;
const _: () = assert!(COMM.div_ceil(8) <= NAME_WORDS);

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) key: u64,
    pub(super) pid: u32,
    pub(super) ready_at: Instant,
    pub(super) socket: UnixStream,
    pub(super) page: Arc<Page>,
    calls: Writer,
    pub(super) answers: Reader,
    /// A payload from the ring.
    pub(super) payload: Vec<u8>,
    /// The next answer comes by the socket.
    pub(super) follows: bool,
    pub(super) inbox: Inbox,
    /// Descriptors whose frame is not complete.
    pub(super) arrived: Arrived,
    /// What the socket had no room for.
    outbox: VecDeque<Parcel>,
    pub(super) sent: VecDeque<Sent>,
    tickets: u64,
    /// How many calls it has answered, and how many it may.
    pub(super) answered: u64,
    most: Option<u64>,
    /// It has grown too large: it gets no more calls.
    pub(super) outgrown: bool,
    /// Calls carry their names.
    show_jobs: bool,
    /// When it last had nothing more to answer.
    pub(super) idle_since: Instant,
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

/// A frame on its way out, or what is left of it.
#[derive(Debug)]
struct Parcel {
    bytes: Vec<u8>,
    sent: usize,
    /// They go with the first byte.
    memory: Vec<Arc<Memory>>,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) ticket: u64,
    pub(super) job: Option<Arc<Cell>>,
    /// Results may come ahead of the answer.
    pub(super) chunk: bool,
    /// Of a chunk: results that have come ahead of the answer.
    pub(super) partial: Answer,
    /// Those are the results of so many items.
    pub(super) items: u64,
}

/// An answer, as it came.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) kind: Kind,
    pub(super) job: Option<Arc<Cell>>,
    pub(super) payload: Answer,
}

impl Worker {
    pub(super) fn new(
        (key, pid): (u64, u32),
        socket: UnixStream,
        page: Page,
        inbox: Inbox,
        life: &Life,
    ) -> Worker {
        Worker {
            key,
            pid,
            ready_at: Instant::now(),
            socket,
            page: Arc::new(page),
            calls: Writer::default(),
            answers: Reader::default(),
            payload: Vec::new(),
            follows: false,
            inbox,
            arrived: Arrived::new(),
            outbox: VecDeque::new(),
            sent: VecDeque::new(),
            tickets: 0,
            answered: 0,
            most: life.max_tasks,
            outgrown: false,
            show_jobs: life.show_jobs,
            idle_since: Instant::now(),
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
        self.sent.len() < DEPTH && self.outbox.is_empty() && self.is_sound() && !self.is_spent()
    }

    /// Whether it has, or has had, all the calls it may.
    fn is_spent(&self) -> bool {
        self.outgrown
            || self.most.is_some_and(|most| self.answered + self.jobs().count() as u64 >= most)
    }

    /// Whether it has answered all the calls it may, and is to go.
    pub(super) fn is_through(&self) -> bool {
        self.sent.is_empty() && self.is_sound() && self.is_spent()
    }

    pub(super) fn running_for(&self) -> Duration {
        self.page.running_for()
    }

    /// Whether it is to go on working.
    pub(super) fn is_sound(&self) -> bool {
        !self.lost && !self.stopping && self.condemned.is_none()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty() && self.has_room()
    }

    /// Whether it has no job: it is idle, or is about to be when it has passed over those that were
    /// taken back.
    pub(super) fn is_free(&self) -> bool {
        self.has_room() && self.jobs().next().is_none()
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
        let mut chunk = false;
        let send = |call: &Call| {
            chunk = call.chunk;
            self.send_call(ticket, &cell.task, call);
        };
        if cell.offer(&page, ticket, send) {
            self.tickets += 1;
            let (job, partial) = (Some(cell), Answer::default());
            self.sent.push_back(Sent { ticket, job, chunk, partial, items: 0 });
        }
    }

    /// Whether a word on the ring tells of all that may come by the socket: nothing but results of
    /// an unfinished chunk, the rest of an answer that has begun to come, and room for what is to
    /// be sent does not. (That a worker is gone the supervisor sees by itself.)
    pub(super) fn is_heard_by_ring(&self) -> bool {
        !self.follows && self.outbox.is_empty() && !self.sent.iter().any(|sent| sent.chunk)
    }

    /// What the pool's threads watch while they do not sleep.
    pub(super) fn watched(&self) -> Watched {
        let (page, head) = (Arc::clone(&self.page), self.answers.head());
        Watched { page, head, follows: self.follows }
    }

    fn send_call(&mut self, ticket: u64, task: &str, call: &Call) {
        let timed = if call.timed { TIMED } else { 0 };
        if self.show_jobs {
            self.send_name(ticket, task);
        }
        let header = Header::new(Kind::Call, ticket, call.entry | timed, call.arguments.len());
        self.send(header.with_fds(call.memory.len()), &call.arguments, &call.memory);
    }

    /// The name of the call that comes next.
    fn send_name(&mut self, ticket: u64, task: &str) {
        let name = comm_of(task);
        self.send(Header::new(Kind::Name, ticket, 0, name.len()), name, &[]);
    }

    pub(super) fn send_stop(&mut self) {
        self.stopping = true;
        self.send(Header::new(Kind::Stop, 0, 0, 0), &[], &[]);
    }

    fn send(&mut self, header: Header, payload: &[u8], memory: &[Arc<Memory>]) {
        if memory.is_empty() && self.put(header, payload) {
            self.wake();
        } else {
            self.put(Header::new(Kind::Follows, header.ticket, 0, 0), &[]);
            self.wake();
            self.send_bytes(header, payload, memory);
        }
    }

    /// Wakes it if it sleeps: on the bell, as workers do.
    fn wake(&self) {
        let calls = self.page.calls();
        if calls.ring().is_some() {
            futex::wake(calls.bell());
        }
    }

    /// Puts a frame on the ring. `false`: it has to go by the socket.
    fn put(&mut self, header: Header, payload: &[u8]) -> bool {
        let ring = self.page.calls();
        if payload.len() <= INLINE {
            // No room is refused to what the worker's own answers have made room for: a ring that
            // is full all the same is none.
            self.lost |= !self.calls.push(ring, header, payload);
            return true;
        }
        let others = if mutant!("larger-ones-take-all-the-room") { 0 } else { RESERVED };
        payload.len() <= ROOMY && self.calls.push_beside(others, ring, header, payload)
    }

    fn send_bytes(&mut self, header: Header, payload: &[u8], memory: &[Arc<Memory>]) {
        let head = header.to_bytes();
        let sent = if self.outbox.is_empty() {
            let parts = [IoSlice::new(&head), IoSlice::new(payload)];
            // A failure means that the worker is gone; the supervisor hears of it in its own way.
            sys::send_some(&self.socket, &parts, &fds_of(memory)).unwrap_or(0)
        } else {
            0
        };
        if sent == head.len() + payload.len() {
            return;
        }
        let mut bytes = head[sent.min(head.len())..].to_vec();
        bytes.extend_from_slice(&payload[sent.saturating_sub(head.len())..]);
        let memory = if sent == 0 { memory.to_vec() } else { Vec::new() };
        self.outbox.push_back(Parcel { bytes, sent: 0, memory });
    }

    /// Sends what is left over, as far as there is room.
    pub(super) fn send_rest(&mut self) {
        while let Some(parcel) = self.outbox.front_mut() {
            let parts = [IoSlice::new(&parcel.bytes[parcel.sent..])];
            match sys::send_some(&self.socket, &parts, &fds_of(&parcel.memory)) {
                Ok(0) => return,
                Ok(count) => {
                    parcel.sent += count;
                    parcel.memory.clear();
                    if parcel.sent == parcel.bytes.len() {
                        self.outbox.pop_front();
                    }
                }
                Err(_) => {
                    self.outbox.clear();
                    self.lost = true;
                }
            }
        }
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

    /// Its last will: what it leaves unanswered, oldest first.
    pub(super) fn into_sent(self) -> impl DoubleEndedIterator<Item = Sent> {
        self.sent.into_iter()
    }

    /// When it is gone: the panic it died of, if it had time to say so.
    pub(super) fn last_words(&self) -> Option<Panic> {
        codec::read(&self.page.last_words()).ok()
    }

    /// When it is gone: how far it had come with a chunk.
    pub(super) fn diary(&self) -> Diary {
        self.page.diary()
    }
}

/// The answers of a worker, seen without the hub's lock.
#[derive(Debug)]
pub(super) struct Watched {
    page: Arc<Page>,
    head: u64,
    follows: bool,
}

impl Watched {
    pub(super) fn is_to_come_by_socket(&self) -> bool {
        self.follows
    }

    pub(super) fn has_answer(&self) -> bool {
        self.page.answers().has_more(self.head)
    }

    /// What is slept on until there is an answer, and what it says meanwhile.
    pub(super) fn word(&self) -> (&AtomicU32, u32) {
        (self.page.answers().bell(), Wake::Word as u32)
    }
}

/// What there is room for in `/proc/PID/comm` of a name: of a function's, what is behind the last
/// path.
fn comm_of(task: &str) -> &[u8] {
    let end = task.find('<').unwrap_or(task.len());
    let name = task[..end]
        .rsplit("::")
        .find(|part| !part.is_empty() && !part.starts_with('{'))
        .unwrap_or(task);
    &name.as_bytes()[..name.len().min(COMM)]
}

fn fds_of(memory: &[Arc<Memory>]) -> Vec<RawFd> {
    memory.iter().map(|memory| memory.fd().as_raw_fd()).collect()
}
