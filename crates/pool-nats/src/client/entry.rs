//! `Entry`: one job of the book, and who has it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pool::WorkerDeath;
use pool::foreign::ForeignJob;

use super::book::Deed;
use crate::wire::{Order, Report, Turn, Word};

/// A job that has not ended.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) job: Arc<ForeignJob>,
    pub(crate) order: Order,
    pub(crate) arguments: Bytes,
    pub(crate) retries: u32,
    pub(crate) deadline: Option<(Instant, Duration)>,
    /// Its message in the queue, once that is confirmed.
    pub(crate) sequence: Option<u64>,
    /// The latest turn heard of.
    pub(super) turn: Turn,
    pub(super) holder: Option<Holder>,
    /// The answer that is to be repeated if its report is.
    pub(super) said: Option<(Turn, Word)>,
    /// How often it was put back on our word, of this attempt.
    pub(super) put_back: u64,
    pub(super) deaths: Vec<WorkerDeath>,
    pub(super) killed: bool,
    pub(super) parts: Parts,
    /// When something was heard of it last.
    pub(super) heard: Instant,
}

/// The agent that has a job.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) agent: String,
    pub(super) turn: Turn,
    pub(super) running: bool,
    /// What it sent before this says nothing of the job.
    pub(super) since: u64,
}

/// Parts of a result.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) turn: Option<Turn>,
    agent: String,
    have: BTreeMap<u32, Bytes>,
}

impl Entry {
    pub(crate) fn new(
        job: Arc<ForeignJob>,
        order: Order,
        arguments: Vec<u8>,
        retries: u32,
        deadline: Option<Duration>,
        now: Instant,
    ) -> Entry {
        Entry {
            job,
            order,
            arguments: arguments.into(),
            retries,
            deadline: deadline.and_then(|limit| Some((now.checked_add(limit)?, limit))),
            sequence: None,
            turn: Turn { attempt: 0, delivery: 0 },
            holder: None,
            said: None,
            put_back: 0,
            deaths: Vec::new(),
            killed: false,
            parts: Parts::default(),
            heard: now,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.running || self.order.once)
    }

    pub(super) fn set_holder(&mut self, holder: Option<Holder>) {
        self.job.set_running(holder.as_ref().is_some_and(|holder| holder.running));
        self.holder = holder;
    }

    /// Whether the agent has it, as what it sent as its message number `sent` should say.
    pub(super) fn is_held_by(&self, agent: &str, sent: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.agent == agent && holder.since < sent)
    }

    /// It goes into the queue anew; what is heard of the last time does not count any more.
    pub(super) fn next_attempt(&mut self, now: Instant) -> Deed {
        self.order.attempt += 1;
        self.turn = Turn { attempt: self.order.attempt, delivery: 0 };
        (self.sequence, self.put_back, self.heard) = (None, 0, now);
        self.set_holder(None);
        Deed::Publish(self.job.id(), self.order.attempt)
    }

    pub(super) fn is_granted(&self, report: &Report) -> bool {
        let granted = |holder: &Holder| holder.agent == report.agent && holder.turn == report.turn;
        self.holder.as_ref().is_some_and(granted) || mutant!("granted-to-whoever-asks")
    }

    /// An agent says that it has the job.
    pub(super) fn seen_at(
        &mut self,
        agent: &str,
        sent: u64,
        running: bool,
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) {
        self.heard = now;
        if self.killed && running {
            deeds.push(Deed::Drop(self.job.id()));
        }
        match &mut self.holder {
            Some(holder) if holder.agent == agent => {
                holder.running = running;
                self.job.set_running(running);
            }
            // One of those that need not ask.
            None if !self.order.once => {
                let (agent, turn) = (agent.to_owned(), self.turn);
                self.set_holder(Some(Holder { agent, turn, running, since: sent }));
            }
            _ => {}
        }
    }
}

impl Parts {
    /// Takes in one; gives the whole when it is complete.
    pub(super) fn add(
        &mut self,
        report: &Report,
        part: u32,
        parts: u32,
        bytes: Bytes,
    ) -> Option<Vec<u8>> {
        if parts <= 1 {
            return Some(bytes.into());
        }
        if self.turn != Some(report.turn) || self.agent != report.agent {
            *self =
                Parts { turn: Some(report.turn), agent: report.agent.clone(), ..Parts::default() };
        }
        self.have.insert(part, bytes);
        let complete = self.have.len() == parts as usize;
        complete.then(|| std::mem::take(&mut self.have).into_values().collect::<Vec<_>>().concat())
    }
}
