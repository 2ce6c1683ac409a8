//! What can go wrong on purpose: by chance ([`Faults`]) or by script ([`Fault`]).

use std::collections::{BTreeMap, VecDeque};

/// How often things go wrong, as probabilities from 0 to 1. All are 0 at first.
///
/// # Examples
///
/// ```
/// use uring_loop::testing::{Faults, SimConfig};
///
/// let faults = Faults::none().short(0.3).delay(0.2, 4).lose_cancel(0.5);
/// let config = SimConfig { faults, ..SimConfig::seeded(7) };
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    pub(super) short: f64,
    pub(super) again: f64,
    pub(super) no_buffers: f64,
    pub(super) end_multishot: f64,
    pub(super) delay: (f64, u32),
    pub(super) latency: Option<(u64, u64)>,
    pub(super) reorder: f64,
    pub(super) lose_cancel: f64,
    pub(super) accept_no_descriptor: f64,
    pub(super) accept_aborted: f64,
    pub(super) interrupt: f64,
    pub(super) enter_again: f64,
    pub(super) enter_busy: f64,
    pub(super) partial_submit: f64,
    pub(super) scribble: f64,
    pub(super) file_again: f64,
    pub(super) file_error: f64,
    pub(super) no_memory: f64,
    pub(super) reset: f64,
}

macro_rules! probabilities {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* #[must_use] pub fn $name(mut self, p: f64) -> Self {
            assert!((0.0..=1.0).contains(&p), "a probability is from 0 to 1, not {p}");
            self.$name = p;
            self
        })*
    };
}

impl Faults {
    /// A perfect kernel.
    pub fn none() -> Self {
        Faults::default()
    }

    /// Everything at once that a program gets over, each seldom enough that it still gets on.
    pub fn chaos() -> Self {
        Faults {
            short: 0.3,
            again: 0.05,
            no_buffers: 0.05,
            end_multishot: 0.1,
            delay: (0.3, 4),
            latency: None,
            reorder: 0.3,
            lose_cancel: 0.3,
            accept_no_descriptor: 0.02,
            accept_aborted: 0.05,
            interrupt: 0.1,
            enter_again: 0.05,
            enter_busy: 0.05,
            partial_submit: 0.1,
            scribble: 0.2,
            file_again: 0.05,
            file_error: 0.0,
            no_memory: 0.0,
            reset: 0.0,
        }
    }

    probabilities! {
        /// A read, write, send or receive moves only a part, `MSG_WAITALL` or not.
        short,
        /// A socket operation that could go on answers EAGAIN.
        again,
        /// A receive from a group of provided buffers finds none (ENOBUFS).
        no_buffers,
        /// A good result of a multishot operation is its last one.
        end_multishot,
        /// Completions of different operations change places.
        reorder,
        /// A cancel comes too late: it answers EALREADY or ENOENT and the operation ends by
        /// itself, if it can with success; an accept that was cancelled yields a descriptor.
        lose_cancel,
        /// An accept with a connection waiting answers EMFILE.
        accept_no_descriptor,
        /// An accept finds its connection gone (ECONNABORTED).
        accept_aborted,
        /// A signal ends a waiting enter. It is EINTR when nothing was submitted.
        interrupt,
        /// An enter that submits answers EAGAIN and has consumed nothing.
        enter_again,
        /// An enter that submits answers EBUSY and has consumed nothing.
        enter_busy,
        /// An enter consumes only some of the entries, as when the kernel's memory is short, and
        /// does not wait then. A chain of links is not torn.
        partial_submit,
        /// A read or write of a file, or an fsync, answers EINTR, or a transfer EAGAIN, and nothing
        /// has happened.
        file_again,
        /// An operation on a file or a name fails as disks do: EIO, ESTALE, and where it takes room
        /// ENOSPC and EDQUOT. (No part of [`Faults::chaos`].)
        file_error,
        /// An operation on a socket, a file or a name finds no memory (ENOMEM, ENOBUFS), and
        /// nothing has happened. (No part of [`Faults::chaos`].)
        no_memory,
        /// A send or a receive finds its TCP connection reset, for both ends: by somebody on the
        /// way. (No part of [`Faults::chaos`].)
        reset,
        /// The buffer of a receive or read in flight, or a free provided buffer, is filled with
        /// garbage before the result is there.
        scribble,
    }

    /// With probability `p` an operation ends up to `enters` enters late.
    ///
    /// A waiting enter counts as many as it needs: such a delay is shorter than any deadline.
    #[must_use]
    pub fn delay(mut self, p: f64, enters: u32) -> Self {
        assert!((0.0..=1.0).contains(&p), "a probability is from 0 to 1, not {p}");
        self.delay = (p, enters);
        self
    }

    /// Every operation that waits for something takes from `least` to `most` nanoseconds of
    /// virtual time; a deadline can come first.
    #[must_use]
    pub fn latency(mut self, least: u64, most: u64) -> Self {
        assert!(least <= most, "the least latency ({least} ns) is above the most ({most} ns)");
        self.latency = Some((least, most));
        self
    }
}

/// One thing that goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this errno without having done anything; an accept that fails with
    /// ECONNABORTED has lost its connection.
    Fail(i32),
    /// It moves at most this many bytes, `MSG_WAITALL` or not.
    Short(u32),
    /// It ends this many enters late.
    Delay(u32),
    /// It ends this many nanoseconds of virtual time late.
    Latency(u64),
    /// Its next good result is its last: multishot ended early.
    EndMultishot,
    /// A cancel of it comes too late, see [`Faults::lose_cancel`].
    LoseCancel,
    /// The descriptors of the message that it receives find no room in the process's table: the
    /// bytes come without them (MSG_CTRUNC), as when EMFILE would be answered.
    NoDescriptor,
}

/// The faults scripted for operations to come, by opcode.
#[derive(Debug, Default)]
pub(super) struct Script {
    operations: BTreeMap<u8, VecDeque<Fault>>,
    enters: VecDeque<i32>,
}

impl Script {
    pub(super) fn add(&mut self, opcode: u8, fault: Fault) {
        self.operations.entry(opcode).or_default().push_back(fault);
    }

    pub(super) fn take(&mut self, opcode: u8) -> Option<Fault> {
        self.operations.get_mut(&opcode)?.pop_front()
    }

    pub(super) fn add_enter(&mut self, errno: i32) {
        self.enters.push_back(errno);
    }

    /// The scripted answer of an enter, if it can be given now: EINTR comes from waiting only.
    pub(super) fn take_enter(&mut self, interrupts: bool) -> Option<i32> {
        let next = *self.enters.front()?;
        (interrupts == (next == libc::EINTR)).then(|| self.enters.pop_front()).flatten()
    }
}
