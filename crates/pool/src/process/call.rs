//! What a worker is told to do, what it answers, and what is left of a call whose worker is gone.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::codec;
use super::shared::Memory;
use crate::error::{JobError, Limit, WorkerDeath};
use crate::job::Outcome;

/// What a worker is told to do.
#[derive(Debug)]
pub(crate) struct Call {
    /// The entry's offset in the program.
    pub(crate) entry: u64,
    pub(crate) arguments: Vec<u8>,
    /// Shared buffers the arguments refer to.
    pub(crate) memory: Vec<Arc<Memory>>,
    /// The arguments are records of a chunk's items.
    pub(crate) chunk: bool,
    /// The worker is to note when each item starts.
    pub(crate) timed: bool,
    /// Of a chunk that lost workers: records of the results of those items that are not among the
    /// arguments any more.
    pub(crate) before: Answer,
}

/// What a worker answers: a result, or records of results.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// Shared buffers it refers to.
    pub(crate) fds: Vec<OwnedFd>,
}

impl Answer {
    /// Results of a chunk, put together from several runs; `last` is the answer of the last.
    pub(crate) fn joined(mut before: Answer, last: Answer) -> Answer {
        before.fds.extend(last.fds);
        Answer { bytes: codec::joined(&before.bytes, &last.bytes), fds: before.fds }
    }
}

/// What a dead worker left of the chunk it ran.
#[derive(Debug)]
pub(super) struct Left {
    /// How many items it had begun.
    pub(super) begun: u64,
    /// Records of the results it had.
    pub(super) results: Answer,
}

/// Why a running job lost its worker.
#[derive(Debug)]
pub(super) enum Cause {
    Died(WorkerDeath),
    Killed(WorkerDeath),
    TimedOut(Limit),
}

impl Call {
    /// What the job ends with, the earlier results of a chunk included.
    pub(super) fn outcome(&mut self, last: Outcome<Answer>) -> Outcome<Answer> {
        if self.before.bytes.is_empty() {
            return last;
        }
        let before = std::mem::take(&mut self.before);
        Ok(match last {
            Ok(answer) => Answer::joined(before, answer),
            Err(error) => {
                let mut results = Answer::joined(before, Answer::default());
                codec::records(&self.arguments)
                    .for_each(|_| codec::append_lost(&mut results.bytes, &error));
                results
            }
        })
    }

    /// A chunk's worker is gone. Takes in what it left: results of its first items, and whether the
    /// next one was begun; that one ends with `blame`, or with `None` is tried again.
    pub(super) fn salvage(&mut self, left: Left, blame: impl FnOnce() -> Option<JobError>) {
        let mut done = codec::records(&left.results.bytes).count();
        self.before.bytes.extend_from_slice(&left.results.bytes);
        self.before.fds.extend(left.results.fds);
        if left.begun > done as u64
            && let Some(error) = blame()
        {
            codec::append_lost(&mut self.before.bytes, &error);
            done += usize::from(!mutant!("lost-item-tried-for-ever"));
        }
        self.arguments = codec::behind(&self.arguments, done).to_vec();
    }
}
