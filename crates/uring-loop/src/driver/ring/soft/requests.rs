//! The requests that are not at their end: what each waits for, and how they are found.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use super::super::Sqe;

/// No request.
pub(super) const NONE: u32 = u32::MAX;

/// A request in its slot, told from later tenants of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) index: u32,
    serial: u32,
}

/// Where a request is until it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It was not made to wait yet.
    Fresh,
    /// In the line of its descriptor, until that has one of these events.
    Line { events: u32 },
    /// With the timers.
    Clock,
    /// A helper has it, or is to have it.
    Helper,
}

/// A LINK_TIMEOUT that watches a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    pub(super) sqe: Sqe,
    pub(super) deadline: u64,
}

/// What is known about a descriptor and matters to one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    /// epoll refuses it: a file, which never waits.
    pub(super) always_ready: bool,
    /// The kernel cannot try it without blocking (`RWF_NOWAIT`): it is polled first.
    pub(super) polled_first: bool,
    /// A TCP socket, which has nothing left when it gives less than was asked for. `None`: nobody
    /// has asked yet.
    pub(super) tcp: Option<bool>,
}

/// An operation on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) sqe: Sqe,
    /// What it works on; negative if nothing.
    pub(super) fd: RawFd,
    pub(super) place: Place,
    /// It is among those that go on next.
    pub(super) due: bool,
    /// A cancel has struck: it ends in the next pass.
    pub(super) cancelled: bool,
    /// What its descriptor has told since it was found not to be ready.
    pub(super) told: u32,
    pub(super) traits: Traits,
    /// Bytes moved by earlier attempts.
    pub(super) done: usize,
    /// A connect is under way.
    pub(super) dialing: bool,
    /// When a TIMEOUT expires, and at which count of completions it is content.
    pub(super) deadline: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) guard: Option<Guard>,
    /// What follows by link.
    pub(super) rest: VecDeque<Sqe>,
}

impl Request {
    pub(super) fn new(sqe: Sqe, rest: VecDeque<Sqe>) -> Self {
        Request {
            sqe,
            fd: -1,
            place: Place::Fresh,
            due: false,
            cancelled: false,
            told: 0,
            traits: Traits::default(),
            done: 0,
            dialing: false,
            deadline: None,
            count: None,
            guard: None,
            rest,
        }
    }

    pub(super) fn has_flag(&self, flag: u8) -> bool {
        self.sqe.flags & flag != 0
    }
}

struct Slot {
    request: Option<Request>,
    serial: u32,
    /// The next one with the same hash; of a free slot, the next free one.
    next: u32,
    /// Neighbours in the line of a descriptor.
    before: u32,
    after: u32,
}

/// The two ends of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) first: u32,
    last: u32,
}

impl Line {
    pub(super) const EMPTY: Line = Line { first: NONE, last: NONE };

    pub(super) fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// The requests of one ring. Those that wait for a descriptor stand in its [`Line`]; all are found
/// by their user data.
pub(super) struct Requests {
    slots: Vec<Slot>,
    free: u32,
    count: usize,
    buckets: Vec<u32>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Requests { slots: Vec::new(), free: NONE, count: 0, buckets: vec![NONE; 64] }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn slot(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    fn bucket(&self, user_data: u64) -> usize {
        // Fibonacci hashing: the driver's numbers differ in their low bits.
        let mixed = (user_data ^ (user_data >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & (self.buckets.len() - 1)
    }

    pub(super) fn insert(&mut self, request: Request) -> u32 {
        if self.count == self.buckets.len() {
            self.spread();
        }
        let index = match self.free {
            NONE => {
                let slot = Slot { request: None, serial: 0, next: NONE, before: NONE, after: NONE };
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
            free => free,
        };
        let bucket = self.bucket(request.sqe.user_data);
        let head = std::mem::replace(&mut self.buckets[bucket], index);
        let slot = self.slot(index);
        let free = std::mem::replace(&mut slot.next, head);
        slot.request = Some(request);
        if self.free == index {
            self.free = free;
        }
        self.count += 1;
        index
    }

    /// Twice as many buckets.
    fn spread(&mut self) {
        self.buckets = vec![NONE; self.buckets.len() * 2];
        for index in 0..self.slots.len() {
            let Some(request) = &self.slots[index].request else { continue };
            let bucket = self.bucket(request.sqe.user_data);
            self.slots[index].next = self.buckets[bucket];
            self.buckets[bucket] = index as u32;
        }
    }

    /// Moves a request out of its slot, which stays its own.
    pub(super) fn take(&mut self, index: u32) -> Request {
        self.slot(index).request.take().expect("a request that is named is in its slot")
    }

    /// … and back.
    pub(super) fn put(&mut self, index: u32, request: Request) {
        self.slot(index).request = Some(request);
    }

    /// Frees the slot of a request that was taken out and is at its end.
    pub(super) fn free(&mut self, index: u32, user_data: u64) {
        let bucket = self.bucket(user_data);
        let next = self.slot(index).next;
        if self.buckets[bucket] == index {
            self.buckets[bucket] = next;
        } else {
            let mut at = self.buckets[bucket];
            while self.slot(at).next != index {
                at = self.slot(at).next;
            }
            self.slot(at).next = next;
        }
        let free = self.free;
        let slot = self.slot(index);
        slot.serial = slot.serial.wrapping_add(1);
        slot.next = free;
        self.free = index;
        self.count -= 1;
    }

    pub(super) fn get(&self, index: u32) -> Option<&Request> {
        self.slots.get(index as usize)?.request.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Request> {
        self.slots.get_mut(index as usize)?.request.as_mut()
    }

    pub(super) fn name(&self, index: u32) -> Name {
        Name { index, serial: self.slots[index as usize].serial }
    }

    /// The request of that name, if it has not come to its end.
    pub(super) fn named(&mut self, name: Name) -> Option<&mut Request> {
        let slot = self.slots.get_mut(name.index as usize)?;
        slot.request.as_mut().filter(|_| slot.serial == name.serial)
    }

    /// Those with this user data.
    pub(super) fn find(&self, user_data: u64) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = self.buckets[self.bucket(user_data)];
        while at != NONE {
            let slot = &self.slots[at as usize];
            if slot.request.as_ref().is_some_and(|request| request.sqe.user_data == user_data) {
                found.push(at);
            }
            at = slot.next;
        }
        found
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Request)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot.request.as_ref()?)))
    }

    /// Puts a request at the end of a line.
    pub(super) fn line_up(&mut self, line: &mut Line, index: u32) {
        let last = std::mem::replace(&mut line.last, index);
        let slot = self.slot(index);
        (slot.before, slot.after) = (last, NONE);
        match last {
            NONE => line.first = index,
            last => self.slot(last).after = index,
        }
    }

    /// Takes it out.
    pub(super) fn leave(&mut self, line: &mut Line, index: u32) {
        let slot = self.slot(index);
        let (before, after) = (slot.before, slot.after);
        match before {
            NONE => line.first = after,
            before => self.slot(before).after = after,
        }
        match after {
            NONE => line.last = before,
            after => self.slot(after).before = before,
        }
    }

    /// Who is behind it.
    pub(super) fn behind(&self, index: u32) -> u32 {
        self.slots[index as usize].after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(user_data: u64) -> Request {
        Request::new(Sqe { user_data, ..Sqe::default() }, VecDeque::new())
    }

    fn end(requests: &mut Requests, index: u32) {
        let user_data = requests.take(index).sqe.user_data;
        requests.free(index, user_data);
    }

    #[test]
    fn requests_are_found_by_their_user_data_however_many_there_are() {
        let mut requests = Requests::new();
        let indices: Vec<u32> = (0..500).map(|n| requests.insert(request(n % 250))).collect();
        for n in 0..250 {
            let mut found = requests.find(n);
            found.sort_unstable();
            assert_eq!(found, [indices[n as usize], indices[n as usize + 250]]);
        }
        indices.iter().step_by(2).for_each(|index| end(&mut requests, *index));
        assert_eq!(requests.count(), 250);
        assert!((0..250).all(|n| requests.find(n).len() == if n % 2 == 0 { 0 } else { 2 }));
        let again = requests.insert(request(7000));
        assert!(indices.contains(&again), "slots are used again");
        assert_eq!(requests.find(7000), [again]);
    }

    #[test]
    fn a_name_does_not_mean_the_next_tenant_of_its_slot() {
        let mut requests = Requests::new();
        let index = requests.insert(request(1));
        let name = requests.name(index);
        assert!(requests.named(name).is_some());
        end(&mut requests, index);
        assert!(requests.named(name).is_none());
        assert_eq!(requests.insert(request(2)), index);
        assert!(requests.named(name).is_none());
    }

    #[test]
    fn whoever_leaves_a_line_leaves_the_others_in_their_order() {
        let mut requests = Requests::new();
        let mut line = Line::EMPTY;
        let all: Vec<u32> = (0..5).map(|n| requests.insert(request(n))).collect();
        all.iter().for_each(|index| requests.line_up(&mut line, *index));
        for index in [all[2], all[0], all[4]] {
            requests.leave(&mut line, index);
        }
        assert_eq!((line.first, requests.behind(all[1])), (all[1], all[3]));
        assert_eq!(requests.behind(all[3]), NONE);
        requests.leave(&mut line, all[1]);
        requests.leave(&mut line, all[3]);
        assert!(line.is_empty());
        requests.line_up(&mut line, all[4]);
        assert_eq!(line.first, all[4]);
    }
}
