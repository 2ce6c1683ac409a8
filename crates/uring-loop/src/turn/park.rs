//! The fourth step of a turn: whether the kernel is entered, and how long it may keep the loop; on
//! the real clock, on one that jumps, on a simulated kernel.

use super::Core;
use crate::driver::ring::Wait;
use crate::driver::{self, Entered};

impl Core {
    /// The one enter of a turn, if there is any reason for it.
    pub(super) fn enter(&self) -> Entered {
        if self.tasks.ready() > 0 || self.stopping() || self.has_arrivals() {
            if self.driver.unsubmitted() || self.driver.hints().any() {
                return self.enter_kernel(Wait::Poll);
            }
            return Entered::Normally;
        }
        #[cfg(any(test, feature = "testing"))]
        if let Some(sim) = self.driver.simulated() {
            return self.enter_simulated(&sim);
        }
        if self.clock.is_virtual() && self.may_jump() {
            return self.enter_or_jump();
        }
        // What was submitted is handed over before a spin: else that would keep it waiting, and
        // find nothing.
        if self.spin.is_next() && self.driver.unsubmitted() && !mutant!("spins-before-it-submits") {
            return self.enter_kernel(Wait::Poll);
        }
        if self.spin.until(|| self.driver.glance().any() || self.door.inbox.knocked())
            || !self.door.inbox.try_sleep()
        {
            self.door.inbox.wake_up();
            return self.enter_kernel(Wait::Poll);
        }
        driver::count(&self.parks);
        let next = [self.timers.next(), self.next_look()].into_iter().flatten().min();
        let entered = self.enter_kernel(match next {
            Some(deadline) if !self.clock.is_virtual() => Wait::Until(deadline),
            _ => Wait::Forever,
        });
        if self.door.inbox.wake_up() {
            driver::count(&self.wakes);
        }
        entered
    }

    /// A simulated kernel has the only clock: the loop's follows it.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn enter_simulated(&self, sim: &crate::testing::SimHandle) -> Entered {
        if !self.door.inbox.try_sleep() {
            self.door.inbox.wake_up();
            return self.enter_kernel(Wait::Poll);
        }
        driver::count(&self.parks);
        let deadline = self.timers.next().filter(|_| self.holds.get() == 0);
        let entered = self.enter_kernel(deadline.map_or(Wait::Forever, Wait::Until));
        self.clock.advance_to(sim.now());
        self.door.inbox.wake_up();
        entered
    }

    pub(super) fn enter_kernel(&self, wait: Wait) -> Entered {
        match self.shown_park(wait, || self.driver.enter(wait)) {
            Ok(entered) => entered,
            Err(_) if self.driver.closing() => crate::sys::fork::refuse(),
            Err(error) => panic!("io_uring_enter failed in a way that no retry can mend: {error}"),
        }
    }

    /// Whether a virtual clock has somewhere to go and nobody who holds it.
    pub(super) fn may_jump(&self) -> bool {
        self.timers.next().is_some() && self.holds.get() == 0 && !self.driver.holds_clock()
    }

    /// A look without waiting; if it brings nothing, the virtual clock jumps to the next timer.
    pub(super) fn enter_or_jump(&self) -> Entered {
        let entered = self.enter_kernel(Wait::Poll);
        let reaped = self.driver.reap(self.door.bell());
        // Completion work comes in bounded batches: nothing reaped is not nothing left.
        let quiet = reaped == 0 && !self.driver.hints().any() && !self.door.inbox.knocked();
        if quiet && self.tasks.ready() == 0 && self.may_jump() {
            self.clock.advance_to(self.timers.next().unwrap_or(0));
        }
        entered
    }
}
