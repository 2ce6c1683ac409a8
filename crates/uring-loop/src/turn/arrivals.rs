//! The first step of a turn: what other threads have sent through the door, and signals.

use std::ptr::NonNull;

use super::Core;
use crate::handle::RemoteCall;
use crate::task::inbox::Node;
use crate::task::raw::Header;

/// Most entries of the door that are seen to in one turn, so that threads that send without pause
/// hold up neither timers nor completions.
const ARRIVALS: usize = 1024;

impl Core {
    /// Sees to what other threads sent, oldest first, but not to more than a turn can bear.
    pub(super) fn open_door(&self) {
        if !self.has_arrivals() && self.door.inbox.knocked() {
            self.take_arrivals();
        }
        // After the door's notice was taken back: a signal whose notice went with it is heard here.
        self.ears.hear();
        for _ in 0..ARRIVALS {
            // Not borrowed while it is seen to: a call may do anything.
            let Some(node) = self.arrived.borrow_mut().next() else { return };
            // SAFETY: fresh from the door.
            if let Some(call) = unsafe { self.receive(node) } {
                (call.run)(self);
            }
        }
    }

    /// Takes over all that lies in the door. What had been taken before is seen to.
    pub(super) fn take_arrivals(&self) {
        self.door.inbox.wake_up();
        let left = self.arrived.replace(self.door.inbox.take());
        debug_assert!(left.is_empty(), "entries of the door are lost");
    }

    pub(super) fn has_arrivals(&self) -> bool {
        !self.arrived.borrow().is_empty()
    }

    /// Makes a woken task ready, or gives the call that `node` is.
    ///
    /// # Safety
    ///
    /// `node` was just taken from this loop's door.
    pub(super) unsafe fn receive(&self, node: *mut Node) -> Option<Box<RemoteCall>> {
        // SAFETY: nodes in a door are alive until taken; which kind, the id says.
        let id = unsafe { &*node }.id;
        if id == 0 {
            // SAFETY: id 0 is a leaked `RemoteCall`, ours since it was taken.
            let call = unsafe { Box::from_raw(node.cast::<RemoteCall>()) };
            return (call.node.loop_id == self.id).then_some(call);
        }
        let header = NonNull::new(node.cast::<Header>()).expect("a node is not null");
        // SAFETY: another id is a task's header, taken from our door.
        unsafe { self.tasks.receive(header) };
        None
    }

    /// The loop goes: tasks in the door are let go of, calls dropped.
    pub(super) fn empty_door(&self) {
        while self.has_arrivals() || self.door.inbox.knocked() {
            while let Some(node) = { self.arrived.borrow_mut().next() } {
                // SAFETY: fresh from the door.
                drop(unsafe { self.receive(node) });
            }
            self.take_arrivals();
        }
    }
}
