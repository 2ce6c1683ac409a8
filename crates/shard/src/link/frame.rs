//! Messages of a link as frames in its rings. Pure: no I/O, nobody sleeps.
//!
//! A message goes in one frame, or, if it is long, in several which follow each other; all but the
//! last say that there is *more*. The lower half of a frame's first word is the kind (8 bits) and
//! that mark; the second word is the number of the call.
//!
//! What comes in is not believed: kinds that there are not, numbers beyond the limit of calls, a
//! frame of another message between those of one, and messages that become too long are lies.

use std::collections::VecDeque;

use crate::wire::{Consumer, FRAME, Lie, Producer, Words};

/// Calls that may be under way from one process to one other. Part of the protocol: a side answers
/// no more at a time.
pub(crate) const MOST_CALLS: usize = 128;
/// The longest message, in bytes.
pub(crate) const MOST_BYTES: usize = 16 << 20;

const MORE: u32 = 1 << 8;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Run a function: its name as a number (8 bytes), then the request.
    Call = 1,
    /// Nobody waits for that call any more.
    Cancel = 2,
    /// The call's result.
    Done = 3,
    /// The call panicked, and said this.
    Panicked = 4,
    /// The call was not done, for this reason.
    Refused = 5,
    /// The call was stopped.
    Stopped = 6,
}

impl Kind {
    fn of(meaning: u32) -> Option<Kind> {
        let kinds = [Kind::Call, Kind::Cancel, Kind::Done, Kind::Panicked, Kind::Refused];
        let mut kinds = kinds.into_iter().chain([Kind::Stopped]);
        kinds.find(|kind| *kind as u32 == meaning & !MORE)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) call: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Messages on their way out. They wait here, not in the ring, when that is full: there are as many
/// as there are permits, here and over there.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Message>,
    /// Bytes of the first that are in the ring.
    sent: usize,
    /// The ring was full when this was last tried.
    pub(crate) blocked: bool,
}

impl Outbox {
    pub(crate) fn post(&mut self, message: Message) {
        self.queue.push_back(message);
    }

    /// Writes what fits, and publishes it. `true`: there was something, ring the bell.
    pub(crate) fn flush<M: Words>(&mut self, producer: &mut Producer<M>) -> Result<bool, Lie> {
        let mut wrote = self.write(producer)?;
        self.blocked = !self.queue.is_empty();
        if self.blocked {
            // What fits is shown before anybody is asked for room.
            producer.publish();
            producer.want_room();
            wrote |= self.write(producer)?;
            self.blocked = !self.queue.is_empty();
        }
        if wrote {
            producer.publish();
        }
        Ok(wrote)
    }

    /// Whether it is worth another try.
    pub(crate) fn has_room<M: Words>(&self, producer: &mut Producer<M>) -> Result<bool, Lie> {
        let enough = self.enough(producer);
        Ok(producer.room(enough)? >= enough)
    }

    /// The room that is waited for: that of the first message, but for a long one no more than half
    /// the ring, so that the other side has something to do meanwhile.
    fn enough<M: Words>(&self, producer: &Producer<M>) -> usize {
        let left = self.queue.front().map_or(0, |first| first.bytes.len() - self.sent);
        (FRAME + left.div_ceil(8)).min(producer.ring() / 2)
    }

    fn write<M: Words>(&mut self, producer: &mut Producer<M>) -> Result<bool, Lie> {
        let mut wrote = false;
        loop {
            let enough = self.enough(producer);
            let room = producer.room(enough)?;
            let Some(first) = self.queue.front().filter(|_| room >= enough) else {
                return Ok(wrote);
            };
            let rest = &first.bytes[self.sent..];
            let part = &rest[..rest.len().min((room - FRAME) * 8)];
            let more = if part.len() < rest.len() { MORE } else { 0 };
            producer.write((first.kind as u32 | more, u64::from(first.call)), part);
            wrote = true;
            self.sent += part.len();
            if more == 0 {
                self.queue.pop_front();
                self.sent = 0;
            }
        }
    }
}

/// A message on its way in.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// What the frames before said, if there are more.
    begun: Option<(Kind, u32)>,
    bytes: Vec<u8>,
}

/// What a look into the ring has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Empty,
    /// A part of a message.
    Part,
    Whole(Message),
}

impl Inbox {
    /// Takes one frame.
    pub(crate) fn take<M: Words>(&mut self, consumer: &mut Consumer<M>) -> Result<Step, Lie> {
        let Some((meaning, number)) = consumer.next(&mut self.bytes)? else {
            return Ok(Step::Empty);
        };
        let kind = Kind::of(meaning).ok_or(Lie("a message of no known kind"))?;
        let call = u32::try_from(number).ok().filter(|call| (*call as usize) < MOST_CALLS);
        let call = call.ok_or(Lie("a call with a number that is none"))?;
        if self.begun.is_some_and(|begun| begun != (kind, call)) {
            return Err(Lie("a message within another"));
        }
        if self.bytes.len() > MOST_BYTES {
            return Err(Lie("a message that is too long"));
        }
        if meaning & MORE != 0 {
            self.begun = Some((kind, call));
            return Ok(Step::Part);
        }
        self.begun = None;
        Ok(Step::Whole(Message { kind, call, bytes: std::mem::take(&mut self.bytes) }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Ends, ends, prepare, size};

    type Memory = Arc<Vec<AtomicU64>>;

    impl Words for Memory {
        fn words(&self) -> &[AtomicU64] {
            self
        }
    }

    fn memory(ring: usize) -> Memory {
        let memory: Memory = Arc::new((0..size(ring)).map(|_| AtomicU64::new(0)).collect());
        prepare(memory.words(), ring);
        memory
    }

    fn sides(memory: &Memory) -> (Ends<Memory>, Ends<Memory>) {
        (ends(memory, 0).expect("ours"), ends(memory, 1).expect("ours"))
    }

    fn message(call: u32, bytes: Vec<u8>) -> Message {
        Message { kind: Kind::Call, call, bytes }
    }

    /// Takes what is there, all of it.
    fn take_all(inbox: &mut Inbox, consumer: &mut Consumer<Memory>) -> Result<Vec<Message>, Lie> {
        let mut taken = Vec::new();
        loop {
            match inbox.take(consumer)? {
                Step::Whole(message) => taken.push(message),
                Step::Part => {}
                Step::Empty => break,
            }
        }
        consumer.give_back();
        Ok(taken)
    }

    proptest! {
        /// Messages of any length come through a ring of any size, in order and whole.
        #[test]
        fn messages_survive_any_ring(
            ring in 2_u32..8,
            lengths in prop::collection::vec(0_usize..3000, 1..20),
            turns in prop::collection::vec(any::<bool>(), 0..40),
        ) {
            let memory = memory(1 << ring);
            let (mut one, mut other) = sides(&memory);
            let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
            let all: Vec<_> = lengths.iter().enumerate().map(|(at, length)| {
                message(at as u32, (0..*length).map(|byte| (byte + at) as u8).collect())
            }).collect();
            all.iter().cloned().for_each(|message| outbox.post(message));
            let mut got = Vec::new();
            for sends in turns {
                match sends {
                    true => drop(outbox.flush(&mut one.producer).expect("no lie")),
                    false => got.extend(take_all(&mut inbox, &mut other.consumer).expect("no lie")),
                }
            }
            // However long it is, it comes to an end by taking turns.
            for _ in 0..10_000 {
                outbox.flush(&mut one.producer).expect("no lie");
                got.extend(take_all(&mut inbox, &mut other.consumer).expect("no lie"));
            }
            prop_assert!(!outbox.blocked);
            prop_assert_eq!(got, all);
        }

        /// Whatever the other side writes: it is read or called a lie, and memory is bounded.
        #[test]
        fn any_words_are_read_or_refused(
            words in prop::collection::vec(
                (0..size(16), prop_oneof![any::<u64>(), 0_u64..40, Just(1 << 32), Just(19 << 32)]),
                0..60),
        ) {
            let memory = memory(16);
            let (mut one, _) = sides(&memory);
            let (mut inbox, mut outbox) = (Inbox::default(), Outbox::default());
            outbox.post(message(1, vec![1; 100]));
            for (at, word) in words {
                memory[at].store(word, Ordering::Relaxed);
                if let Ok(taken) = take_all(&mut inbox, &mut one.consumer) {
                    prop_assert!(taken.iter().all(|message| message.bytes.len() <= MOST_BYTES));
                }
                let _ = outbox.flush(&mut one.producer);
                let _ = ends(&memory, 1);
            }
        }
    }

    #[test]
    fn counters_and_lengths_that_cannot_be_are_lies() {
        let memory = memory(16);
        let (mut one, mut other) = sides(&memory);
        // The other side's tail is in the line behind those of side 0 and the first.
        let tail = memory.iter().enumerate();
        let find = |value: u64| {
            let place = tail.clone().find(|(_, word)| word.load(Ordering::Relaxed) == value);
            place.map(|(at, _)| at)
        };
        other.producer.write((Kind::Done as u32, 3), b"0123456789");
        other.producer.publish();
        let at = find(4).expect("the tail: two words of head, two of bytes");
        let before = memory[at].load(Ordering::Relaxed);
        memory[at].store(17, Ordering::Relaxed);
        let lie = take_all(&mut Inbox::default(), &mut one.consumer).expect_err("a lie");
        assert!(lie.0.contains("more than a ring"), "{lie:?}");

        memory[at].store(before, Ordering::Relaxed);
        let (mut one, _) = sides(&memory);
        let head = find((10 << 32) | Kind::Done as u64).expect("the frame");
        memory[head].store((17 << 32) | Kind::Done as u64, Ordering::Relaxed);
        let lie = take_all(&mut Inbox::default(), &mut one.consumer).expect_err("a lie");
        assert!(lie.0.contains("longer than what is there"), "{lie:?}");
    }

    #[test]
    fn messages_that_cannot_be_are_lies() {
        let lie = |frames: &[(u32, u64)]| {
            let memory = memory(16);
            let (mut one, mut other) = sides(&memory);
            frames.iter().for_each(|meaning| other.producer.write(*meaning, b"x"));
            other.producer.publish();
            take_all(&mut Inbox::default(), &mut one.consumer).expect_err("a lie").0
        };
        assert!(lie(&[(0, 0)]).contains("no known kind"));
        assert!(lie(&[(7, 0)]).contains("no known kind"));
        assert!(lie(&[(1 | 1 << 9, 0)]).contains("no known kind"));
        assert!(lie(&[(1, MOST_CALLS as u64)]).contains("a number that is none"));
        assert!(lie(&[(1, u64::MAX)]).contains("a number that is none"));
        assert!(lie(&[(1 | MORE, 5), (1, 6)]).contains("within another"));
        assert!(lie(&[(1 | MORE, 5), (3, 5)]).contains("within another"));
    }

    #[test]
    fn a_message_that_never_ends_is_a_lie_before_it_fills_the_memory() {
        let memory = memory(1 << 15);
        let (mut one, mut other) = sides(&memory);
        let (mut inbox, part) = (Inbox::default(), vec![0; 1 << 17]);
        let lie = (0..1000).find_map(|_| {
            other.producer.write((Kind::Call as u32 | MORE, 1), &part);
            other.producer.publish();
            take_all(&mut inbox, &mut one.consumer).err()
        });
        assert_eq!(lie, Some(Lie("a message that is too long")));
        assert!(inbox.bytes.capacity() <= 4 * MOST_BYTES);
    }

    #[test]
    fn memory_of_another_layout_is_refused() {
        let memory = memory(16);
        assert!(ends(&memory, 2).is_err());
        memory[0].fetch_add(1, Ordering::Relaxed);
        assert!(ends(&memory, 0).expect_err("a lie").0.contains("another build"));
        let odd: Memory = Arc::new((0..size(16) + 1).map(|_| AtomicU64::new(0)).collect());
        assert!(ends(&odd, 0).is_err());
        let small: Memory = Arc::new(vec![]);
        assert!(ends(&small, 0).is_err());
    }
}
