//! A reload: each slot gets a worker of the program that is there now, one slot after another.

use super::{State, Supervisor};

impl Supervisor {
    pub(super) fn begin_reload(&mut self) {
        if self.stopping {
            return;
        }
        if !self.reload.is_empty() {
            self.reload_again = true;
            return;
        }
        self.notify.reloading();
        self.reload = (0..self.slots.len()).collect();
        self.go_on_reloading();
    }

    /// Starts the successor of the next slot; one after another, so that all serve meanwhile.
    pub(super) fn go_on_reloading(&mut self) {
        while let Some(slot) = self.reload.front().copied() {
            let mut workers = self.workers.values();
            let there = workers.any(|worker| worker.slot == slot && worker.state != State::Ending);
            // One that is dead, or has ended by itself, gets the new program anyway or none.
            if there {
                return self.start(slot, true);
            }
            self.reload.pop_front();
        }
        self.finish_reload();
    }

    pub(super) fn finish_reload(&mut self) {
        self.notify.ready(&format!("{} processes", self.slots.len()));
        if std::mem::take(&mut self.reload_again) {
            self.begin_reload();
        }
    }
}
