//! Who of many branches was woken.
//!
//! A wake may come from any thread, hence the lock: it is held for a push, and nobody else wants
//! it but the combinator that takes what was pushed.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Wakers for the branches of one combinator, and which of them were woken.
pub(super) struct WakeSet {
    woken: Arc<Mutex<Woken>>,
    wakers: Box<[Waker]>,
}

struct Woken {
    order: Vec<usize>,
    is_in: Box<[bool]>,
    /// Of the task that polls the combinator.
    parent: Option<Waker>,
}

struct BranchWaker {
    index: usize,
    woken: Arc<Mutex<Woken>>,
}

impl WakeSet {
    /// All branches count as woken: none was polled yet.
    pub(super) fn new(count: usize) -> Self {
        let woken = Arc::new(Mutex::new(Woken {
            order: (0..count).collect(),
            is_in: vec![true; count].into(),
            parent: None,
        }));
        let waker = |index| Waker::from(Arc::new(BranchWaker { index, woken: woken.clone() }));
        let wakers = (0..count).map(waker).collect();
        WakeSet { woken, wakers }
    }

    pub(super) fn waker(&self, index: usize) -> &Waker {
        &self.wakers[index]
    }

    /// Takes those that were woken, in that order, or `all`; `parent` hears of the next.
    pub(super) fn take(&self, parent: &Waker, all: bool) -> Vec<usize> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if !woken.parent.as_ref().is_some_and(|old| old.will_wake(parent)) {
            woken.parent = Some(parent.clone());
        }
        woken.is_in.fill(false);
        let order = std::mem::take(&mut woken.order);
        if all { (0..self.wakers.len()).collect() } else { order }
    }
}

impl Wake for BranchWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let parent = {
            let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut woken.is_in[self.index], true) {
                return;
            }
            woken.order.push(self.index);
            woken.parent.clone()
        };
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}
