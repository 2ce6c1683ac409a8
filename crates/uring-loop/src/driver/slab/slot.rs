//! One slot: its head, the room for its op, and how the driver treats an op whose type it no longer
//! knows. Which states it goes through is in `slab.rs`.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use super::key::GENERATION_BITS;
use crate::driver::ring::{Cqe, Sqe};
use crate::wake::LocalWaker;

/// As in the life story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free,
    InFlight,
    Orphan,
    Done,
}

/// Room for an op of up to 32 bytes, or for the pointer to a larger one.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(in crate::driver) struct Payload([MaybeUninit<u64>; 4]);

impl Payload {
    pub(in crate::driver) const SIZE: usize = size_of::<Payload>();
    pub(in crate::driver) const ALIGN: usize = align_of::<Payload>();
    pub(super) const EMPTY: Payload = Payload([MaybeUninit::uninit(); 4]);
}

/// How the driver treats an op whose type it no longer knows.
pub(in crate::driver) struct Vtable {
    /// It completes many times.
    pub(in crate::driver) multishot: bool,
    /// A virtual clock must not jump while it is in flight.
    pub(in crate::driver) holds_clock: bool,
    /// A completion that is not the terminal one. `true`: nobody takes them, stop the op.
    pub(in crate::driver) more: unsafe fn(*mut Payload, Cqe) -> bool,
    /// The terminal completion of an orphan: consumes the op.
    pub(in crate::driver) reclaim: unsafe fn(*mut Payload, Cqe),
    /// Of an op that is not at its end when one entry is.
    pub(in crate::driver) stages: Option<Stages>,
}

/// How an op that takes several entries, one after the other, goes from one to the next. It is in
/// flight, or an orphan, all the while.
#[derive(Clone, Copy)]
pub(in crate::driver) struct Stages {
    /// Notes what one entry has brought. `true`: there is more to do.
    pub(in crate::driver) goes_on: unsafe fn(*mut Payload, Cqe) -> bool,
    /// Fills in the next entry.
    pub(in crate::driver) prepare: unsafe fn(*mut Payload, &mut Sqe),
}

/// What the driver notes of an op, apart from the op.
pub(in crate::driver) struct Head {
    /// Lower 24 bits.
    pub(super) generation: u32,
    /// The opcode, for eyes. Of a free slot: the next free one.
    pub(super) about: u32,
    /// The result, and the flags that came with it. Before it has come: when the op was submitted,
    /// in milliseconds, modulo 2^32, and no flags.
    pub(super) result: i32,
    pub(super) flags: u32,
    pub(in crate::driver) waker: Option<LocalWaker>,
    pub(super) vtable: Option<&'static Vtable>,
}

impl Head {
    /// The number of the task that waits for it.
    pub(in crate::driver) fn waits(&self) -> Option<u32> {
        self.waker.as_ref().and_then(LocalWaker::task)
    }

    pub(in crate::driver) fn state(&self) -> State {
        match self.generation >> GENERATION_BITS {
            0 => State::Free,
            1 => State::InFlight,
            2 => State::Orphan,
            _ => State::Done,
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.generation = self.generation() | (state as u32) << GENERATION_BITS;
    }

    pub(in crate::driver) fn set_opcode(&mut self, opcode: u8) {
        self.about = opcode.into();
    }

    pub(in crate::driver) fn opcode(&self) -> u8 {
        self.about as u8
    }

    /// When it was submitted, in milliseconds, modulo 2^32; `None` once a result is kept in that
    /// place.
    pub(in crate::driver) fn since(&self) -> Option<u32> {
        (self.flags == 0).then_some(self.result as u32)
    }

    /// The first completion of a zero-copy send: its result, which is not the end yet.
    pub(in crate::driver) fn keep_result(&mut self, cqe: Cqe) {
        self.result = cqe.result;
        self.flags = cqe.flags;
    }

    /// The result, once the terminal completion has come.
    pub(in crate::driver) fn cqe(&self, user_data: u64) -> Cqe {
        Cqe { user_data, result: self.result, flags: self.flags }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation & ((1 << GENERATION_BITS) - 1)
    }

    pub(in crate::driver) fn vtable(&self) -> &'static Vtable {
        self.vtable.expect("a slot that is not free has an op")
    }
}

/// One cache line: whoever looks at it has all of it.
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) head: Head,
    /// Apart from the head: the kernel may write here while we hold a reference to the head.
    pub(super) payload: UnsafeCell<Payload>,
}

const _: () = assert!(size_of::<Slot>() == 64, "an idle connection pays for every byte");

/// Makes a use of a freed slot visible under test.
#[cfg(any(test, feature = "testing"))]
pub(super) fn poison(payload: *mut Payload) {
    // SAFETY: the slot's own memory, which the kernel has let go of.
    unsafe { payload.write(Payload([MaybeUninit::new(0xdead_dead_dead_dead); 4])) };
}
