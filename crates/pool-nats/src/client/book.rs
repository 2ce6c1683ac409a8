//! `Book`: all jobs of a client that have not ended, who has them, and what is to be done next.
//! Pure: no I/O, no clock of its own.
//!
//! The client owns its jobs; queue and agents only carry them. Everything that cannot be taken back
//! is decided here, in one place, under one lock:
//!
//! * **A job ends once.** What comes later for it is answered with "settled" and dropped, so it
//!   does not matter how often a job runs, or how often its result is sent.
//! * **A job that may run once is granted once.** Its agent has to ask. However often the queue
//!   hands it out, after a crash of the server or to an agent that was away, the others are told
//!   that somebody else has it. So an agent that was stopped and goes on later (a zombie) runs
//!   nothing that was granted to another, and what it says of earlier turns moves nothing.
//! * **Nothing is lost in silence.** An agent repeats its report until it is answered, a client
//!   puts a job into the queue until that is confirmed, and looks from time to time whether the job
//!   is still there. What was granted to an agent that fell silent ends as lost.
//!
//! What is to be done outside (end jobs, publish, send) comes back as [`Deed`]s, to be done when
//! the lock is released.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pool::foreign::{self, ForeignJob};
use pool::{JobError, JobState, Limit};

use super::entry::{Entry, Holder};
use crate::wire::{News, Presence, Report, Word};

/// What is to be done outside.
#[derive(Debug)]
pub(crate) enum Deed {
    /// End the job.
    End(Arc<ForeignJob>, Result<Vec<u8>, JobError>),
    /// Put it into the queue.
    Publish(u64, u32),
    /// Take this message off the queue.
    Delete(u64),
    /// Tell the agents that it is wanted no more.
    Drop(u64),
}

/// An agent that gives signs of life.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) workers: u32,
    pub(crate) heard: Instant,
    /// Jobs it may have.
    has: HashSet<u64>,
}

/// What the client has decided to bear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For how long an agent may be silent.
    pub(crate) silence: Duration,
    /// How many agents may be lost under one job.
    pub(crate) losses: u64,
}

#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) jobs: HashMap<u64, Entry>,
    pub(crate) agents: HashMap<String, Seen>,
    deadlines: BTreeSet<(Instant, u64)>,
    limits: Limits,
    next: u64,
    /// Results that came for jobs that had ended.
    pub(crate) late: u64,
    pub(crate) republished: u64,
}

impl Book {
    pub(crate) fn new(limits: Limits) -> Book {
        Book {
            jobs: HashMap::new(),
            agents: HashMap::new(),
            deadlines: BTreeSet::new(),
            limits,
            next: 0,
            late: 0,
            republished: 0,
        }
    }

    /// The number of the next job.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn add(&mut self, entry: Entry) -> Deed {
        let id = entry.job.id();
        if let Some((at, _)) = entry.deadline {
            self.deadlines.insert((at, id));
        }
        let deed = Deed::Publish(id, 0);
        self.jobs.insert(id, entry);
        deed
    }

    /// The server has confirmed that the job is in the queue. `false`: nobody wants it any more.
    pub(crate) fn published(&mut self, id: u64, attempt: u32, sequence: u64, now: Instant) -> bool {
        match self.jobs.get_mut(&id).filter(|entry| entry.order.attempt == attempt) {
            Some(entry) => {
                (entry.sequence, entry.heard) = (Some(sequence), now);
                true
            }
            None => false,
        }
    }

    /// Takes a job out, to be ended.
    pub(crate) fn end(
        &mut self,
        id: u64,
        outcome: Result<Vec<u8>, JobError>,
        deeds: &mut Vec<Deed>,
    ) {
        let Some(entry) = self.jobs.remove(&id) else { return };
        if let Some((at, _)) = entry.deadline {
            self.deadlines.remove(&(at, id));
        }
        deeds.push(Deed::End(entry.job, outcome));
    }

    /// Ends a job that is not to be run any more: no trace of it is to stay.
    fn withdraw(&mut self, id: u64, error: JobError, deeds: &mut Vec<Deed>) {
        let Some(entry) = self.jobs.get(&id) else { return };
        if let Some(sequence) = entry.sequence.filter(|_| !mutant!("cancelled-and-still-queued")) {
            deeds.push(Deed::Delete(sequence));
        }
        deeds.push(Deed::Drop(id));
        self.end(id, Err(error), deeds);
    }

    /// What an agent reports of a job; what to answer, if this is the end of the report.
    pub(crate) fn report(
        &mut self,
        report: &Report,
        tail: Bytes,
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) -> Option<Word> {
        if let Some(seen) = self.agents.get_mut(&report.agent) {
            seen.heard = now;
        }
        let Some(entry) = self.jobs.get_mut(&report.id) else {
            self.late += u64::from(report.news != News::Asking);
            return Some(Word::Settled).filter(|_| !mutant!("answered-only-once"));
        };
        entry.heard = now;
        if let Some((turn, word)) = entry.said
            && turn == report.turn
        {
            return Some(word);
        }
        if report.news == News::Asking {
            return Some(self.asked(report, now, deeds));
        }
        let stale = report.turn < entry.turn;
        entry.turn = entry.turn.max(report.turn);
        if entry.order.once && !entry.is_granted(report) {
            // Nothing that was not granted is run, so this is of a grant that was given up.
            return Some(Word::Forget);
        }
        match report.news {
            News::Done { part, parts } => {
                let whole = entry.parts.add(report, part, parts, tail)?;
                self.end(report.id, Ok(whole), deeds);
                Some(Word::Settled)
            }
            // Somebody else has it by now, and may do better.
            News::Failed | News::Unstarted if stale => Some(Word::Forget),
            News::Failed => Some(self.failed(report, &tail, now, deeds)),
            _ => Some(self.try_again(report, now, deeds)),
        }
    }

    /// An agent asks whether it may run a job.
    fn asked(&mut self, report: &Report, now: Instant, deeds: &mut Vec<Deed>) -> Word {
        let limit = self.limits.losses;
        let Some(entry) = self.jobs.get_mut(&report.id) else { return Word::Settled };
        if report.turn < entry.turn {
            return Word::Forget;
        }
        entry.turn = report.turn;
        if entry.order.once && !mutant!("granted-to-whoever-asks") {
            match &entry.holder {
                Some(_) if entry.is_granted(report) => return Word::Run,
                // It is not the queue's any more.
                Some(_) => return Word::Settled,
                None => {}
            }
        }
        let losses = report.times.saturating_sub(1 + entry.put_back);
        if losses > limit {
            let reason = format!(
                "{losses} agents had it, one after the other, and were lost: it may be what takes \
                 them down"
            );
            let error = foreign::lost(entry.job.task(), reason);
            self.end(report.id, Err(error), deeds);
            return Word::Settled;
        }
        let (agent, turn, since) = (report.agent.clone(), report.turn, report.sent);
        entry.set_holder(Some(Holder { agent: agent.clone(), turn, running: false, since }));
        // Perhaps it asks before its first sign of life: from now on that is missed.
        let seen = self.agents.entry(agent).or_insert_with_key(|agent| Seen {
            host: agent.clone(),
            pid: 0,
            workers: 0,
            heard: now,
            has: HashSet::new(),
        });
        seen.has.insert(report.id);
        Word::Run
    }

    fn failed(
        &mut self,
        report: &Report,
        tail: &[u8],
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) -> Word {
        let Some(entry) = self.jobs.get_mut(&report.id) else { return Word::Settled };
        let task = entry.job.task().to_owned();
        let error = match postcard::from_bytes::<JobError>(tail) {
            Ok(JobError::WorkerDied(death)) if !entry.order.items => {
                entry.deaths.push(*death);
                if entry.deaths.len() <= entry.retries as usize && !entry.killed {
                    return self.try_again(report, now, deeds);
                }
                foreign::died(&task, std::mem::take(&mut entry.deaths))
            }
            // It says so of the agent's pool, not of this one.
            Ok(error @ (JobError::Broken(_) | JobError::PoolShutdown)) => {
                foreign::refused(&task, format!("by the agent's own pool: {error}"))
            }
            Ok(error) => error,
            Err(error) => foreign::refused(&task, format!("what became of it is garbled: {error}")),
        };
        self.end(report.id, Err(error), deeds);
        Word::Settled
    }

    /// It has not been run, or not to its end, and is to be.
    fn try_again(&mut self, report: &Report, now: Instant, deeds: &mut Vec<Deed>) -> Word {
        let Some(entry) = self.jobs.get_mut(&report.id) else { return Word::Settled };
        if entry.killed {
            self.end(report.id, Err(JobError::Cancelled), deeds);
            return Word::Settled;
        }
        if entry.order.once {
            // It was taken off the queue before it was run.
            deeds.push(entry.next_attempt(now));
            return Word::Settled;
        }
        entry.put_back += 1;
        entry.set_holder(None);
        entry.said = Some((report.turn, Word::Again));
        Word::Again
    }

    /// An agent is there, and has these of our jobs. Those that we do not want are dropped.
    pub(crate) fn present(
        &mut self,
        presence: &Presence,
        own: &str,
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) {
        let Presence { agent, sent, host, pid, workers, gone, held } = presence;
        let held = held.iter().find(|(client, _)| client == own).map_or(&[][..], |(_, held)| held);
        for (id, running) in held {
            match self.jobs.get_mut(id) {
                // Else it is about to hear that.
                None if *running => deeds.push(Deed::Drop(*id)),
                None => {}
                Some(entry) => entry.seen_at(agent, *sent, *running, now, deeds),
            }
        }
        let had = self.agents.remove(agent).map(|seen| seen.has).unwrap_or_default();
        let mut has: HashSet<u64> = held.iter().map(|(id, _)| *id).collect();
        let mut ids = Vec::new();
        for id in had {
            let Some(entry) = self.jobs.get(&id).filter(|_| !has.contains(&id)) else { continue };
            if entry.is_held_by(agent, *sent) {
                // It had it and has it no more, without a word.
                ids.push(id);
            } else if entry.is_held_by(agent, u64::MAX) {
                has.insert(id);
            }
        }
        if !gone {
            let (host, pid, workers) = (host.clone(), *pid, *workers);
            self.agents.insert(agent.clone(), Seen { host, pid, workers, heard: now, has });
        }
        self.gone_with(&ids, &format!("agent {host}:{pid} has it no more"), now, deeds);
    }

    /// Those who had these jobs are not to be expected to answer any more.
    fn gone_with(&mut self, ids: &[u64], reason: &str, now: Instant, deeds: &mut Vec<Deed>) {
        for id in ids {
            let Some(entry) = self.jobs.get_mut(id) else { continue };
            entry.heard = now;
            if entry.order.once {
                let reason = format!("{reason}; it may have run, and is not run again");
                let error = foreign::lost(entry.job.task(), reason);
                self.withdraw(*id, error, deeds);
            } else {
                entry.set_holder(None);
            }
        }
    }

    /// Looks for agents that have been silent for too long.
    pub(crate) fn look_for_silent(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        let limit = self.limits.silence;
        if mutant!("the-silent-are-alive") {
            return;
        }
        let silent = |seen: &Seen| now.saturating_duration_since(seen.heard) > limit;
        let silent: Vec<(String, Seen)> = self.agents.extract_if(|_, seen| silent(seen)).collect();
        for (agent, seen) in silent {
            let Seen { host, pid, mut has, .. } = seen;
            let its = |entry: &Entry| entry.is_held_by(&agent, u64::MAX);
            has.retain(|id| self.jobs.get(id).is_some_and(its));
            let ids: Vec<u64> = has.into_iter().collect();
            let reason = format!("agent {host}:{pid} has not been heard of for {limit:?}");
            self.gone_with(&ids, &reason, now, deeds);
        }
    }

    /// We were away ourselves: nobody's silence counts.
    pub(crate) fn forgive_silence(&mut self, now: Instant) {
        self.agents.values_mut().for_each(|seen| seen.heard = now);
    }

    /// When the next deadline is.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Ends jobs whose deadline is over. `note` says what may be the reason.
    pub(crate) fn end_late(&mut self, now: Instant, note: Option<&str>, deeds: &mut Vec<Deed>) {
        while let Some((at, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            let Some(entry) = self.jobs.get(&id) else { continue };
            let limit = entry.deadline.map(|(_, limit)| limit).unwrap_or_default();
            let started = entry.job.state() == JobState::Running;
            let queued = entry.sequence.is_some() || started;
            let unconfirmed = (!queued).then_some("the server has not confirmed that it has it");
            let note = note.filter(|_| !started).or(unconfirmed).map(str::to_owned);
            let limit = Limit::Deadline(limit);
            let error = foreign::late(entry.job.task(), limit, started, note);
            self.withdraw(id, error, deeds);
        }
    }

    /// Cancels a job that does not run, as far as is known here.
    pub(crate) fn cancel(&mut self, id: u64, deeds: &mut Vec<Deed>) -> bool {
        let waiting = self.jobs.get(&id).is_some_and(|entry| !entry.is_running());
        if waiting {
            self.withdraw(id, JobError::Cancelled, deeds);
        }
        waiting
    }

    /// Cancels a job, or has it killed.
    pub(crate) fn kill(&mut self, id: u64, deeds: &mut Vec<Deed>) -> bool {
        if self.cancel(id, deeds) {
            return true;
        }
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        entry.killed = true;
        deeds.push(Deed::Drop(id));
        true
    }

    /// Ends all jobs: those that do not run as cancelled, the others as lost.
    pub(crate) fn abandon(&mut self, deeds: &mut Vec<Deed>) {
        let mut ids: Vec<u64> = self.jobs.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if self.cancel(id, deeds) {
                continue;
            }
            let Some(entry) = self.jobs.get(&id) else { continue };
            let reason = "its pool was shut down before it ended; its worker is killed";
            let error = foreign::lost(entry.job.task(), reason);
            self.withdraw(id, error, deeds);
        }
    }

    /// Jobs that are in the queue, as far as is known, but that nobody has spoken of for `limit`:
    /// the oldest few, with their places in the queue.
    pub(crate) fn unheard(&self, limit: Duration, most: usize, now: Instant) -> Vec<(u64, u64)> {
        let quiet = |entry: &Entry| {
            entry.holder.is_none() && now.saturating_duration_since(entry.heard) > limit
        };
        let quiet = self.jobs.iter().filter(|(_, entry)| quiet(entry));
        let mut found: Vec<(u64, u64)> =
            quiet.filter_map(|(id, entry)| Some((entry.sequence?, *id))).collect();
        found.sort_unstable();
        found.truncate(most);
        found
    }

    /// The server still has the message.
    pub(crate) fn still_queued(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.heard = now;
        }
    }

    /// The server does not have the message any more.
    pub(crate) fn vanished(&mut self, id: u64, sequence: u64, now: Instant) -> Option<Deed> {
        let entry = self.jobs.get_mut(&id)?;
        if entry.sequence != Some(sequence) || entry.holder.is_some() {
            return None;
        }
        self.republished += 1;
        Some(entry.next_attempt(now))
    }

    /// How many workers there are, as far as is known.
    pub(crate) fn workers(&self) -> usize {
        self.agents.values().map(|seen| seen.workers as usize).sum()
    }
}

#[cfg(test)]
mod tests;
