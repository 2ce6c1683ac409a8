//! The way of a request: from its entry to its last completion.

use std::collections::VecDeque;

use super::super::check::{check, check_place, is_linked, is_multishot};
use super::super::{Cqe, Sqe, cqe_flags, opcode, socket_flags, sqe_flags};
use super::attempt::{ALWAYS, INPUT, Outcome, deadline, descriptor, failure, polled_first};
use super::helpers::{Job, Lane};
use super::requests::{Guard, Name, Place, Request};
use super::{BELL, Errno, Soft, Timer};
use crate::sys::clock::monotonic_ns;
use crate::sys::{self, calls};

/// Shots in a row before others have their turn (`MULTISHOT_MAX_RETRY` of io_uring/net.c).
const SHOTS_IN_A_ROW: usize = 32;

/// `IORING_NOTIF_USAGE_ZC_COPIED`: the bytes of a zero-copy send were copied after all.
const COPIED: i32 = i32::MIN;

impl Soft {
    /// Takes all entries in. A chain that the end of the queue cuts off is closed there.
    pub(super) fn submit(&mut self) {
        while let Some(sqe) = self.submissions.pop_front() {
            if !is_linked(&sqe) {
                match verdict(&sqe, None) {
                    Ok(()) => self.start(sqe, VecDeque::new()),
                    Err(errno) => self.post(Cqe::of(&sqe, -errno, 0)),
                }
                continue;
            }
            let mut chain = VecDeque::from([sqe]);
            while chain.back().is_some_and(is_linked) {
                let Some(next) = self.submissions.pop_front() else { break };
                chain.push_back(next);
            }
            self.submit_chain(chain);
        }
    }

    /// One bad entry fails its whole chain (`io_submit_fail_init`).
    fn submit_chain(&mut self, mut chain: VecDeque<Sqe>) {
        let before = |at: usize| at.checked_sub(1).and_then(|before| chain.get(before));
        let verdicts: Vec<Result<(), Errno>> =
            chain.iter().enumerate().map(|(at, sqe)| verdict(sqe, before(at))).collect();
        if verdicts.iter().all(Result::is_ok) {
            if let Some(head) = chain.pop_front() {
                self.start(head, chain);
            }
            return;
        }
        let quiet = chain.front().is_some_and(skips);
        for (at, (sqe, verdict)) in chain.iter().zip(verdicts).enumerate() {
            if at == 0 || !quiet {
                self.post(Cqe::of(sqe, -verdict.err().unwrap_or(libc::ECANCELED), 0));
            }
        }
    }

    /// Starts a request; what can be done at once is done at once.
    pub(super) fn start(&mut self, sqe: Sqe, rest: VecDeque<Sqe>) {
        let mut request = Request::new(sqe, rest);
        if request.rest.front().is_some_and(|next| next.opcode == opcode::LINK_TIMEOUT) {
            let guard = request.rest.pop_front();
            let deadline = |sqe: &Sqe| deadline(sqe).unwrap_or(0);
            request.guard = guard.map(|sqe| Guard { deadline: deadline(&sqe), sqe });
        }
        if let Some(outcome) = self.control(&sqe) {
            return self.end(request, None, outcome);
        }
        match self.look_up(&mut request) {
            Ok(()) => match polled_first(&sqe) {
                Some(events) if calls::poll(request.fd, events) == 0 => {
                    if let Some(back) = self.wait_for(request, None, events) {
                        self.go_on(back, None);
                    }
                }
                _ => self.go_on(request, None),
            },
            Err(errno) => self.finish(request, None, -errno, 0, true),
        }
    }

    /// Finds what a request works on.
    fn look_up(&mut self, request: &mut Request) -> Result<(), Errno> {
        request.fd = descriptor(&request.sqe);
        if request.has_flag(sqe_flags::FIXED_FILE) {
            request.fd = self.kit.tables.file(request.sqe.fd)?;
        }
        if request.fd >= 0 && self.descriptors.is_closing(request.fd) {
            return Err(libc::EBADF);
        }
        match request.sqe.opcode {
            // accept(2) has no flag for it.
            opcode::ACCEPT => {
                if let errno @ ..0 = calls::unblock(request.fd) {
                    return Err(-errno);
                }
            }
            // It matters before the first attempt, not only if that has to wait.
            opcode::READ_MULTISHOT => match self.descriptors.watch(request.fd) {
                Err(libc::EPERM) => request.traits.always_ready = true,
                result => return result,
            },
            _ => {}
        }
        Ok(())
    }

    /// What concerns the ring itself, and is always done at once.
    fn control(&mut self, sqe: &Sqe) -> Option<Outcome> {
        Some(match sqe.opcode {
            opcode::ASYNC_CANCEL => Outcome::from(self.cancel(sqe)),
            opcode::CLOSE if sqe.file_index > 0 => {
                Outcome::from(self.set_file(sqe.file_index as u64 - 1, None).map(|()| 0))
            }
            opcode::CLOSE => Outcome::done(self.descriptors.close(sqe.fd)),
            opcode::FILES_UPDATE => Outcome::from(self.update_files(sqe)),
            // There is no other ring here.
            opcode::MSG_RING => Outcome::done(-libc::EBADFD),
            _ => return None,
        })
    }

    fn update_files(&mut self, sqe: &Sqe) -> Result<i32, Errno> {
        for at in 0..sqe.len as usize {
            // SAFETY: the entry points to so many descriptors (`Op`).
            let fd = unsafe { calls::number(sqe.addr, at) };
            let place = sqe.off + at as u64;
            let set = match fd {
                -1 => self.set_file(place, None),
                fd => match calls::duplicate(fd) {
                    errno @ ..0 => Err(-errno),
                    own => self.set_file(place, Some(own)).inspect_err(|_| sys::close(own)),
                },
            };
            match set {
                Ok(()) => {}
                Err(errno) if at == 0 => return Err(errno),
                Err(_) => return Ok(at as i32),
            }
        }
        Ok(sqe.len as i32)
    }

    fn set_file(&mut self, place: u64, fd: Option<i32>) -> Result<(), Errno> {
        let before = self.kit.tables.set_file(place, fd)?;
        match before {
            Some(before) => {
                self.descriptors.close(before);
            }
            None if fd.is_none() => return Err(libc::EBADF),
            None => {}
        }
        Ok(())
    }

    /// Lets a request go as far as it can. `index` is its slot, if it has one.
    pub(super) fn go_on(&mut self, mut request: Request, index: Option<u32>) {
        if request.cancelled {
            let outcome = failure(&request, -libc::ECANCELED);
            return self.end(request, index, outcome);
        }
        for _ in 0..SHOTS_IN_A_ROW {
            match self.kit.attempt(&mut request) {
                Outcome::Shot { result, flags } | Outcome::LastShot { result, flags }
                    if !self.completions.has_room() =>
                {
                    // A result that meets a full queue is the last (`io_req_post_cqe`).
                    return self.finish(request, index, result, flags, false);
                }
                Outcome::Shot { result, flags } => {
                    self.post(Cqe::of(&request.sqe, result, flags | cqe_flags::MORE));
                }
                Outcome::LastShot { result, flags } => {
                    self.post(Cqe::of(&request.sqe, result, flags | cqe_flags::MORE));
                    let events = interest(&request.sqe);
                    match self.wait_for(request, index, events) {
                        None => return,
                        Some(back) => request = back,
                    }
                }
                Outcome::Wait(events) => match self.wait_for(request, index, events) {
                    None => return,
                    Some(back) => request = back,
                },
                Outcome::Until(moment) => return self.wait_until(request, index, moment),
                Outcome::Help(lane) => return self.hand_over(request, index, lane),
                outcome @ Outcome::Done { .. } => return self.end(request, index, outcome),
            }
        }
        // Others first.
        let index = self.settle(request, index, None);
        self.make_due(index, 0);
    }

    fn end(&mut self, request: Request, index: Option<u32>, outcome: Outcome) {
        if let Outcome::Done { result, flags, failed } = outcome {
            self.finish(request, index, result, flags, failed);
        }
    }

    /// Puts a request into the slot that it has, or into one, and where it waits.
    fn settle(&mut self, mut request: Request, index: Option<u32>, place: Option<Place>) -> u32 {
        let (fd, before) = (request.fd, request.place);
        let guard = request.guard;
        request.place = place.unwrap_or(before);
        let after = request.place;
        let index = match index {
            Some(index) => {
                self.requests.put(index, request);
                index
            }
            None => {
                let index = self.requests.insert(request);
                self.descriptors.hold(fd);
                if let Some(guard) = guard {
                    let name = self.requests.name(index);
                    self.timers.insert((guard.deadline, name), Timer::Guard);
                }
                index
            }
        };
        match (matches!(before, Place::Line { .. }), matches!(after, Place::Line { .. })) {
            (false, true) => self.descriptors.line_up(&mut self.requests, fd, index),
            (true, false) => self.descriptors.leave(&mut self.requests, fd, index),
            _ => {}
        }
        index
    }

    /// It goes on when its descriptor has one of these events. If that is always ready, it comes
    /// back.
    fn wait_for(
        &mut self,
        mut request: Request,
        index: Option<u32>,
        events: u32,
    ) -> Option<Request> {
        if !matches!(request.place, Place::Line { .. }) {
            match self.descriptors.watch(request.fd) {
                Ok(()) => {}
                Err(libc::EPERM) if !request.traits.always_ready => {
                    request.traits.always_ready = true;
                    return Some(request);
                }
                Err(errno) => {
                    self.finish(request, index, -errno, 0, true);
                    return None;
                }
            }
        }
        request.told = 0;
        self.settle(request, index, Some(Place::Line { events }));
        None
    }

    fn wait_until(&mut self, mut request: Request, index: Option<u32>, moment: u64) {
        request.deadline = Some(moment);
        let index = self.settle(request, index, Some(Place::Clock));
        let name = self.requests.name(index);
        self.timers.insert((moment, name), Timer::Request);
    }

    fn hand_over(&mut self, request: Request, index: Option<u32>, lane: Lane) {
        let Request { sqe, fd, done, .. } = request;
        let index = self.settle(request, index, Some(Place::Helper));
        let name = self.requests.name(index);
        let epoll = &self.descriptors.epoll;
        self.helpers.give(lane, Job { name, sqe, fd, done }, |bell| epoll.add(bell, BELL));
    }

    /// It goes on in the next pass.
    pub(super) fn make_due(&mut self, index: u32, told: u32) {
        let name = self.requests.name(index);
        if let Some(request) = self.requests.get_mut(index) {
            request.told |= told;
            if !std::mem::replace(&mut request.due, true) {
                self.due.push_back(name);
            }
        }
    }

    /// Lets everything go on that is due now. What becomes due meanwhile is the next pass's.
    pub(super) fn run_due(&mut self) {
        for _ in 0..self.chains.len() {
            if let Some(mut chain) = self.chains.pop_front()
                && let Some(head) = chain.pop_front()
            {
                self.start(head, chain);
            }
        }
        for _ in 0..self.due.len() {
            let Some(name) = self.due.pop_front() else { return };
            if self.requests.named(name).is_some() {
                let mut request = self.requests.take(name.index);
                request.due = false;
                self.go_on(request, Some(name.index));
            }
        }
    }

    /// What helpers have done.
    pub(super) fn take_results(&mut self) {
        for (name, result) in self.helpers.results() {
            if self.requests.named(name).is_some() {
                let request = self.requests.take(name.index);
                let failed = result < 0 || is_short(&request.sqe, result);
                self.finish(request, Some(name.index), result, 0, failed);
            }
        }
    }

    /// What is due by the clock.
    pub(super) fn expire(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = monotonic_ns();
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let ((_, name), timer) = entry.remove_entry();
            match timer {
                Timer::Request => self.make_due(name.index, 0),
                Timer::Guard => self.expire_guard(name),
            }
        }
    }

    fn expire_guard(&mut self, name: Name) {
        let Some(request) = self.requests.named(name) else { return };
        let Some(guard) = request.guard.take() else { return };
        let result = match self.cancel_request(name.index) {
            0 => -libc::ETIME,
            errno => errno,
        };
        self.post_guard(&guard, result);
    }

    /// The end of a LINK_TIMEOUT; it never counts as a failure (`io_req_task_link_timeout`).
    fn post_guard(&mut self, guard: &Guard, result: i32) {
        if !skips(&guard.sqe) {
            self.post(Cqe::of(&guard.sqe, result, 0));
        }
    }

    /// The terminal completion: nothing of the request, and no address of its, is kept.
    pub(super) fn finish(
        &mut self,
        mut request: Request,
        index: Option<u32>,
        result: i32,
        flags: u32,
        failed: bool,
    ) {
        if let Some(index) = index {
            self.remove(&request, index);
        }
        let sqe = request.sqe;
        let zero_copy = sqe.opcode == opcode::SEND_ZC;
        if failed || !skips(&sqe) {
            let more = if zero_copy { cqe_flags::MORE } else { 0 };
            self.post(Cqe::of(&sqe, result, flags | more));
        }
        if zero_copy {
            let reports = sqe.ioprio & socket_flags::ZERO_COPY_REPORT_USAGE != 0;
            self.post(Cqe::of(&sqe, if reports { COPIED } else { 0 }, cqe_flags::NOTIF));
        }
        if let Some(guard) = request.guard.take() {
            self.post_guard(&guard, -libc::ECANCELED);
        }
        let rest = std::mem::take(&mut request.rest);
        if failed && !request.has_flag(sqe_flags::IO_HARDLINK) {
            let told = rest.iter().filter(|_| !skips(&sqe));
            told.for_each(|sqe| self.post(Cqe::of(sqe, -libc::ECANCELED, 0)));
        } else if !rest.is_empty() {
            self.chains.push_back(rest);
        }
    }

    /// Takes a request off wherever it is known.
    fn remove(&mut self, request: &Request, index: u32) {
        let name = self.requests.name(index);
        if matches!(request.place, Place::Line { .. }) {
            self.descriptors.leave(&mut self.requests, request.fd, index);
        }
        let guard = request.guard.map(|guard| guard.deadline);
        for moment in [request.deadline, guard].into_iter().flatten() {
            self.timers.remove(&(moment, name));
        }
        self.requests.free(index, request.sqe.user_data);
        self.descriptors.release(request.fd);
    }

    fn post(&mut self, cqe: Cqe) {
        self.completions.post(cqe);
        self.kit.posted = self.completions.posted();
    }
}

/// The verdict on an entry, before anything is done.
fn verdict(sqe: &Sqe, before: Option<&Sqe>) -> Result<(), Errno> {
    check(sqe)?;
    check_place(sqe, before)?;
    match sqe.opcode {
        opcode::TIMEOUT | opcode::LINK_TIMEOUT => deadline(sqe).map(drop),
        _ => Ok(()),
    }
}

fn skips(sqe: &Sqe) -> bool {
    sqe.flags & sqe_flags::CQE_SKIP_SUCCESS != 0
}

/// What a multishot request waits for between its shots.
fn interest(sqe: &Sqe) -> u32 {
    debug_assert!(is_multishot(sqe), "only these go on after a result");
    if sqe.opcode == opcode::POLL_ADD { sqe.op_flags | ALWAYS } else { INPUT }
}

/// Whether a transfer moved less than it was asked to.
fn is_short(sqe: &Sqe, result: i32) -> bool {
    let asked = match sqe.opcode {
        opcode::READ | opcode::READ_FIXED | opcode::WRITE | opcode::WRITE_FIXED => sqe.len as usize,
        opcode::READV | opcode::WRITEV => {
            // SAFETY: the entry points to so many pieces (`Op`); it has not completed yet.
            let pieces = unsafe { calls::pieces(sqe.addr, sqe.len as usize) };
            pieces.iter().map(|piece| piece.iov_len).sum()
        }
        _ => return false,
    };
    (result as usize) < asked
}

impl Cqe {
    fn of(sqe: &Sqe, result: i32, flags: u32) -> Self {
        Cqe { user_data: sqe.user_data, result, flags }
    }
}
