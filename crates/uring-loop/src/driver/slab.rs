//! The arena of op slots: fixed addresses, generations, a count of what is in flight.
//!
//! # Life story of a slot
//!
//! | state | op and its buffers | who points to it |
//! |---|---|---|
//! | *free* | none | the free list |
//! | *in flight* | in the slot, at an address that does not change | the kernel (by address and by user data), the future (by [`Key`]) |
//! | *orphan* | as in flight: the kernel may still write | the kernel only; the future is gone, a cancel is queued |
//! | *done* | in the slot, the kernel has let go of it | the future, which takes the op out |
//!
//! A slot leaves *in flight* and *orphan* only with the **terminal completion**: the one without
//! `F_MORE`. A zero-copy send completes with `F_MORE` first; its terminal completion is the
//! notification. An orphan's op is completed as any other and what comes out is dropped: that
//! closes an accepted descriptor and gives a lent buffer back.
//!
//! The generation goes up each time a slot is freed. It is part of the user data, so neither a
//! late cancel nor a stale key can hit the slot's next tenant.

mod key;
mod slot;

use std::cell::UnsafeCell;
use std::mem;

use crate::wake::LocalWaker;
use key::{GENERATION_BITS, NONE};
pub(crate) use key::{Key, Kind};
use slot::Slot;
pub(crate) use slot::State;
#[cfg(any(test, feature = "testing"))]
use slot::poison;
pub(super) use slot::{Head, Payload, Stages, Vtable};

const PAGE: usize = 64;

/// The slots of one loop.
pub(crate) struct Arena {
    pages: Vec<Box<[Slot; PAGE]>>,
    free: u32,
    /// Slots in flight and orphans. They are on no list, which would make each start and end of
    /// an op write to its neighbours; who wants to see them walks through all.
    active: u32,
    orphans: u32,
    holding_clock: u32,
}

impl Arena {
    pub(super) fn new() -> Self {
        Arena { pages: Vec::new(), free: NONE, active: 0, orphans: 0, holding_clock: 0 }
    }

    /// Ops the kernel has not finished with.
    pub(crate) fn active(&self) -> u32 {
        self.active
    }

    /// Those of them whose future is gone.
    pub(crate) fn orphans(&self) -> u32 {
        self.orphans
    }

    /// Those of them that keep a virtual clock from jumping.
    pub(crate) fn holding_clock(&self) -> u32 {
        self.holding_clock
    }

    fn slot(&mut self, index: u32) -> &mut Slot {
        &mut self.pages[index as usize / PAGE][index as usize % PAGE]
    }

    fn grow(&mut self) {
        let first = (self.pages.len() * PAGE) as u32;
        assert!(first < NONE - PAGE as u32, "four billion operations in flight");
        self.pages.push(Box::new(std::array::from_fn(|index| Slot {
            head: Head {
                generation: 0,
                about: if index + 1 < PAGE { first + index as u32 + 1 } else { NONE },
                result: 0,
                flags: 0,
                waker: None,
                vtable: None,
            },
            payload: UnsafeCell::new(Payload::EMPTY),
        })));
        self.free = first;
    }

    /// Takes a slot for an op of this kind; it is *in flight* from now on. The payload is to be
    /// written where the pointer shows, before anything else is done with the key.
    pub(super) fn insert(&mut self, vtable: &'static Vtable, now: u32) -> (Key, *mut Payload) {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let slot = self.slot(index);
        let free = mem::replace(&mut slot.head.about, 0);
        slot.head.result = now as i32;
        slot.head.flags = 0;
        slot.head.set_state(State::InFlight);
        slot.head.vtable = Some(vtable);
        let key = Key { index, generation: slot.head.generation() };
        let payload = slot.payload.get();
        self.free = free;
        self.active += 1;
        self.holding_clock += u32::from(vtable.holds_clock);
        (key, payload)
    }

    /// The head of the slot, unless it has another tenant by now.
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Head> {
        self.get_with_payload(key).map(|(head, _)| head)
    }

    /// The same, and where the op is.
    pub(super) fn get_with_payload(&mut self, key: Key) -> Option<(&mut Head, *mut Payload)> {
        let page = self.pages.get_mut(key.index as usize / PAGE)?;
        let Slot { head, payload } = &mut page[key.index as usize % PAGE];
        let same = head.generation() == key.generation || mutant!("generation-not-compared");
        (same && head.state() != State::Free).then_some((head, payload.get()))
    }

    pub(super) fn payload(&mut self, key: Key) -> *mut Payload {
        self.slot(key.index).payload.get()
    }

    /// The future is gone.
    pub(super) fn orphan(&mut self, key: Key) {
        self.slot(key.index).head.set_state(State::Orphan);
        self.orphans += 1;
    }

    /// The terminal completion has come for a slot in flight: the kernel lets go of it.
    pub(super) fn finish(&mut self, key: Key) {
        self.leave_active(key, State::Done);
    }

    fn leave_active(&mut self, key: Key, next: State) {
        let head = &mut self.slot(key.index).head;
        let (vtable, orphan) = (head.vtable(), head.state() == State::Orphan);
        head.set_state(next);
        self.active -= 1;
        self.orphans -= u32::from(orphan);
        self.holding_clock -= u32::from(vtable.holds_clock);
    }

    /// Moves the op out and frees the slot of an orphan that completed, or of an op that is done.
    pub(super) fn remove(&mut self, key: Key) -> (Payload, &'static Vtable) {
        if self.slot(key.index).head.state() == State::Orphan {
            self.leave_active(key, State::Done);
        }
        let free = self.free;
        let slot = self.slot(key.index);
        let vtable = slot.head.vtable();
        // SAFETY: done, or an orphan after its terminal completion: the kernel has let go, and the
        // slot is freed in this function, so the op is moved out exactly once.
        let payload = unsafe { *slot.payload.get() };
        #[cfg(any(test, feature = "testing"))]
        poison(slot.payload.get());
        slot.head.generation = (slot.head.generation() + 1) & ((1 << GENERATION_BITS) - 1);
        slot.head.set_state(State::Free);
        slot.head.waker = None;
        slot.head.about = free;
        if !mutant!("slot-never-used-again") {
            self.free = key.index;
        }
        (payload, vtable)
    }

    /// Takes the wakers of all ops that the kernel has not finished with.
    pub(super) fn take_wakers(&mut self) -> Vec<LocalWaker> {
        let heads =
            self.pages.iter_mut().flat_map(|page| page.iter_mut()).map(|slot| &mut slot.head);
        let active = heads.filter(|head| matches!(head.state(), State::InFlight | State::Orphan));
        active.filter_map(|head| head.waker.take()).collect()
    }

    fn iter(&self) -> impl Iterator<Item = (Key, &Head)> {
        let heads = self.pages.iter().flat_map(|page| page.iter()).map(|slot| &slot.head);
        heads.zip(0..).map(|(head, index)| (Key { index, generation: head.generation() }, head))
    }

    /// The ops the kernel has not finished with, in no order.
    pub(super) fn iter_active(&self) -> impl Iterator<Item = (Key, &Head)> {
        self.iter().filter(|(_, head)| matches!(head.state(), State::InFlight | State::Orphan))
    }

    /// Whether an op is in flight that is to come to its own end before a loop does.
    pub(super) fn any_staged(&self) -> bool {
        self.iter_active().any(|(_, head)| head.vtable().stages.is_some())
    }

    /// An op that is done and was not taken.
    pub(super) fn any_done(&self) -> Option<Key> {
        self.iter().find(|(_, head)| head.state() == State::Done).map(|(key, _)| key)
    }
}

impl Drop for Arena {
    /// With ops that the kernel has not finished with, the memory is given up for good: it may
    /// still be written to.
    fn drop(&mut self) {
        if self.active > 0 {
            std::mem::forget(std::mem::take(&mut self.pages));
        }
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("slots", &(self.pages.len() * PAGE))
            .field("active", &self.active)
            .field("orphans", &self.orphans)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Vtable = Vtable {
        multishot: false,
        holds_clock: true,
        more: |_, _| false,
        reclaim: |_, _| (),
        stages: None,
    };

    fn insert(arena: &mut Arena) -> Key {
        arena.insert(&NOTHING, 0).0
    }

    #[test]
    fn a_stale_key_does_not_find_the_slots_next_tenant() {
        let mut arena = Arena::new();
        let first = insert(&mut arena);
        arena.finish(first);
        arena.remove(first);
        assert!(arena.get(first).is_none(), "freed");
        let second = insert(&mut arena);
        assert_eq!(first.index, second.index, "the slot is used again");
        assert_ne!(first.user_data(), second.user_data(), "a late cancel would hit it");
        assert!(arena.get(first).is_none() && arena.get(second).is_some());
        assert_eq!(Key::decode(second.user_data()), (Some(Kind::Op), second));
        arena.finish(second);
        arena.remove(second);
    }

    #[test]
    fn generations_go_round() {
        let mut arena = Arena::new();
        let first = insert(&mut arena);
        arena.slot(first.index).head.generation |= (1 << GENERATION_BITS) - 1;
        let last = Key { generation: (1 << GENERATION_BITS) - 1, ..first };
        arena.finish(last);
        arena.remove(last);
        let next = insert(&mut arena);
        assert_eq!((next.index, next.generation), (first.index, 0));
        assert!(arena.get(next).is_some_and(|head| head.state() == State::InFlight));
        arena.finish(next);
        arena.remove(next);
    }

    #[test]
    fn what_is_in_flight_is_listed_and_counted_whatever_leaves_first() {
        let mut arena = Arena::new();
        let keys: Vec<Key> = (0..200).map(|_| insert(&mut arena)).collect();
        assert_eq!((arena.active(), arena.orphans(), arena.holding_clock()), (200, 0, 200));
        for key in keys.iter().step_by(3) {
            arena.orphan(*key);
        }
        assert_eq!(arena.orphans(), 67);
        for (at, key) in keys.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
            if at % 3 != 0 {
                arena.finish(*key);
            }
            arena.remove(*key);
        }
        let left: Vec<Key> = arena.iter_active().map(|(key, _)| key).collect();
        let odd: Vec<Key> = keys.iter().copied().skip(1).step_by(2).collect();
        assert_eq!(left, odd);
        assert_eq!((arena.active(), arena.orphans(), arena.holding_clock()), (100, 33, 100));
        for key in odd {
            if arena.get(key).is_some_and(|head| head.state() == State::InFlight) {
                arena.finish(key);
            }
            arena.remove(key);
        }
        assert_eq!((arena.active(), arena.any_done()), (0, None));
    }
}
