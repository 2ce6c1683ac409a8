//! Bytes that go one way, as both ends see them: none is lost, none comes twice, none is made up.

use std::cell::Cell;
use std::rc::Rc;

/// One direction of a connection, or a pipe. The byte at each place follows from the place.
#[derive(Debug, Default)]
pub(super) struct Flow {
    number: u8,
    /// So many bytes were sent for certain, and so many at most: a send that was given up has sent
    /// some of its own.
    sent: Cell<usize>,
    most: Cell<usize>,
    received: Cell<usize>,
    /// Nothing more will be sent.
    ended: Cell<bool>,
    /// An end was reset or went early: bytes on the way may be lost.
    spoiled: Cell<bool>,
}

impl Flow {
    pub(super) fn new(number: u8) -> Rc<Self> {
        Rc::new(Flow { number, ..Flow::default() })
    }

    fn byte(&self, place: usize) -> u8 {
        (place as u8).wrapping_mul(31) ^ (place >> 8) as u8 ^ self.number
    }

    /// The next bytes to be sent; from now on some of them may be.
    pub(super) fn begin(&self, length: usize) -> Option<Vec<u8>> {
        // Behind a send that was given up nobody knows how to go on.
        if self.most.get() > self.sent.get() || self.ended.get() {
            return None;
        }
        self.most.set(self.sent.get() + length);
        Some((self.sent.get()..self.most.get()).map(|place| self.byte(place)).collect())
    }

    /// All that was begun was sent.
    pub(super) fn done(&self) {
        self.sent.set(self.most.get());
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
    }

    pub(super) fn spoil(&self) {
        self.spoiled.set(true);
    }

    pub(super) fn is_spoiled(&self) -> bool {
        self.spoiled.get()
    }

    /// Bytes have come: these must be next.
    pub(super) fn came(&self, bytes: &[u8]) {
        let place = self.received.get();
        let right = bytes.iter().enumerate().all(|(at, byte)| *byte == self.byte(place + at));
        assert!(right, "flow {}: other bytes than were sent, at {place}", self.number);
        self.received.set(place + bytes.len());
        assert!(self.received.get() <= self.most.get(), "more bytes than were sent: {self:?}");
    }

    /// The end has come.
    pub(super) fn came_to_its_end(&self) {
        assert!(self.spoiled.get() || self.ended.get(), "it has not ended: {self:?}");
        self.settle();
    }

    /// No more can come: everything has.
    pub(super) fn settle(&self) {
        let lost = self.received.get() < self.sent.get();
        assert!(self.spoiled.get() || !lost, "bytes were lost: {self:?}");
    }
}
