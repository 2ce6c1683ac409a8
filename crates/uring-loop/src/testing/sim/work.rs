//! Passes of completion work, as `io_run_local_work` makes them: what is due is done, so many
//! items at a time, and what is left keeps the taskrun hint up.

use super::faults::Fault;
use super::prepare::{self, POLL_MULTI};
use super::request::Request;
use super::world::{Work, World};
use super::{Errno, memory};
use crate::driver::ring::{Cqe, cqe_flags, opcode};

/// One thing that is due.
#[derive(Clone, Copy, Debug)]
enum Item {
    /// The front of the queue of work.
    Work,
    /// A LINK_TIMEOUT has expired over this request.
    Guard(u64),
    Request(u64),
    /// The buffer of a zero-copy send is free: the position in the list of notifications.
    Notification(u64),
}

impl World {
    /// One pass: runs what is due now, and moves the backlog into the queue. What becomes due
    /// meanwhile is the next pass's.
    pub(super) fn pass(&mut self) {
        self.passes += 1;
        self.real.collect();
        self.scribble();
        self.run_batch();
        self.completions.flush();
    }

    /// Runs one batch of what is due.
    pub(super) fn run_batch(&mut self) {
        let mut batch: Vec<Item> = self.due().collect();
        self.reorder(&mut batch);
        for item in batch.into_iter().take(self.config.work_per_pass) {
            self.run(item);
        }
    }

    fn due(&self) -> impl Iterator<Item = Item> {
        let work = self.work.iter().map(|_| Item::Work);
        let requests = self.requests.values().flat_map(|request| {
            let guard = request.guard.as_ref().filter(|guard| guard.deadline <= self.now);
            let due = self.is_due(request).then_some(Item::Request(request.id));
            guard.map(|_| Item::Guard(request.id)).into_iter().chain(due)
        });
        let notifications = self.notifications.iter().filter(|wait| wait.due <= self.passes);
        work.chain(requests).chain(notifications.map(|wait| Item::Notification(wait.request.id)))
    }

    pub(super) fn anything_due(&self) -> bool {
        self.due().next().is_some()
    }

    /// Whether something will be due after some more passes, without anybody's doing.
    pub(super) fn more_passes_help(&self) -> bool {
        !self.notifications.is_empty()
            || self.anything_due()
            || self.requests.values().any(|request| {
                let waits = request.gate.pass > self.passes && request.gate.time <= self.now;
                waits && (request.forced || self.is_ready(request))
            })
    }

    /// When the next thing happens by the clock alone.
    pub(super) fn next_moment(&self) -> Option<u64> {
        let of_requests = self.requests.values().flat_map(|request| {
            let gate = request.gate.time;
            let gated = (gate > self.now && self.is_ready(request)).then_some(gate);
            let guard = request.guard.as_ref().map(|guard| guard.deadline);
            let later = |deadline: u64| deadline.max(gate);
            [gated, guard, request.deadline.map(later)].into_iter().flatten()
        });
        of_requests.chain(self.agenda.keys().next().map(|(moment, _)| *moment)).min()
    }

    fn is_due(&self, request: &Request) -> bool {
        if request.verdict.is_some() {
            return true;
        }
        self.gate_is_open(request) && (request.forced || self.is_ready(request))
    }

    pub(super) fn gate_is_open(&self, request: &Request) -> bool {
        request.gate.pass <= self.passes && request.gate.time <= self.now
    }

    /// Whether an attempt would come to something, be it an error.
    pub(super) fn is_ready(&self, request: &Request) -> bool {
        if request.ambush.fail.is_some() {
            return true;
        }
        if request.real().is_some() {
            return self.real.fired(request.id);
        }
        if let Some((id, end)) = request.pipe() {
            return self.pipe_is_ready(request, id, end);
        }
        let Ok(socket) = request.socket() else {
            let expired = request.deadline.is_none_or(|deadline| deadline <= self.now);
            let counted = request.count.is_some_and(|count| count <= self.completions.posted());
            return expired || counted;
        };
        match request.sqe.opcode {
            opcode::RECV | opcode::RECVMSG | opcode::READ | opcode::READV => {
                self.network.readable(socket)
            }
            opcode::SEND | opcode::SENDMSG | opcode::SEND_ZC | opcode::WRITE | opcode::WRITEV => {
                self.network.writable(socket)
            }
            opcode::ACCEPT => self.descriptors.is_full() || self.network.acceptable(socket),
            opcode::CONNECT => {
                let silent = |address| self.network.sound(address) == super::network::Dial::Silence;
                let hangs = request.dialing.as_ref().is_some_and(silent);
                self.network.is_for_datagrams(socket) || !hangs
            }
            opcode::POLL_ADD => self.poll_events(request, socket) != 0,
            _ => true,
        }
    }

    /// The events that a poll of a simulated socket would tell of now.
    pub(super) fn poll_events(&self, request: &Request, socket: super::network::SocketId) -> u32 {
        // IO_POLL_UNMASK.
        let always = (libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP) as u32;
        let wanted = request.sqe.op_flags | always;
        let wakes = self.network.wakes(socket);
        let news = match request.seen {
            None => true,
            Some(seen) => {
                let output = (libc::POLLOUT | libc::POLLWRNORM) as u32;
                let input = wanted & !output & !always != 0 && wakes.input != seen.input;
                input || (wanted & output != 0 && wakes.output != seen.output)
            }
        };
        let multishot = request.sqe.len & POLL_MULTI != 0;
        if multishot && !news { 0 } else { self.network.events(socket) & wanted }
    }

    fn run(&mut self, item: Item) {
        match item {
            Item::Work => match self.work.pop_front() {
                Some(Work::Post(cqe)) => self.post(cqe),
                Some(Work::Start(mut chain)) => {
                    let head = chain.pop_front().expect("a chain that waits is not empty");
                    self.issue(head.sqe, chain);
                }
                None => {}
            },
            Item::Guard(id) => self.expire_guard(id),
            Item::Request(id) => {
                if let Some(request) = self.requests.remove(&id) {
                    self.drive(request);
                }
            }
            Item::Notification(id) => self.notify(id),
        }
    }

    fn expire_guard(&mut self, id: u64) {
        let Some(guard) = self.requests.get_mut(&id).and_then(|request| request.guard.take())
        else {
            return;
        };
        let result = match self.cancel_request(id) {
            0 => -libc::ETIME,
            errno => errno,
        };
        self.post_guard(&guard, result);
    }

    fn notify(&mut self, id: u64) {
        let Some(at) = self.notifications.iter().position(|wait| wait.request.id == id) else {
            return;
        };
        let request = self.notifications.remove(at).request;
        request.check_pins();
        let reports = request.sqe.ioprio & prepare::ZC_REPORT_USAGE != 0;
        // IORING_NOTIF_USAGE_ZC_COPIED: a loopback copies.
        let copied = reports && !self.config.zero_copy;
        let result = if copied { i32::MIN } else { 0 };
        let user_data = request.sqe.user_data;
        self.post(Cqe { user_data, result, flags: cqe_flags::NOTIF });
    }

    fn reorder(&mut self, batch: &mut [Item]) {
        for at in (1..batch.len()).rev() {
            if self.random.chance(self.config.faults.reorder) {
                let other = self.random.below(at as u64 + 1) as usize;
                batch.swap(at, other);
            }
        }
    }

    /// Fills memory that is ours for now with garbage, as a kernel may.
    fn scribble(&mut self) {
        let p = self.config.faults.scribble;
        if p <= 0.0 {
            return;
        }
        let receiving = |request: &&Request| {
            let opcode = request.sqe.opcode;
            let reads = matches!(
                opcode,
                opcode::RECV | opcode::RECVMSG | opcode::READ | opcode::READV | opcode::READ_FIXED
            );
            reads && request.done == 0
        };
        let requests = self.requests.values().filter(receiving);
        let mut pieces: Vec<_> = requests.flat_map(Request::writable_pieces).collect();
        pieces.extend(self.groups.all_free().iter().map(|buffer| super::layout::Piece {
            address: buffer.address,
            length: u64::from(buffer.length),
        }));
        for piece in pieces {
            if self.random.chance(p) {
                let mut garbage = vec![0; piece.length as usize];
                self.random.fill(&mut garbage);
                // A bad address is told to the request itself, in its result.
                let _ = memory::write(piece.address, &garbage);
            }
        }
    }

    /// The ring is closed. That waits for nothing: what is in flight may write a last time, and
    /// nothing is told any more. What requests held is let go.
    pub(super) fn close_ring(&mut self) {
        self.scribble();
        self.groups = Default::default();
        for object in self.registered.take() {
            self.release(object);
        }
        self.work.clear();
        self.notifications.clear();
        for (id, mut request) in std::mem::take(&mut self.requests) {
            self.real.forget(id);
            if let Some(object) = request.object.take() {
                self.release(object);
            }
        }
    }

    /// Decides what will go wrong with a request: by script if it is new, and by chance.
    pub(super) fn lay_ambush(&mut self, request: &mut Request, new: bool) {
        let opcode = request.sqe.opcode;
        let faults = self.config.faults.clone();
        request.ambush.short = None;
        if transfers(opcode) && self.random.chance(faults.short) {
            let most = if request.selects_buffer() { 64 } else { request.sqe.len.max(1) };
            request.ambush.short = Some(1 + self.random.below(u64::from(most)) as u32);
        }
        if prepare::is_multishot(&request.sqe) && self.random.chance(faults.end_multishot) {
            request.ambush.end_multishot = true;
        }
        // A close of what has no `flush` is done while it is submitted (`io_close`).
        let timeless = matches!(
            opcode,
            opcode::ASYNC_CANCEL
                | opcode::TIMEOUT
                | opcode::NOP
                | opcode::CLOSE
                | opcode::FILES_UPDATE
        );
        if !timeless && self.random.chance(faults.delay.0) {
            let enters = self.random.below(u64::from(faults.delay.1)) as u32 + 1;
            request.set(Fault::Delay(enters), self.passes, self.now);
        }
        if let Some((least, most)) = faults.latency.filter(|_| waits(opcode)) {
            let latency = least + self.random.below(most - least + 1);
            request.set(Fault::Latency(latency), self.passes, self.now);
        }
        if let Some(fault) = new.then(|| self.script.take(opcode)).flatten() {
            request.set(fault, self.passes, self.now);
        }
    }

    /// The error that strikes by chance a request that could go on.
    pub(super) fn strike(&mut self, request: &Request) -> Option<Errno> {
        let faults = &self.config.faults;
        let (aborted, full) = (faults.accept_aborted, faults.accept_no_descriptor);
        let (again, no_buffers) = (faults.again, faults.no_buffers);
        let opcode = request.sqe.opcode;
        let waits = request.socket().is_ok() || request.pipe().is_some();
        let accepts = opcode == opcode::ACCEPT;
        if accepts && self.random.chance(full) {
            return Some(libc::EMFILE);
        }
        if accepts && self.random.chance(aborted) {
            return Some(libc::ECONNABORTED);
        }
        if request.selects_buffer() && self.random.chance(no_buffers) {
            return Some(libc::ENOBUFS);
        }
        if let Some(errno) = self.run_out_of_memory(request) {
            return Some(errno);
        }
        self.break_connection(request);
        if request.is_disk() {
            return self.strike_disk(opcode);
        }
        // Poll does not tell of room in a page that is begun, so who is refused that would wait for
        // nothing: no kernel refuses it.
        let told = request.pipe().is_none_or(|(id, end)| self.pipes.tells(id, end));
        (waits && told && (accepts || transfers(opcode)) && self.random.chance(again))
            .then_some(libc::EAGAIN)
    }

    fn run_out_of_memory(&mut self, request: &Request) -> Option<Errno> {
        let opcode = request.sqe.opcode;
        let connects = matches!(opcode, opcode::ACCEPT | opcode::CONNECT);
        let asks =
            request.is_disk() || (request.socket().is_ok() && (connects || transfers(opcode)));
        let p = self.config.faults.no_memory;
        if !asks || p <= 0.0 || !self.random.chance(p) {
            return None;
        }
        let of_sockets = !request.is_disk() && self.random.chance(0.5);
        Some(if of_sockets { libc::ENOBUFS } else { libc::ENOMEM })
    }

    /// Resets the connection of a request by chance. What comes of that it tells by itself.
    fn break_connection(&mut self, request: &Request) {
        let p = self.config.faults.reset;
        if p > 0.0
            && transfers(request.sqe.opcode)
            && let Ok(socket) = request.socket()
            && self.random.chance(p)
        {
            self.network.break_connection(socket);
        }
    }

    /// The same of what a disk or a worker does.
    fn strike_disk(&mut self, opcode: u8) -> Option<Errno> {
        let (again, error) = (self.config.faults.file_again, self.config.faults.file_error);
        let repeats = transfers(opcode) || opcode == opcode::FSYNC;
        if repeats && again > 0.0 && self.random.chance(again) {
            let interrupted = opcode == opcode::FSYNC || self.random.chance(0.5);
            return Some(if interrupted { libc::EINTR } else { libc::EAGAIN });
        }
        if error > 0.0 && self.random.chance(error) {
            let takes_room = matches!(
                opcode,
                opcode::WRITE
                    | opcode::WRITEV
                    | opcode::FALLOCATE
                    | opcode::OPENAT
                    | opcode::MKDIRAT
            );
            let errors = [libc::EIO, libc::ESTALE, libc::ENOSPC, libc::EDQUOT];
            let known = if takes_room { errors.len() } else { 2 };
            return Some(errors[self.random.below(known as u64) as usize]);
        }
        None
    }
}

/// Operations that move bytes.
pub(super) fn transfers(opcode: u8) -> bool {
    matches!(
        opcode,
        opcode::READ
            | opcode::READV
            | opcode::READ_MULTISHOT
            | opcode::READ_FIXED
            | opcode::WRITE
            | opcode::WRITEV
            | opcode::WRITE_FIXED
            | opcode::RECV
            | opcode::RECVMSG
            | opcode::SEND
            | opcode::SENDMSG
            | opcode::SEND_ZC
    )
}

/// Operations that wait for something outside.
fn waits(opcode: u8) -> bool {
    let others = matches!(
        opcode,
        opcode::ACCEPT | opcode::CONNECT | opcode::POLL_ADD | opcode::FSYNC | opcode::WAITID
    );
    transfers(opcode) || others
}
