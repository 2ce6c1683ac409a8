//! The completion queue of a ring that has no kernel: bounded, with a backlog behind it.

use std::collections::VecDeque;

use super::Cqe;

/// The completion queue. While the backlog holds anything, new completions go there too, so that
/// order is kept (`io_cqe_cache_refill` in the kernel's `io_uring/io_uring.c`).
#[derive(Debug)]
pub(crate) struct Completions {
    queue: VecDeque<Cqe>,
    backlog: VecDeque<Cqe>,
    capacity: usize,
    /// Completions ever posted; what the count of a TIMEOUT looks at.
    posted: u64,
}

impl Completions {
    pub(crate) fn new(capacity: usize) -> Self {
        Completions { queue: VecDeque::new(), backlog: VecDeque::new(), capacity, posted: 0 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.backlog.is_empty() && self.queue.len() < self.capacity
    }

    /// Posts; `true` if it had to go to the backlog.
    pub(crate) fn post(&mut self, cqe: Cqe) -> bool {
        self.posted += 1;
        let overflow = !self.has_room();
        if overflow {
            self.backlog.push_back(cqe)
        } else {
            self.queue.push_back(cqe)
        }
        overflow
    }

    pub(crate) fn flush(&mut self) {
        while self.queue.len() < self.capacity {
            let Some(cqe) = self.backlog.pop_front() else { return };
            self.queue.push_back(cqe);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Cqe> {
        self.queue.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn overflowed(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub(crate) fn posted(&self) -> u64 {
        self.posted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cqe(user_data: u64) -> Cqe {
        Cqe { user_data, result: 0, flags: 0 }
    }

    #[test]
    fn what_does_not_fit_waits_in_the_backlog_and_keeps_its_place() {
        let mut completions = Completions::new(2);
        assert!(!completions.post(cqe(1)));
        assert!(!completions.post(cqe(2)));
        assert!(completions.post(cqe(3)));
        assert_eq!(completions.pop(), Some(cqe(1)));
        // There is room, but 3 is older than 4.
        assert!(completions.post(cqe(4)));
        assert_eq!(completions.pop(), Some(cqe(2)));
        assert_eq!(completions.pop(), None);
        completions.flush();
        assert!(!completions.overflowed());
        assert_eq!((completions.pop(), completions.pop()), (Some(cqe(3)), Some(cqe(4))));
    }
}
