//! Whom an agent has heard of. Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// How many jobs that were dropped before they came are remembered.
const DROPPED: usize = 4096;

/// What is known of the clients.
#[derive(Debug, Default)]
pub(super) struct Clients {
    heard: HashMap<String, Instant>,
    gone: HashSet<String>,
    dropped: HashSet<(String, u64)>,
    /// The same, the oldest first.
    order: VecDeque<(String, u64)>,
}

impl Clients {
    /// It gave a sign of life.
    pub(super) fn hear(&mut self, client: &str, now: Instant) {
        self.gone.remove(client);
        match self.heard.get_mut(client) {
            Some(heard) => *heard = now,
            None => drop(self.heard.insert(client.to_owned(), now)),
        }
    }

    /// There is a job of it. `false`: it has gone, and nobody waits for the job.
    pub(super) fn meet(&mut self, client: &str, now: Instant) -> bool {
        if self.gone.contains(client) {
            return false;
        }
        self.heard.entry(client.to_owned()).or_insert(now);
        true
    }

    /// It wants none of its jobs any more.
    pub(super) fn leave(&mut self, client: &str) {
        self.heard.remove(client);
        self.gone.insert(client.to_owned());
    }

    pub(super) fn is_gone(&self, client: &str) -> bool {
        self.gone.contains(client)
    }

    /// Those that have been silent for too long are gone; returns them.
    pub(super) fn look_for_silent(&mut self, limit: Duration, now: Instant) -> Vec<String> {
        let silent = |heard: &Instant| now.saturating_duration_since(*heard) > limit;
        let found: Vec<String> =
            self.heard.extract_if(|_, heard| silent(heard)).map(|(client, _)| client).collect();
        self.gone.extend(found.iter().cloned());
        found
    }

    /// We were away ourselves: nobody's silence counts.
    pub(super) fn forgive_silence(&mut self, now: Instant) {
        self.heard.values_mut().for_each(|heard| *heard = now);
        self.gone.clear();
    }

    /// It wants this job no more, which may still be on its way.
    pub(super) fn drop_job(&mut self, client: &str, id: u64) {
        let key = (client.to_owned(), id);
        if self.dropped.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > DROPPED
            && let Some(oldest) = self.order.pop_front()
        {
            self.dropped.remove(&oldest);
        }
    }

    pub(super) fn is_dropped(&self, key: &(String, u64)) -> bool {
        self.dropped.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_from_the_first_job_and_forgiven_after_a_cut() {
        let (start, limit) = (Instant::now(), Duration::from_secs(60));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clients = Clients::default();
        assert!(clients.meet("a", at(0)) && clients.meet("b", at(0)));
        clients.hear("b", at(50));
        assert_eq!(clients.look_for_silent(limit, at(61)), ["a"]);
        assert!(!clients.meet("a", at(62)) && clients.is_gone("a"));
        clients.hear("a", at(63));
        assert!(clients.meet("a", at(64)));
        clients.forgive_silence(at(120));
        assert!(clients.look_for_silent(limit, at(179)).is_empty());
        clients.leave("a");
        assert!(clients.is_gone("a"));
    }

    #[test]
    fn the_oldest_of_many_dropped_jobs_are_forgotten() {
        let mut clients = Clients::default();
        for id in 0..=DROPPED as u64 {
            clients.drop_job("a", id);
            clients.drop_job("a", id);
        }
        assert!(!clients.is_dropped(&("a".to_owned(), 0)));
        assert!(clients.is_dropped(&("a".to_owned(), 1)));
        assert_eq!(clients.order.len(), clients.dropped.len());
    }
}
