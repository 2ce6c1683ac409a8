//! `RemoteStatistics`: what a client knows of its jobs, and of the agents.

use std::time::{Duration, Instant};

use super::hub::State;

/// What a remote pool is doing, as its client knows it; made by
/// [`RemotePool::statistics`](crate::RemotePool::statistics).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteStatistics {
    /// The agents that give signs of life, by host and process id.
    pub agents: Vec<AgentStatistics>,
    /// Jobs, and chunks of maps, that have not ended.
    pub jobs: usize,
    /// How many of them the server has confirmed to have.
    pub queued: usize,
    /// Answers that came for jobs that had ended: of those that ran more than once, were cancelled
    /// or too late, and answers that were sent again.
    pub late: u64,
    /// Jobs that were put into the queue again, for the server had lost them.
    pub republished: u64,
    /// Whether the server can be reached.
    pub connected: bool,
}

/// An agent, as a client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentStatistics {
    /// The name of its host.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// How many workers it has when all are needed.
    pub workers: usize,
    /// For how long nothing has been heard of it.
    pub silent: Duration,
}

impl State {
    pub(super) fn statistics(&self) -> RemoteStatistics {
        let now = Instant::now();
        let agents = self.book.agents.values().map(|seen| AgentStatistics {
            host: seen.host.clone(),
            pid: seen.pid,
            workers: seen.workers as usize,
            silent: now.saturating_duration_since(seen.heard),
        });
        let mut agents: Vec<_> = agents.collect();
        agents.sort_by(|a, b| (&a.host, a.pid).cmp(&(&b.host, b.pid)));
        RemoteStatistics {
            agents,
            jobs: self.book.jobs.len(),
            queued: self.book.jobs.values().filter(|entry| entry.sequence.is_some()).count(),
            late: self.book.late,
            republished: self.book.republished,
            connected: self.up,
        }
    }
}
