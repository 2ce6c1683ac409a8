//! A kernel in memory: the ring behind the waist of the driver, without the kernel.
//!
//! [`Sim`] takes the entries that the driver pushes, reads and writes the memory they point to,
//! and posts completions as Linux does: only on enter, in bounded passes, multishot until the
//! queue is full, a chain until its first failure. Its network, its files and its clock are in
//! memory too, and everything that is left to chance follows from one seed. [`SimHandle`] is the
//! other side: tests listen, connect and send through it, let things go wrong
//! ([`Faults`], [`Fault`]), and look at what happened ([`Event`]).
//!
//! Time is virtual and moves in waiting enters only: `Until(deadline)` jumps to what comes first, a
//! plan ([`SimHandle::at`]), a timeout, the end of a latency, or the deadline (ETIME). Delays that
//! are counted in enters pass within one wait. Threads and processes outside are not waited for in
//! virtual time: only a wait without a deadline goes into the real kernel, for at most ten
//! seconds, and only if a real descriptor is polled.
//!
//! What it is strict about, because a kernel can't be: a descriptor number is never given twice; a
//! provided buffer put back twice, or memory that changes under a send in flight, is a panic; and
//! when nothing can ever complete, a wait panics with a list of what is in flight.
//!
//! Where the rules come from: io_uring_enter(2), io_uring_setup(2) and liburing's man pages of the
//! `prep` functions; and `io_uring/` of Linux 6.18, whose functions are named where it is not in a
//! man page. `tests/differential.rs` runs the same programs on the real ring.
//!
//! By file: `world` (the way of a request), `work` (passes), `wait` (enter), `attempt`,
//! `transfer`, `message`, `datagrams`, `paths` and `cancel` (what each operation does), `request`,
//! `network`, `unix`, `files`, `tree`, `pipes`, `descriptors`, `registered`, `buffers`, `real`
//! (descriptors of the real kernel), `memory` (the only unsafe code), `handle`, `folders` and
//! `peer` (the test's side). What is checked of an entry, and the queue of completions, are
//! `driver/ring`'s.

mod attempt;
mod buffers;
mod cancel;
mod config;
mod datagrams;
mod descriptors;
mod faults;
mod files;
mod folders;
mod handle;
mod layout;
mod log;
mod memory;
mod message;
mod network;
mod paths;
mod peer;
mod pipes;
mod random;
mod real;
mod registered;
mod request;
#[cfg(test)]
mod tests;
mod transfer;
mod tree;
mod unix;
mod wait;
mod work;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

pub use config::SimConfig;
pub use datagrams::PeerUdp;
pub use descriptors::DescriptorKind;
pub use faults::{Fault, Faults};
pub use handle::SimHandle;
pub use log::Event;
pub use peer::{Peer, PeerListener};

use crate::driver::ring::check as prepare;
pub use crate::driver::ring::opcode;
use crate::driver::ring::{Cqe, Hints, Sqe, Wait};
use crate::sys::probe::Refused;
use world::World;

/// A number of errno(3), positive.
type Errno = i32;

/// A simulated ring. It is moved into the loop under test; the test keeps the [`SimHandle`].
pub struct Sim {
    handle: SimHandle,
}

impl Sim {
    /// Sets up a simulated kernel.
    ///
    /// # Errors
    ///
    /// [`SimConfig::refuse`], as a real set-up would be refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use uring_loop::testing::{Sim, SimConfig};
    ///
    /// let (sim, handle) = Sim::new(SimConfig::seeded(1))?;
    /// let (_listener, address) = handle.listen("127.0.0.1:0".parse().unwrap())?;
    /// let peer = handle.peer_connect(address)?;
    /// peer.send("hello")?;
    /// # drop(sim);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(config: SimConfig) -> io::Result<(Sim, SimHandle)> {
        if let Some(errno) = config.refuse {
            return Err(Refused::ring(&io::Error::from_raw_os_error(errno)).into());
        }
        let handle = SimHandle::new(Rc::new(RefCell::new(World::new(config))));
        Ok((Sim { handle: handle.clone() }, handle))
    }

    /// The test's side of this kernel.
    pub fn handle(&self) -> SimHandle {
        self.handle.clone()
    }

    /// Puts an entry on the submission queue; `false` when it is full.
    pub(crate) fn push(&mut self, sqe: &Sqe) -> bool {
        let world = &mut *self.handle.world_quietly();
        let room = world.submissions.len() < world.config.submissions;
        if room {
            world.submissions.push_back(*sqe);
        }
        room
    }

    /// Entries that the submission queue has room for when it is empty.
    pub(crate) fn capacity(&self) -> u32 {
        self.handle.world_quietly().config.submissions as u32
    }

    /// Takes the oldest completion.
    pub(crate) fn pop(&mut self) -> Option<Cqe> {
        self.handle.world_quietly().completions.pop()
    }

    /// Entries pushed and not yet consumed.
    pub(crate) fn unsubmitted(&self) -> u32 {
        self.handle.world_quietly().submissions.len() as u32
    }

    /// As io_uring_enter(2).
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        wait::enter(&self.handle, wait)
    }

    /// What the flags and the queues in shared memory say.
    pub(crate) fn hints(&mut self) -> Hints {
        let world = &mut *self.handle.world_quietly();
        world.real.collect();
        if world.real.any_fired() {
            world.hint = None;
        }
        let taskrun = match world.hint {
            Some(taskrun) => taskrun,
            None => *world.hint.insert(world.anything_due()),
        };
        Hints {
            taskrun,
            overflow: world.completions.overflowed(),
            completions: !world.completions.is_empty(),
        }
    }

    pub(crate) fn register_buffer_table(&mut self, places: u16) -> io::Result<()> {
        self.handle.world().registered.make_buffers(places)
    }

    pub(crate) fn set_buffer(&mut self, place: u16, address: u64, length: u32) -> io::Result<()> {
        self.handle.world().registered.set_buffer(place, address, length)
    }

    pub(crate) fn register_file_table(&mut self, places: u16) -> io::Result<()> {
        self.handle.world().registered.make_files(places)
    }

    /// Whether this kernel has an opcode: see [`SimHandle::do_without`].
    pub(crate) fn supports(&self, opcode: u8) -> bool {
        !self.handle.world_quietly().lacks.contains(&opcode)
    }

    /// Registers a ring of provided buffers.
    ///
    /// # Safety
    ///
    /// As io_uring_register(2) asks: `address` is memory of `entries` descriptors, and it and the
    /// buffers put into it stay mapped until this ring is closed.
    pub(crate) unsafe fn register_buffers(
        &mut self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        let mut world = self.handle.world();
        world
            .groups
            .register(address, entries, group)
            .map_err(|errno| Refused::buffers(&io::Error::from_raw_os_error(errno), entries).into())
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(world) = self.handle.peek() else {
            return f.write_str("Sim { busy }");
        };
        f.debug_struct("Sim")
            .field("now", &world.now)
            .field("enters", &world.enters)
            .field("unsubmitted", &world.submissions.len())
            .field("in_flight", &world.requests.values().collect::<Vec<_>>())
            .field("notifications", &world.notifications.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Sim {
    /// Closing a ring does not wait for its requests: with `scribble`, what is still in flight
    /// writes once more, so that memory freed before is found.
    fn drop(&mut self) {
        let Some(mut world) = self.handle.peek_mut() else { return };
        world.close_ring();
        // Plans may hold peers, which want the world when they are dropped.
        let plans = std::mem::take(&mut world.agenda);
        drop(world);
        drop(plans);
    }
}
