//! The simulated kernel's state, and the way of a request through it: submit, issue, attempt,
//! finish, and on to what is linked behind it.

use std::collections::{BTreeMap, VecDeque};

use super::buffers::Groups;
use super::config::SimConfig;
use super::descriptors::{Descriptors, Object};
use super::faults::Script;
use super::files::Files;
use super::handle::Action;
use super::log::Event;
use super::network::Network;
use super::pipes::Pipes;
use super::prepare::{self, check_place, is_linked};
use super::random::Random;
use super::real::Real;
use super::registered::Registered;
use super::request::{Guard, Outcome, Prepared, Request};
use crate::driver::ring::completions::Completions;
use crate::driver::ring::{Cqe, Sqe, cqe_flags, opcode, sqe_flags};

/// Results of one multishot request in a row (`MULTISHOT_MAX_RETRY` in `io_uring/net.c`).
const SHOTS_IN_A_ROW: usize = 32;

pub(super) struct World {
    /// Opcodes that this kernel does not have: what asks first is told so, what does not fails
    /// with EINVAL.
    pub(super) lacks: Vec<u8>,
    pub(super) config: SimConfig,
    pub(super) random: Random,
    pub(super) script: Script,
    /// Virtual time, in nanoseconds.
    pub(super) now: u64,
    /// Passes of completion work so far: what a delay in enters counts.
    pub(super) passes: u64,
    pub(super) enters: u64,
    pub(super) submissions: VecDeque<Sqe>,
    pub(super) completions: Completions,
    /// In flight, in the order of issue.
    pub(super) requests: BTreeMap<u64, Request>,
    next_request: u64,
    /// Work that is due whatever else happens, in its order.
    pub(super) work: VecDeque<Work>,
    /// Zero-copy sends whose buffer has not been given back yet.
    pub(super) notifications: Vec<Notification>,
    pub(super) network: Network,
    pub(super) files: Files,
    pub(super) pipes: Pipes,
    pub(super) descriptors: Descriptors,
    pub(super) ring: std::os::fd::RawFd,
    pub(super) groups: Groups,
    pub(super) registered: Registered,
    pub(super) real: Real,
    pub(super) log: Vec<Event>,
    /// What the test has planned, by time and then by order.
    pub(super) agenda: BTreeMap<(u64, u64), Action>,
    pub(super) next_action: u64,
    /// The taskrun hint as last worked out; none after any change.
    pub(super) hint: Option<bool>,
}

/// Completion work that waits for a pass.
pub(super) enum Work {
    /// The next request of a chain.
    Start(VecDeque<Prepared>),
    Post(Cqe),
}

/// A zero-copy send that has its result but not its notification.
pub(super) struct Notification {
    pub(super) request: Request,
    pub(super) due: u64,
}

impl World {
    pub(super) fn new(config: SimConfig) -> Self {
        let mut descriptors = Descriptors::new(config.descriptors.saturating_add(1));
        let ring = descriptors.open(Object::Ring);
        World {
            random: Random::new(config.seed),
            script: Script::default(),
            now: config.start,
            passes: 0,
            enters: 0,
            submissions: VecDeque::new(),
            completions: Completions::new(config.completions),
            requests: BTreeMap::new(),
            next_request: 0,
            work: VecDeque::new(),
            notifications: Vec::new(),
            network: Network::new(config.send_buffer, config.backlog),
            files: Files::default(),
            pipes: Pipes::new(config.send_buffer),
            descriptors,
            ring,
            groups: Groups::default(),
            registered: Registered::default(),
            real: Real::default(),
            log: Vec::new(),
            agenda: BTreeMap::new(),
            next_action: 0,
            hint: None,
            lacks: Vec::new(),
            config,
        }
    }

    /// Consumes entries, and answers how many. A chain that the end of the queue cuts off is
    /// closed there.
    pub(super) fn submit(&mut self, most: usize) -> u32 {
        let mut chain: VecDeque<Prepared> = VecDeque::new();
        let mut consumed = 0;
        while consumed < most {
            let Some(sqe) = self.submissions.pop_front() else { break };
            consumed += 1;
            self.log.push(Event::submitted(&sqe));
            let verdict = prepare::check(&sqe)
                .and_then(|()| self.check_known(&sqe))
                .and_then(|()| check_place(&sqe, chain.back().map(|before| &before.sqe)))
                .and_then(|()| self.check_time(&sqe));
            chain.push_back(Prepared { sqe, verdict });
            if !is_linked(&sqe) {
                self.start_chain(std::mem::take(&mut chain));
            }
        }
        self.start_chain(chain);
        consumed as u32
    }

    fn check_known(&self, sqe: &Sqe) -> Result<(), super::Errno> {
        if self.lacks.contains(&sqe.opcode) { Err(libc::EINVAL) } else { Ok(()) }
    }

    /// How many entries to take so that no chain is torn, if only about `most` can be.
    pub(super) fn chain_boundary(&self, most: usize) -> usize {
        let torn = |at: &usize| *at > 0 && is_linked(&self.submissions[*at - 1]);
        (most..self.submissions.len()).find(|at| !torn(at)).unwrap_or(self.submissions.len())
    }

    /// One bad entry fails its whole chain (`io_submit_fail_init`).
    fn start_chain(&mut self, mut chain: VecDeque<Prepared>) {
        let bad = chain.iter().any(|prepared| prepared.verdict.is_err());
        let Some(head) = chain.pop_front() else { return };
        if !bad {
            return self.issue(head.sqe, chain);
        }
        let result = -head.verdict.err().unwrap_or(libc::ECANCELED);
        self.post(Cqe { user_data: head.sqe.user_data, result, flags: 0 });
        let quiet = head.sqe.flags & sqe_flags::CQE_SKIP_SUCCESS != 0;
        self.fail_links(chain, quiet);
    }

    fn fail_links(&mut self, chain: VecDeque<Prepared>, quiet: bool) {
        let chain = chain.into_iter().filter(|_| !quiet);
        self.work.extend(chain.map(|Prepared { sqe, verdict }| {
            let result = -verdict.err().unwrap_or(libc::ECANCELED);
            Work::Post(Cqe { user_data: sqe.user_data, result, flags: 0 })
        }));
    }

    /// Starts a request; what can be done at once is done at once.
    pub(super) fn issue(&mut self, sqe: Sqe, mut rest: VecDeque<Prepared>) {
        self.next_request += 1;
        let guarded = rest.front().is_some_and(|next| next.sqe.opcode == opcode::LINK_TIMEOUT);
        let guard = if guarded { rest.pop_front() } else { None };
        let mut request = Request::new(self.next_request, sqe, rest);
        request.guard = guard.map(|Prepared { sqe, .. }| Guard {
            sqe,
            deadline: self.deadline(&sqe).unwrap_or(self.now),
        });
        self.lay_ambush(&mut request, true);
        if request.has_flag(sqe_flags::ASYNC) {
            request.gate.pass = request.gate.pass.max(self.passes + 1);
        }
        match self.begin(&mut request) {
            Ok(()) => self.drive(request),
            Err(errno) => self.finish(request, -errno, 0, true),
        }
    }

    /// Lets a request go as far as it can.
    pub(super) fn drive(&mut self, mut request: Request) {
        for _ in 0..SHOTS_IN_A_ROW {
            match self.attempt(&mut request) {
                Outcome::Wait => break,
                Outcome::Done { result, flags, failed } => {
                    return self.finish(request, result, flags, failed);
                }
                Outcome::Shot { result, flags } => {
                    let last = request.ambush.end_multishot || request.forced;
                    // A result that meets a full queue is the last (`io_req_post_cqe`).
                    if last || !self.completions.has_room() {
                        return self.finish(request, result, flags, false);
                    }
                    let user_data = request.sqe.user_data;
                    self.post(Cqe { user_data, result, flags: flags | cqe_flags::MORE });
                    self.lay_ambush(&mut request, false);
                }
            }
        }
        self.requests.insert(request.id, request);
    }

    /// The terminal completion: the request, and every address in it, ends here. (A zero-copy
    /// send's ends with its notification.)
    fn finish(&mut self, mut request: Request, result: i32, mut flags: u32, failed: bool) {
        request.check_pins();
        self.real.forget(request.id);
        if result < 0 && request.dialing.is_some() {
            self.network.stop_connecting(request.socket().expect("only sockets connect"));
        }
        if let Some(object) = request.object.take() {
            self.release(object);
        }
        let Sqe { user_data, opcode, .. } = request.sqe;
        if opcode == opcode::SEND_ZC {
            flags |= cqe_flags::MORE;
        }
        let quiet = request.has_flag(sqe_flags::CQE_SKIP_SUCCESS);
        if failed || !quiet {
            self.post(Cqe { user_data, result, flags });
        }
        if let Some(guard) = request.guard.take() {
            self.post_guard(&guard, -libc::ECANCELED);
        }
        let rest = std::mem::take(&mut request.rest);
        if failed && !request.has_flag(sqe_flags::IO_HARDLINK) {
            self.fail_links(rest, quiet);
        } else if !rest.is_empty() {
            self.work.push_back(Work::Start(rest));
        }
        if opcode == opcode::SEND_ZC {
            let due = self.passes + 1 + self.random.below(3);
            self.notifications.push(Notification { request, due });
        }
    }

    /// The end of a LINK_TIMEOUT; it never counts as a failure (`io_req_task_link_timeout`).
    pub(super) fn post_guard(&mut self, guard: &Guard, result: i32) {
        if guard.sqe.flags & sqe_flags::CQE_SKIP_SUCCESS == 0 {
            let user_data = guard.sqe.user_data;
            self.work.push_back(Work::Post(Cqe { user_data, result, flags: 0 }));
        }
    }

    pub(super) fn post(&mut self, cqe: Cqe) {
        let overflowed = self.completions.post(cqe);
        self.log.push(Event::Completed { cqe, overflowed });
    }

    /// Lets go of an object, and closes it if nothing else holds it.
    pub(super) fn release(&mut self, object: Object) {
        if self.descriptors.release(object) {
            match object {
                Object::Ring => {}
                Object::Socket(id) => self.network.close(id),
                Object::File(id) => self.files.close(id),
                Object::Pipe(id, end) => self.pipes.close(id, end),
            }
        }
    }

    /// Requests whose terminal completion is still to come; those that wait in a chain too.
    pub(super) fn in_flight(&self) -> usize {
        let linked: usize = self.requests.values().map(|request| request.rest.len()).sum();
        let guards = self.requests.values().filter(|request| request.guard.is_some()).count();
        let due = self.work.iter().map(|work| match work {
            Work::Start(chain) => chain.len(),
            Work::Post(_) => 1,
        });
        self.requests.len() + linked + guards + self.notifications.len() + due.sum::<usize>()
    }

    /// Everything in flight, a line each.
    pub(super) fn describe(&self) -> String {
        let mut lines: Vec<String> =
            self.requests.values().map(|request| format!("{request:?}")).collect();
        lines.extend(self.notifications.iter().map(|notification| {
            format!("{:?}: notification due in pass {}", notification.request, notification.due)
        }));
        if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
    }
}
