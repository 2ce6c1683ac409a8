//! The ring between two processes: words in memory that both have mapped, and the bell that wakes
//! who sleeps. What the words say is in `link/frame.rs`, who sleeps and rings in `link/serve.rs`.
//!
//! The rings of the mesh in one process ([`spsc`](crate::spsc)) move values and trust each other.
//! Here values would be pointers into another process, and that process may be broken: so
//! everything is a word, **read once**, and checked before it is used.
//!
//! # Layout
//!
//! A line says what this is (a number for the layout, the size of a ring). Then lines of their own
//! for the counters of both rings, for what each side wants and how loaded it is, and for its bell;
//! then the words of both rings. Ring 0 goes from side 0 to side 1. All words are atomics, for
//! which every bit pattern is valid; so whatever the other process does at any moment, there is no
//! race, only a value that is right or not.
//!
//! # Protocol of a ring
//!
//! That of `spsc.rs`: `tail` counts words put in and `head` words taken out, both for ever. The
//! producer alone writes `tail`, with Release and after the words below it; the consumer alone
//! writes `head`, with Release and after it has read the words below it. Each loads the other's
//! with Acquire. The words themselves are Relaxed.
//!
//! A message here is a *frame*: two words of head, of which the first has the length in bytes in
//! its upper half, then the bytes. A frame is published whole. So a `tail` that is more than a ring
//! ahead of `head`, or a frame that is longer than what was published, is a [`Lie`]: nothing from
//! that side is believed any more, and the connection ends. Nothing is ever indexed by what the
//! other side wrote: positions are counted here, and masked.
//!
//! # Protocol of the bell
//!
//! Each side has a word that says how it sleeps, or that it is awake. To sleep: arm (a swap),
//! **then** look at everything once more ([`Bell::arm_unless`]), then wait in the kernel for as
//! long as the word is what was put there (futex(2)). To wake: publish, **then** [`Bell::ring`] (a
//! swap to "awake"); if somebody slept, wake him as the word said. Both are read-modify-writes
//! (AcqRel) of one word, so one comes first. If the ring comes first, the arming acquires what was
//! published before it, and the second look finds it. If the arming comes first, the ring sees it
//! and wakes; and if the sleeper is not yet in the kernel then, the kernel finds that the word has
//! changed. Getting up ([`Bell::disarm`]) is a swap as well: a mere store could cover a ring, and
//! what had been published before that ring would not be acquired by the next arming.
//!
//! *Room* is told the same way: a producer that finds the ring full says so in its word `wants` (a
//! swap) and looks at `head` once more; a consumer that has stored `head` takes the word away (a
//! swap), and rings if it was set.
//!
//! A side that lies about its bell, by never ringing or by waking others for nothing, delays its
//! own messages; those wakes are counted (`serve.rs`).

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a line: two of the processor's, which fetches them in pairs. (A model has no caches.)
#[cfg(not(loom))]
const LINE: usize = 16;
#[cfg(loom)]
const LINE: usize = 3;

/// What the first word says: `shard` and the number of this layout.
const MAGIC: u64 = 0x7368_6172_6400_0001;

/// The lines: one for both, then these for each side.
const TAIL: usize = 0;
const HEAD: usize = 1;
const WANTS: usize = 2;
const LOAD: usize = 3;
const BELL: usize = 4;
const LINES: usize = 5;

/// Words before the rings.
const HEADER: usize = (1 + 2 * LINES) * LINE;
/// Words that a frame has besides its bytes.
pub(crate) const FRAME: usize = 2;

/// How a side that sleeps is woken.
pub(crate) const AWAKE: u64 = 0;
pub(crate) const BY_FUTEX: u64 = 1;
pub(crate) const BY_SOCKET: u64 = 2;

/// Memory that two processes share.
pub(crate) trait Words: Clone {
    fn words(&self) -> &[AtomicU64];
}

/// The other side has written what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lie(pub(crate) &'static str);

/// How many words two rings of this size take.
pub(crate) const fn size(ring: usize) -> usize {
    HEADER + 2 * ring
}

/// Says what the memory is, before anybody else has it.
pub(crate) fn prepare(words: &[AtomicU64], ring: usize) {
    debug_assert!(ring.is_power_of_two() && words.len() == size(ring));
    words[0].store(MAGIC, Ordering::Relaxed);
    words[1].store(ring as u64, Ordering::Relaxed);
}

/// One side's parts.
#[derive(Debug)]
pub(crate) struct Ends<M> {
    pub(crate) producer: Producer<M>,
    pub(crate) consumer: Consumer<M>,
    pub(crate) bell: Bell<M>,
}

/// The parts of a side (0 or 1), each of which is to be had once. The memory may be of another
/// build: a layout that is not ours is refused.
pub(crate) fn ends<M: Words>(memory: &M, side: usize) -> Result<Ends<M>, Lie> {
    let words = memory.words();
    let ring = words.len().checked_sub(HEADER).map_or(0, |both| both / 2);
    let told = |at: usize| words[at].load(Ordering::Relaxed);
    if !ring.is_power_of_two() || words.len() != size(ring) || side > 1 {
        return Err(Lie("memory of a size that no ring has"));
    }
    if (told(0), told(1)) != (MAGIC, ring as u64) {
        return Err(Lie("memory that is laid out in another way: by another build?"));
    }
    // What lies there already counts: a side comes to a ring that the other has used before.
    let at = |side, what| words[line(side, what)].load(Ordering::Acquire);
    let (tail, head, head_seen) = (at(side, TAIL), at(side, HEAD), at(1 - side, HEAD));
    let part = |side| Part { memory: memory.clone(), side, ring };
    Ok(Ends {
        producer: Producer { part: part(side), tail, head_seen },
        consumer: Consumer { part: part(1 - side), head, tail_seen: head },
        bell: Bell { memory: memory.clone(), side },
    })
}

/// Where a line of a side begins. Ring `side` goes away from that side; its `HEAD` is written by
/// the other.
const fn line(side: usize, what: usize) -> usize {
    (1 + side * LINES + what) * LINE
}

/// One of the two rings.
#[derive(Debug)]
struct Part<M> {
    memory: M,
    /// The side it goes away from.
    side: usize,
    ring: usize,
}

impl<M: Words> Part<M> {
    fn counter(&self, what: usize) -> &AtomicU64 {
        let at = match what {
            HEAD => line(1 - self.side, HEAD),
            other => line(self.side, other),
        };
        &self.memory.words()[at]
    }

    /// The word at a position, wherever that is.
    fn word(&self, position: u64) -> &AtomicU64 {
        let at = position as usize & (self.ring - 1);
        &self.memory.words()[HEADER + self.side * self.ring + at]
    }

    /// How far `tail` is ahead, if that can be.
    fn ahead(&self, tail: u64, head: u64) -> Result<usize, Lie> {
        let ahead = tail.wrapping_sub(head);
        if ahead > self.ring as u64 && !mutant!("counters-are-believed") {
            return Err(Lie("a counter that is more than a ring away"));
        }
        Ok(ahead as usize)
    }
}

/// The end that puts in.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    part: Part<M>,
    /// The real `tail`, but for what is not published.
    tail: u64,
    /// `head` as last seen.
    head_seen: u64,
}

impl<M: Words> Producer<M> {
    /// How many words fit in, by a fresh look unless what was seen before is `enough`.
    pub(crate) fn room(&mut self, enough: usize) -> Result<usize, Lie> {
        let ring = self.part.ring;
        let room = ring - self.part.ahead(self.tail, self.head_seen)?;
        if room >= enough {
            return Ok(room);
        }
        self.head_seen = self.part.counter(HEAD).load(Ordering::Acquire);
        Ok(ring - self.part.ahead(self.tail, self.head_seen)?)
    }

    /// The words of a whole ring.
    pub(crate) fn ring(&self) -> usize {
        self.part.ring
    }

    /// Writes a frame, for which there is [`room`](Self::room), without publishing it. `meaning` is
    /// the lower half of the first word, and the second word.
    pub(crate) fn write(&mut self, meaning: (u32, u64), bytes: &[u8]) {
        debug_assert!(FRAME + bytes.len().div_ceil(8) <= self.part.ring);
        let mut put = |word: u64| {
            self.part.word(self.tail).store(word, Ordering::Relaxed);
            self.tail = self.tail.wrapping_add(1);
        };
        put((bytes.len() as u64) << 32 | u64::from(meaning.0));
        put(meaning.1);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            put(u64::from_le_bytes(word));
        }
    }

    /// Shows what was written. Ring the bell afterwards.
    pub(crate) fn publish(&mut self) {
        self.part.counter(TAIL).store(self.tail, Ordering::Release);
    }

    /// Asks to be rung when there is room. Look for [`room`](Self::room) once more after it.
    pub(crate) fn want_room(&mut self) {
        self.part.counter(WANTS).swap(1, Ordering::AcqRel);
        self.head_seen = self.part.counter(HEAD).load(Ordering::Acquire);
    }
}

/// The end that takes out.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    part: Part<M>,
    /// The real `head`, but for what was not given back.
    head: u64,
    /// `tail` as last seen.
    tail_seen: u64,
}

impl<M: Words> Consumer<M> {
    /// How many words are there, if the memory says none then by a fresh look.
    fn filled(&mut self) -> Result<usize, Lie> {
        if self.tail_seen == self.head {
            self.tail_seen = self.part.counter(TAIL).load(Ordering::Acquire);
        }
        self.part.ahead(self.tail_seen, self.head)
    }

    pub(crate) fn is_empty(&mut self) -> Result<bool, Lie> {
        Ok(self.filled()? == 0)
    }

    /// Takes a frame: its bytes are put behind what is in `into`. `None`: there is none.
    pub(crate) fn next(&mut self, into: &mut Vec<u8>) -> Result<Option<(u32, u64)>, Lie> {
        let filled = self.filled()?;
        if filled == 0 {
            return Ok(None);
        }
        if filled < FRAME {
            return Err(Lie("a frame without its head"));
        }
        let word = |at: u64| self.part.word(self.head.wrapping_add(at)).load(Ordering::Relaxed);
        let (first, second) = (word(0), word(1));
        let length = (first >> 32) as usize;
        let words = FRAME + length.div_ceil(8);
        if words > filled && !mutant!("lengths-are-believed") {
            return Err(Lie("a frame that is longer than what is there"));
        }
        into.reserve(length.next_multiple_of(8));
        for at in FRAME..words {
            into.extend_from_slice(&word(at as u64).to_le_bytes());
        }
        into.truncate(into.len() - (length.next_multiple_of(8) - length));
        self.head = self.head.wrapping_add(words as u64);
        Ok(Some((first as u32, second)))
    }

    /// Gives back the room of what was taken. `true`: the producer waits for it, ring the bell.
    pub(crate) fn give_back(&mut self) -> bool {
        self.part.counter(HEAD).store(self.head, Ordering::Release);
        self.part.counter(WANTS).swap(0, Ordering::AcqRel) != 0
    }
}

/// Where a side sleeps, how it wakes the other, and what each tells of its load.
#[derive(Clone, Debug)]
pub(crate) struct Bell<M> {
    memory: M,
    side: usize,
}

impl<M: Words> Bell<M> {
    fn of(&self, side: usize, what: usize, at: usize) -> &AtomicU64 {
        &self.memory.words()[line(side, what) + at]
    }

    /// Says that this side sleeps, and how it is woken; unless `look` finds something after that.
    /// `true`: wait, then [`disarm`](Self::disarm).
    pub(crate) fn arm_unless(
        &self,
        how: u64,
        look: impl FnOnce() -> Result<bool, Lie>,
    ) -> Result<bool, Lie> {
        self.arm(how);
        let found = !mutant!("no-look-after-arming-elsewhere") && look()?;
        if found {
            self.disarm();
        }
        Ok(!found)
    }

    fn arm(&self, how: u64) {
        self.of(self.side, BELL, 0).swap(how, Ordering::AcqRel);
    }

    /// Says that it is awake.
    pub(crate) fn disarm(&self) {
        let word = self.of(self.side, BELL, 0);
        if mutant!("a-sleeper-that-only-stores") {
            return word.store(AWAKE, Ordering::Relaxed);
        }
        word.swap(AWAKE, Ordering::AcqRel);
    }

    /// To be called after something was published. How the other side must be woken, if it sleeps.
    pub(crate) fn ring(&self) -> u64 {
        let word = self.of(1 - self.side, BELL, 0);
        if mutant!("a-bell-that-only-looks") {
            return word.load(Ordering::Acquire);
        }
        word.swap(AWAKE, Ordering::AcqRel)
    }

    /// Where the word of this side, or of the other, is in the memory.
    pub(crate) fn place(&self, own: bool) -> usize {
        line(if own { self.side } else { 1 - self.side }, BELL)
    }

    /// Whether the word still says that this side sleeps so.
    #[cfg(all(test, loom))]
    pub(crate) fn sleeps(&self, how: u64) -> bool {
        self.of(self.side, BELL, 0).load(Ordering::Acquire) == how
    }

    /// Tells the other side how loaded this one is, how many connections it has taken from it, and
    /// for which listeners it takes more. These are hints: nothing else is read by what they say.
    pub(crate) fn tell_load(&self, load: u64, taken: u64, open: u64) {
        for (at, word) in [load, taken, open].into_iter().enumerate() {
            self.of(self.side, LOAD, at).store(word, Ordering::Relaxed);
        }
    }

    /// What the other side tells.
    pub(crate) fn load(&self) -> [u64; 3] {
        [0, 1, 2].map(|at| self.of(1 - self.side, LOAD, at).load(Ordering::Relaxed))
    }
}
