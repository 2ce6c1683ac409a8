//! io_uring_enter(2): submit, run completion work, wait.
//!
//! As in `fs/io_uring`: an error of the wait shows only if nothing was submitted and nothing is in
//! the queue; an enter that could not consume everything does not wait.

use std::io;
use std::time::Duration;

use super::Errno;
use super::handle::{Action, SimHandle};
use super::log::Event;
use super::world::World;
use crate::driver::ring::Wait;

/// How long a wait may stay in the real kernel before it is called a hang. Generous: the other
/// side may be a thread on a busy machine.
const HANG_GUARD: Duration = Duration::from_secs(10);

/// What an enter came to before it waits.
enum Entered {
    Over(Result<(), Errno>),
    Waiting { deadline: Option<u64> },
}

/// The next thing that a waiting enter does.
enum Step {
    Ready,
    Again,
    Act(Action),
    Late,
    Block,
}

pub(super) fn enter(handle: &SimHandle, wait: Wait) -> io::Result<()> {
    let (consumed, entered) = handle.world().start_enter(wait);
    let result = match entered {
        Entered::Over(result) => result,
        Entered::Waiting { deadline } => wait_until(handle, deadline),
    };
    // What the wait came to is told only if the call has done nothing else.
    let result = if consumed > 0 { Ok(()) } else { result };
    let errno = result.err().unwrap_or(0);
    handle.world().log.push(Event::Entered { consumed, errno });
    result.map_err(io::Error::from_raw_os_error)
}

fn wait_until(handle: &SimHandle, deadline: Option<u64>) -> Result<(), Errno> {
    loop {
        let step = handle.world().step(deadline);
        match step {
            Step::Ready => return Ok(()),
            Step::Again => {}
            Step::Act(action) => action(handle),
            Step::Late => return Err(libc::ETIME),
            Step::Block => handle.world().block(),
        }
        handle.world().pass();
    }
}

impl World {
    fn start_enter(&mut self, wait: Wait) -> (u32, Entered) {
        self.enters += 1;
        if let Some(errno) = self.refuse_enter() {
            return (0, Entered::Over(Err(errno)));
        }
        let offered = self.submissions.len();
        let consumed = if offered > 1 && self.random.chance(self.config.faults.partial_submit) {
            let some = 1 + self.random.below(offered as u64 - 1) as usize;
            self.submit(self.chain_boundary(some))
        } else {
            self.submit(offered)
        };
        if wait == Wait::Submit || !self.submissions.is_empty() {
            return (consumed, Entered::Over(Ok(())));
        }
        if consumed > 0 {
            // Submission and wait are two halves of the call, and each runs work.
            self.run_batch();
        }
        self.pass();
        let deadline = match wait {
            Wait::Until(deadline) => Some(deadline),
            _ => None,
        };
        let enough = wait == Wait::Poll || !self.completions.is_empty();
        let entered = if enough {
            Entered::Over(Ok(()))
        } else if self.is_interrupted() {
            Entered::Over(Err(libc::EINTR))
        } else {
            Entered::Waiting { deadline }
        };
        (consumed, entered)
    }

    /// EAGAIN and EBUSY come before anything is consumed.
    fn refuse_enter(&mut self) -> Option<Errno> {
        if let Some(errno) = self.script.take_enter(false) {
            return Some(errno);
        }
        if self.submissions.is_empty() {
            return None;
        }
        let (again, busy) = (self.config.faults.enter_again, self.config.faults.enter_busy);
        if self.random.chance(again) {
            return Some(libc::EAGAIN);
        }
        self.random.chance(busy).then_some(libc::EBUSY)
    }

    fn is_interrupted(&mut self) -> bool {
        let p = self.config.faults.interrupt;
        self.script.take_enter(true).is_some() || self.random.chance(p)
    }

    fn step(&mut self, deadline: Option<u64>) -> Step {
        if !self.completions.is_empty() {
            return Step::Ready;
        }
        if let Some(action) = self.take_action() {
            return Step::Act(action);
        }
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            return Step::Late;
        }
        if self.more_passes_help() {
            return Step::Again;
        }
        let in_time = |moment: &u64| deadline.is_none_or(|deadline| *moment <= deadline);
        if let Some(moment) = self.next_moment().filter(in_time) {
            self.now = self.now.max(moment);
            return self.take_action().map_or(Step::Again, Step::Act);
        }
        match deadline {
            Some(deadline) => {
                self.now = deadline;
                Step::Late
            }
            None => Step::Block,
        }
    }

    /// The test's next action, if its time has come.
    pub(super) fn take_action(&mut self) -> Option<Action> {
        let next = self.agenda.first_entry().filter(|next| next.key().0 <= self.now)?;
        Some(next.remove())
    }

    /// Nothing in the simulation can go on: only the real kernel can help.
    fn block(&mut self) {
        let helped = !self.real.is_idle() && self.real.block(HANG_GUARD);
        assert!(helped, "simulated ring: nothing can complete. In flight: {}", self.describe());
    }
}
