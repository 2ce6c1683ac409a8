//! A ring of frames in memory that two processes share: one writes, the other reads, neither
//! enters the kernel while both are awake.
//!
//! # Protocol of the ring
//!
//! Two counters of words (of eight bytes) run for ever: `tail`, words put in, and `head`, words
//! taken out. Word number `i` lies at `i % N`. A frame is its header, three words, and then its
//! payload, filled up to whole words; it may go over the end and on at the beginning.
//!
//! * Only the writer writes `tail`. It writes the words of a frame **first** and then stores `tail`
//!   with Release: the reader, which loads it with Acquire, sees whole frames only. A writer that
//!   dies in the middle of a frame has put in nothing.
//! * Only the reader writes `head`. It copies a frame out **first** and then stores `head` with
//!   Release; the writer loads it with Acquire before it writes there again.
//!
//! Each side remembers its own counter, and never reads it back: the other process may have
//! written anything there. What it reads of the other's is checked: a `tail` or a length that
//! cannot be is [`Garbled`], a `head` that cannot be is a ring without room. All is made of atomic
//! words, so the other side may even write where it should not: what is read is then garbage, and
//! nothing worse.
//!
//! # Protocol of the bell
//!
//! The reader that finds nothing more may want to sleep. It *arms* the bell with how it is to be
//! woken, **then** looks once more, then sleeps. The writer puts a frame in, **then** rings: it
//! disarms the bell, and if it was armed it wakes the reader. Both are read-modify-writes
//! (AcqRel) of one word, so one comes first. If the ring does, the arming acquires what was put in
//! before it, and the look finds it; if the arming does, the ring sees it and wakes. So no frame is
//! slept through, and a reader that is awake is not woken: a wake costs a hundred times what a
//! frame does. A writer that dies between the two wakes the reader by its death, which others see.
//!
//! There are two ways to sleep ([`Wake`]). A reader with nothing else to hear sleeps on the bell
//! itself, a futex: while the word is what it was armed with. That is the faster by far. One that
//! has to hear other descriptors too, or is an event loop, sleeps on the socket.
//!
//! # Life
//!
//! All-zero memory is an empty ring with the bell disarmed. It is part of the page of a worker
//! (`page.rs`) and ends with it.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::wire::{Garbled, HEADER, Header};

/// Words of a header.
const HEAD: usize = HEADER / 8;

/// A line of its own, and its neighbour too: processors fetch lines in pairs.
#[derive(Debug)]
#[repr(C, align(128))]
struct Line(AtomicU64);

/// As `Line`.
#[derive(Debug)]
#[repr(C, align(128))]
struct Bell(AtomicU32);

/// How a reader that sleeps is woken: what the bell is armed with. 0: not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Wake {
    /// By a frame on the socket.
    Socket = 1,
    /// By the bell's own word.
    Word = 2,
}

/// What is shared.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Ring<const N: usize> {
    tail: Line,
    head: Line,
    /// The [`Wake`] of a reader that sleeps, or is about to.
    bell: Bell,
    words: [AtomicU64; N],
}

/// The writing end: what its process alone knows.
#[derive(Debug, Default)]
pub(super) struct Writer {
    tail: u64,
    /// `head` as last seen.
    head_seen: u64,
}

/// The reading end: what its process alone knows.
#[derive(Debug, Default)]
pub(super) struct Reader {
    head: u64,
    /// `tail` as last seen.
    tail_seen: u64,
    /// It armed the bell, and has not disarmed it since. The writer may have.
    armed: bool,
}

/// Words a frame takes with so many bytes of payload.
pub(super) const fn words_of(payload: usize) -> usize {
    HEAD + payload.div_ceil(8)
}

impl<const N: usize> Ring<N> {
    #[cfg(any(test, fuzz))]
    pub(super) fn new() -> Ring<N> {
        let zero = || AtomicU64::new(0);
        let line = || Line(zero());
        let words = std::array::from_fn(|_| zero());
        Ring { tail: line(), head: line(), bell: Bell(AtomicU32::new(0)), words }
    }

    fn word(&self, number: u64) -> &AtomicU64 {
        &self.words[(number % N as u64) as usize]
    }

    /// Writer, after a frame: whether the reader must be woken, and how.
    pub(super) fn ring(&self) -> Option<Wake> {
        let armed = if mutant!("bell-only-looked-at") {
            self.bell.0.load(Ordering::Acquire)
        } else {
            self.bell.0.swap(0, Ordering::AcqRel)
        };
        [Wake::Socket, Wake::Word].into_iter().find(|wake| *wake as u32 == armed)
    }

    /// What is slept on with [`Wake::Word`].
    pub(super) fn bell(&self) -> &AtomicU32 {
        &self.bell.0
    }

    /// Reader, after [`Reader::may_sleep`]: whether nobody has rung.
    pub(super) fn is_armed(&self, wake: Wake) -> bool {
        self.bell.0.load(Ordering::Acquire) == wake as u32
    }

    /// Anybody who has the reader's number: whether there is something behind it. A hint.
    pub(super) fn has_more(&self, head: u64) -> bool {
        self.tail.0.load(Ordering::Relaxed) != head
    }

    /// Fills the memory with anything, as a worker gone mad would.
    #[cfg(any(test, fuzz))]
    pub(super) fn scribble(&self, tail: u64, words: impl Iterator<Item = u64>) {
        for (word, value) in self.words.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        self.tail.0.store(tail, Ordering::Release);
    }
}

impl Writer {
    /// Puts a frame in. `false`: there is no room for it.
    pub(super) fn push<const N: usize>(
        &mut self,
        ring: &Ring<N>,
        header: Header,
        payload: &[u8],
    ) -> bool {
        self.push_beside(0, ring, header, payload)
    }

    /// Puts a frame in, if room for `others` words is left then. As long as larger frames leave
    /// room for all the small ones there can be, none of these is ever refused.
    pub(super) fn push_beside<const N: usize>(
        &mut self,
        others: usize,
        ring: &Ring<N>,
        header: Header,
        payload: &[u8],
    ) -> bool {
        debug_assert_eq!(header.len as usize, payload.len());
        let words = words_of(payload.len()) as u64;
        let needed = words + others as u64;
        if !self.has_room(N as u64, needed) {
            self.head_seen = ring.head.0.load(Ordering::Acquire);
            if !self.has_room(N as u64, needed) {
                return false;
            }
        }
        if mutant!("published-before-written") {
            ring.tail.0.store(self.tail + words, Ordering::Release);
        }
        let header = header.to_bytes();
        let (head, _) = header.as_chunks::<8>();
        let (body, rest) = payload.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let last = (!rest.is_empty()).then_some(&last);
        for (at, word) in (self.tail..).zip(head.iter().chain(body).chain(last)) {
            ring.word(at).store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        self.tail += words;
        ring.tail.0.store(self.tail, Ordering::Release);
        true
    }

    fn has_room(&self, size: u64, words: u64) -> bool {
        let used = self.tail.wrapping_sub(self.head_seen);
        // More than there is: the other side has written nonsense.
        used <= size && words <= size - used
    }
}

impl Reader {
    /// Its number, for [`Ring::has_more`].
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Whether there is no frame.
    pub(super) fn is_empty<const N: usize>(&mut self, ring: &Ring<N>) -> bool {
        if self.tail_seen == self.head {
            self.tail_seen = ring.tail.0.load(Ordering::Acquire);
        }
        self.tail_seen == self.head
    }

    /// Arms the bell. `true`: the reader may sleep, and is woken when there is something; `false`:
    /// there is something, and the bell is disarmed again.
    pub(super) fn may_sleep<const N: usize>(&mut self, ring: &Ring<N>, wake: Wake) -> bool {
        self.armed = true;
        ring.bell.0.swap(wake as u32, Ordering::AcqRel);
        if mutant!("no-look-before-the-sleep") || self.is_empty(ring) {
            return true;
        }
        self.stay_awake(ring);
        false
    }

    /// Disarms the bell: the reader is awake, and looks by itself.
    pub(super) fn stay_awake<const N: usize>(&mut self, ring: &Ring<N>) {
        if std::mem::take(&mut self.armed) {
            ring.bell.0.swap(0, Ordering::AcqRel);
        }
    }

    /// Takes the next frame out, and its payload into `payload`, in place of what is there.
    ///
    /// # Errors
    ///
    /// If what is there is no frame. Then nothing that comes from that process can be believed.
    pub(super) fn pop<const N: usize>(
        &mut self,
        ring: &Ring<N>,
        payload: &mut Vec<u8>,
    ) -> Result<Option<Header>, Garbled> {
        payload.clear();
        if self.is_empty(ring) {
            return Ok(None);
        }
        let filled = self.tail_seen.wrapping_sub(self.head);
        if filled > N as u64 || filled < HEAD as u64 {
            return Err(Garbled);
        }
        let word = |number: u64| ring.word(number).load(Ordering::Relaxed).to_le_bytes();
        let mut bytes = [0; HEADER];
        for (at, chunk) in (self.head..).zip(bytes.as_chunks_mut::<8>().0) {
            *chunk = word(at);
        }
        let header = Header::from_bytes(&bytes)?;
        let length = header.len as usize;
        let words = words_of(length) as u64;
        if words > filled {
            return Err(Garbled);
        }
        payload.resize((words as usize - HEAD) * 8, 0);
        for (at, chunk) in (self.head + HEAD as u64..).zip(payload.as_chunks_mut::<8>().0) {
            *chunk = word(at);
        }
        payload.truncate(length);
        self.head += words;
        ring.head.0.store(self.head, Ordering::Release);
        Ok(Some(header))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::wire::Kind;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn header(ticket: u64, payload: &[u8]) -> Header {
        Header::new(Kind::Call, ticket, !ticket, payload.len())
    }

    proptest! {
        /// Against a queue: what goes in comes out, in order, and all room can be used, but for
        /// what is kept for others.
        #[test]
        fn frames_come_out_as_they_went_in(
            steps in vec(prop::option::weighted(0.6, vec(any::<u8>(), 0..70)), 1..300),
            others in 0..8usize,
        ) {
            let ring = Ring::<16>::new();
            let (mut writer, mut reader) = (Writer::default(), Reader::default());
            let (mut model, mut out, mut used) = (VecDeque::new(), Vec::new(), 0);
            for (number, step) in (0..).zip(steps) {
                if let Some(payload) = step {
                    // Every other frame leaves no room.
                    let others = if number % 2 == 0 { others } else { 0 };
                    let fits = used + words_of(payload.len()) + others <= 16;
                    let header = header(number, &payload);
                    prop_assert_eq!(writer.push_beside(others, &ring, header, &payload), fits);
                    if fits {
                        used += words_of(payload.len());
                        model.push_back((number, payload));
                    }
                } else {
                    let got = reader.pop(&ring, &mut out).unwrap();
                    prop_assert_eq!(got.is_some(), !model.is_empty());
                    if let Some((number, payload)) = model.pop_front() {
                        prop_assert_eq!(got, Some(header(number, &payload)));
                        prop_assert_eq!(&out, &payload);
                        used -= words_of(payload.len());
                    }
                }
                prop_assert_eq!(reader.is_empty(&ring), model.is_empty());
            }
        }
    }

    #[test]
    fn counters_that_cannot_be_are_refused() {
        let ring = Ring::<16>::new();
        let mut out = Vec::new();
        for tail in [1, 2, 17, u64::MAX] {
            ring.scribble(tail, std::iter::empty());
            assert_eq!(Reader::default().pop(&ring, &mut out), Err(Garbled), "{tail}");
        }
        let mut writer = Writer::default();
        assert!(writer.push(&ring, header(1, &[0; 100]), &[0; 100]));
        ring.head.0.store(u64::MAX / 2, Ordering::Release);
        assert!(!writer.push(&ring, header(2, &[]), &[]), "no room in a ring that is not one");
    }

    #[test]
    fn a_length_beyond_what_is_there_is_refused() {
        let ring = Ring::<16>::new();
        let mut writer = Writer::default();
        let lie = Header::new(Kind::Done, 0, 0, 1000).to_bytes();
        assert!(writer.push(&ring, header(0, &[]), &[]));
        let words = lie.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        ring.scribble(3, words);
        assert_eq!(Reader::default().pop(&ring, &mut Vec::new()), Err(Garbled));
    }

    #[test]
    fn only_an_armed_bell_asks_to_wake() {
        let ring = Ring::<16>::new();
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        assert_eq!(ring.ring(), None);
        for wake in [Wake::Socket, Wake::Word] {
            assert!(reader.may_sleep(&ring, wake));
            assert_eq!(ring.ring(), Some(wake));
            assert_eq!(ring.ring(), None, "it wakes once");
        }
        assert!(reader.may_sleep(&ring, Wake::Socket));
        assert!(reader.may_sleep(&ring, Wake::Word), "the last one counts");
        assert_eq!(ring.ring(), Some(Wake::Word));
        assert!(reader.may_sleep(&ring, Wake::Word));
        reader.stay_awake(&ring);
        assert_eq!(ring.ring(), None);
        assert!(writer.push(&ring, header(0, &[]), &[]));
        assert!(!reader.may_sleep(&ring, Wake::Word), "there is a frame");
        assert_eq!(ring.ring(), None);
    }

    #[test]
    fn a_bell_that_was_scribbled_on_wakes_nobody() {
        let ring = Ring::<16>::new();
        ring.bell().store(77, Ordering::Release);
        assert_eq!(ring.ring(), None);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::super::wire::Kind;
    use super::*;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    fn header(ticket: u64, payload: &[u8]) -> Header {
        Header::new(Kind::Call, ticket, 0, payload.len())
    }

    /// The kernel, as far as wakes go. A socket stays readable until somebody has read it; who
    /// wants to sleep on a word is put to sleep under the lock that a wake takes, if the word is
    /// as he says.
    #[derive(Default)]
    struct Kernel {
        readable: Mutex<bool>,
        change: Condvar,
    }

    impl Kernel {
        fn wake(&self, wake: Wake) {
            *self.readable.lock().unwrap() |= wake == Wake::Socket;
            self.change.notify_one();
        }

        fn receive(&self) {
            let mut readable = self.readable.lock().unwrap();
            while !*readable {
                readable = self.change.wait(readable).unwrap();
            }
            *readable = false;
        }

        fn wait(&self, ring: &Ring<8>) {
            let lock = self.readable.lock().unwrap();
            if ring.is_armed(Wake::Word) {
                drop(self.change.wait(lock).unwrap());
            }
        }
    }

    fn check(frames: u64, preemptions: usize, f: fn(Arc<(Ring<8>, Kernel)>, u64)) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(move || {
            let shared = Arc::new((Ring::<8>::new(), Kernel::default()));
            let reader = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || f(shared, frames))
            };
            let (ring, kernel) = &*shared;
            let mut writer = Writer::default();
            for ticket in 0..frames {
                let payload = [ticket as u8; 3];
                while !writer.push(ring, header(ticket, &payload), &payload) {
                    thread::yield_now();
                }
                if let Some(wake) = ring.ring() {
                    kernel.wake(wake);
                }
            }
            reader.join().unwrap();
        });
    }

    fn expect(reader: &mut Reader, ring: &Ring<8>, ticket: u64) -> bool {
        let mut payload = Vec::new();
        match reader.pop(ring, &mut payload) {
            Ok(Some(got)) => {
                assert_eq!((got, &payload[..]), (header(ticket, &payload), &[ticket as u8; 3][..]));
                true
            }
            Ok(None) => false,
            Err(Garbled) => panic!("half a frame was seen"),
        }
    }

    /// Two frames fill the ring, so the third goes where the first was.
    #[test]
    fn loom_frames_arrive_whole_and_in_order_through_a_ring_that_wraps() {
        check(3, 2, |shared, frames| {
            let mut reader = Reader::default();
            for ticket in 0..frames {
                while !expect(&mut reader, &shared.0, ticket) {
                    thread::yield_now();
                }
            }
        });
    }

    /// A wake that is lost shows as a deadlock.
    #[test]
    fn loom_no_frame_is_slept_through() {
        check(2, 3, |shared, frames| {
            let (ring, kernel) = &*shared;
            let mut reader = Reader::default();
            for ticket in 0..frames {
                while !expect(&mut reader, ring, ticket) {
                    if reader.may_sleep(ring, Wake::Socket) {
                        kernel.receive();
                    }
                }
            }
        });
    }

    #[test]
    fn loom_no_frame_is_slept_through_on_the_word() {
        check(2, 3, |shared, frames| {
            let (ring, kernel) = &*shared;
            let mut reader = Reader::default();
            for ticket in 0..frames {
                while !expect(&mut reader, ring, ticket) {
                    if reader.may_sleep(ring, Wake::Word) {
                        kernel.wait(ring);
                    }
                }
            }
        });
    }

    /// As the parent's, which go from one way to the other without a look at what was rung.
    #[test]
    fn loom_no_frame_is_slept_through_by_one_who_turns_over() {
        check(2, 3, |shared, frames| {
            let (ring, kernel) = &*shared;
            let mut reader = Reader::default();
            for ticket in 0..frames {
                while !expect(&mut reader, ring, ticket) {
                    if reader.may_sleep(ring, Wake::Socket) && reader.may_sleep(ring, Wake::Word) {
                        kernel.wait(ring);
                    }
                }
            }
        });
    }
}
