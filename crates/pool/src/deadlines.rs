//! `Deadlines`: who is to be looked at when. Pure.
//!
//! Entries hold their job weakly, and are never taken out when a job ends in time: that would need
//! a search. Instead those whose job is gone are thrown out all at once whenever the heap has
//! doubled, so it stays within twice what is alive, at a constant cost per entry.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) struct Deadlines<T: ?Sized> {
    heap: BinaryHeap<Entry<T>>,
    prune_at: usize,
}

struct Entry<T: ?Sized> {
    when: Instant,
    what: Weak<T>,
}

impl<T: ?Sized> Deadlines<T> {
    const FEW: usize = 64;

    pub(crate) fn new() -> Deadlines<T> {
        Deadlines { heap: BinaryHeap::new(), prune_at: Self::FEW }
    }

    /// Adds an entry. Returns whether it is now the next one.
    pub(crate) fn add(&mut self, when: Instant, what: Weak<T>) -> bool {
        if self.heap.len() >= self.prune_at {
            self.heap.retain(|entry| entry.what.strong_count() > 0);
            self.prune_at = (2 * self.heap.len()).max(Self::FEW);
        }
        let first = self.next().is_none_or(|next| when < next);
        self.heap.push(Entry { when, what });
        first
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.when)
    }

    /// Takes one whose time has come, if its job is still there.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Arc<T>> {
        while self.next().is_some_and(|when| when <= now) {
            let what = self.heap.pop().and_then(|entry| entry.what.upgrade());
            if what.is_some() {
                return what;
            }
        }
        None
    }
}

impl<T: ?Sized> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.when == other.when
    }
}

impl<T: ?Sized> Eq for Entry<T> {}

impl<T: ?Sized> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: ?Sized> Ord for Entry<T> {
    /// The earliest is the greatest: it is to be on top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.when.cmp(&self.when)
    }
}

impl<T: ?Sized> fmt::Debug for Deadlines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines").field("entries", &self.heap.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_the_gone_are_passed_over() {
        let now = Instant::now();
        let jobs: Vec<Arc<u64>> = (0..4).map(Arc::new).collect();
        let mut deadlines = Deadlines::new();
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(deadlines.add(at(3), Arc::downgrade(&jobs[3])));
        assert!(deadlines.add(at(1), Arc::downgrade(&jobs[1])));
        assert!(!deadlines.add(at(2), Arc::downgrade(&Arc::new(9))));
        assert_eq!(deadlines.due(now), None);
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.due(at(3)).as_deref(), Some(&1));
        assert_eq!(deadlines.due(at(3)).as_deref(), Some(&3));
        assert_eq!(deadlines.due(at(3)), None);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn what_ended_in_time_does_not_pile_up() {
        let far = Instant::now() + Duration::from_secs(3600);
        let mut deadlines = Deadlines::new();
        let kept = Arc::new(0);
        deadlines.add(far, Arc::downgrade(&kept));
        for n in 0..100_000 {
            deadlines.add(far, Arc::downgrade(&Arc::new(n)));
            assert!(deadlines.heap.len() <= Deadlines::<i32>::FEW + 1);
        }
        assert!(deadlines.heap.iter().any(|entry| entry.what.strong_count() > 0));
    }
}
