//! The end of a run: all tasks are asked to end, and waited for, with callbacks and helper threads.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::EventLoop;
use crate::blocking;
#[cfg(doc)]
use crate::builder::Builder;
use crate::context;
use crate::report::{Report, ReportKind};
#[cfg(doc)]
use crate::task::Task;
use crate::task::raw::Header;
use crate::task::yield_now;
use crate::time::timeout;
use crate::turn::Core;

impl EventLoop {
    /// Brings all tasks to an end: cancels each ([`Task::cancel`]) and runs until they have ended,
    /// at most as long as [`shutdown_patience`](Builder::shutdown_patience) says. Tells how many
    /// have not; each of those is reported to the exception handler.
    ///
    /// Callbacks go on meanwhile, for those who clean up may need them, and those of tasks that end
    /// here are called. What is due when the last task has ended still runs, and what that
    /// schedules, for a few rounds; then the callbacks that are left are withdrawn. What still runs
    /// on helper threads ([`unblock`](crate::unblock)) is waited for as well.
    ///
    /// [`run`](crate::run) and [`Runner`](crate::Runner) do this at their end; dropping the loop
    /// does not.
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread.
    pub fn finish(&mut self) -> usize {
        let idle = self.core.tasks.alive() == 0 && blocking::under_way(self.core.id) == 0;
        if self.closed || self.forced.get() || idle {
            return 0;
        }
        let (core, patience) = (self.core.clone(), self.patience);
        // Stopped, or interrupted: what is left is dropped with the loop.
        let ctrl_c = self.ctrl_c();
        core.set_ending(true);
        let _ended = self.run_main(async { timeout(patience, end_all(&core)).await }, ctrl_c);
        core.set_ending(false);
        {
            let _entered = context::enter(&core);
            core.tasks.withdraw_callbacks();
        }
        let left = self.core.tasks.all();
        for task in &left {
            report_left(task.header(), patience);
        }
        match blocking::under_way(self.core.id) {
            0 => {}
            calls => report_calls(self.core.id, calls, patience),
        }
        left.len()
    }
}

/// How many rounds callbacks still have when the last task has ended: as many as in asyncio, where
/// `run` runs the loop twice more, two rounds each time, to shut down what may be there
/// (`Runner.close` in Lib/asyncio/runners.py), and then throws away what is due.
const LAST_ROUNDS: usize = 4;

/// Asks all other tasks to end, and waits until they have, until helper threads have done what they
/// were given, and until callbacks had their rounds.
async fn end_all(core: &Core) {
    loop {
        poll_fn(|cx| {
            core.tasks.watch(cx.waker());
            if mutant!("the-end-withdraws-callbacks") {
                core.tasks.withdraw_callbacks();
            }
            if core.tasks.cancel_all() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        blocking::all_ended(core.id).await;
        for _ in 0..LAST_ROUNDS {
            yield_now().await;
        }
        // A callback may have started a task.
        if core.tasks.cancel_all() == 0 {
            return;
        }
    }
}

fn report_left(header: &Header, patience: Duration) {
    let message =
        format!("a task has not ended {patience:?} after it was asked to, and is dropped");
    Report::new(ReportKind::Shutdown, message)
        .named(header.name())
        .at(header.location)
        .send_to(header.node.loop_id);
}

fn report_calls(loop_id: u32, calls: usize, patience: Duration) {
    let message = format!(
        "{calls} of the calls on helper threads (`unblock`) have not ended {patience:?} after the \
         run, and go on by themselves"
    );
    Report::new(ReportKind::Shutdown, message).send_to(loop_id);
}
