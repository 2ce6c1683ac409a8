//! Frames between parent and worker: pure, no I/O. Small ones go by the rings of the worker's page,
//! larger ones too if there is room to spare, all others by its socket.
//!
//! A frame is a header of 24 bytes, little endian, and a payload:
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..4 | length of the payload | at most [`MAX_PAYLOAD`] |
//! | 4 | kind | [`Kind`] |
//! | 5 | descriptors | how many came along, with the first byte of the frame or before |
//! | 6..8 | zero | |
//! | 8..16 | ticket | which call, counted per worker; 0 outside calls |
//! | 16..24 | value | `Call`: offset and [`TIMED`]; `Partial`: items; `Hello`, `Ready`: version |

use std::fmt;
use std::ops::Range;

/// Bytes of a header.
pub(crate) const HEADER: usize = 24;
/// Largest arguments or result, in bytes: a sane bound to check, not a memory limit.
pub(crate) const MAX_PAYLOAD: usize = 1 << 30;

/// What to say of so many bytes, which are more than [`MAX_PAYLOAD`].
pub(crate) fn too_large(bytes: usize) -> String {
    format!(
        "it takes {bytes} bytes, more than the limit of {MAX_PAYLOAD}: a SharedBuf can hold as \
         many as there is memory for, and is not copied"
    )
}

/// First word of the handshake: "uPool" and the version of this protocol.
pub(crate) const GREETING: u64 = u64::from_le_bytes(*b"uPool\0\0\x04");
/// The most payload, in bytes, that a ring has room for at any time.
pub(crate) const INLINE: usize = 480;
/// The most payload, in bytes, that goes by a ring if that has room to spare.
pub(crate) const ROOMY: usize = 32 * 1024;
/// Added to a function's offset: its items' times are to be noted.
pub(crate) const TIMED: u64 = 1 << 63;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// To the worker, first: who the parent is. Payload: `Hello`.
    Hello = 1,
    /// To the worker: run a function. Payload: its arguments.
    Call = 2,
    /// To the worker: no more calls; exit.
    Stop = 3,
    /// From the worker, on the socket: there is something on the ring. To be passed over.
    Look = 8,
    /// On the ring, both ways: the next frame, of this ticket, comes by the socket.
    Follows = 9,
    /// To the worker: the name of the call that comes next. Payload: text.
    Name = 4,
    /// From the worker, first: handshake and initialiser went well.
    Ready = 16,
    /// From the worker, instead of `Ready`: why it cannot work. Payload: text.
    Unfit = 17,
    /// The call's result. Payload: the result.
    Done = 18,
    /// The call panicked. Payload: `Panic`.
    Panicked = 19,
    /// The arguments could not be decoded. Payload: text.
    ArgumentsRefused = 20,
    /// The result could not be encoded. Payload: text.
    ResultRefused = 21,
    /// The call was taken back before the worker started it.
    Skipped = 22,
    /// The results of some items of the chunk that is running, so far. Value: of how many items
    /// from the first one on all results have been sent.
    Partial = 23,
}

impl Kind {
    /// Whether this ends a call.
    pub(crate) fn is_answer(self) -> bool {
        (Kind::Done as u8..=Kind::Skipped as u8).contains(&(self as u8))
    }

    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Hello,
            2 => Kind::Call,
            3 => Kind::Stop,
            4 => Kind::Name,
            8 => Kind::Look,
            9 => Kind::Follows,
            16 => Kind::Ready,
            17 => Kind::Unfit,
            18 => Kind::Done,
            19 => Kind::Panicked,
            20 => Kind::ArgumentsRefused,
            21 => Kind::ResultRefused,
            22 => Kind::Skipped,
            23 => Kind::Partial,
            _ => return None,
        })
    }
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) kind: Kind,
    pub(crate) fds: u8,
    pub(crate) ticket: u64,
    pub(crate) value: u64,
}

impl Header {
    /// A header for `payload` bytes.
    ///
    /// # Panics
    ///
    /// If they are more than [`MAX_PAYLOAD`]: to be checked where the payload is made.
    pub(crate) fn new(kind: Kind, ticket: u64, value: u64, payload: usize) -> Header {
        assert!(payload <= MAX_PAYLOAD, "a payload's size is checked when it is encoded");
        Header { len: payload as u32, kind, fds: 0, ticket, value }
    }

    /// With so many descriptors beside it.
    pub(crate) fn with_fds(self, fds: usize) -> Header {
        let fds = u8::try_from(fds).expect("their number is checked when they are collected");
        Header { fds, ..self }
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.fds;
        bytes[8..16].copy_from_slice(&self.ticket.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER]) -> Result<Header, Garbled> {
        let word = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a header"))
        };
        let len = (word(0) & 0xffff_ffff) as u32;
        let kind = Kind::from_byte(bytes[4]);
        match kind {
            Some(kind) if bytes[6..8] == [0; 2] && len as usize <= MAX_PAYLOAD => {
                Ok(Header { len, kind, fds: bytes[5], ticket: word(8), value: word(16) })
            }
            _ => Err(Garbled),
        }
    }
}

/// What came is not a frame: the other side is broken, or is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes that are not a frame of the pool's protocol")
    }
}

/// Bytes as they came in, cut into frames.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Bytes of complete frames already handed out.
    taken: usize,
    /// Bytes received; behind them is room.
    filled: usize,
    /// Where the payload handed out last lies.
    last: Range<usize>,
}

impl Inbox {
    const ROOM: usize = 16 * 1024;

    /// The payload of the frame that was handed out last; until `room` is called.
    pub(crate) fn last(&self) -> &[u8] {
        &self.bytes[self.last.clone()]
    }

    /// Room to receive into. Grows to what the frame under way needs, in steps: a header alone
    /// does not make it reserve a gigabyte.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.taken > 0 {
            self.bytes.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        if self.filled == 0 && self.bytes.len() > 64 * Self::ROOM {
            self.bytes = Vec::new();
        }
        let wanted = self.filled + Self::ROOM.max(self.missing().min(self.filled));
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Notes that `count` bytes of the room were filled.
    pub(crate) fn received(&mut self, count: usize) {
        self.filled += count;
        debug_assert!(self.filled <= self.bytes.len());
    }

    /// The next complete frame.
    pub(crate) fn next(&mut self) -> Result<Option<(Header, &[u8])>, Garbled> {
        let Some(header) = self.header()? else { return Ok(None) };
        let start = self.taken + HEADER;
        let end = start + header.len as usize;
        if end > self.filled {
            return Ok(None);
        }
        self.taken = end;
        self.last = start..end;
        Ok(Some((header, &self.bytes[start..end])))
    }

    fn header(&self) -> Result<Option<Header>, Garbled> {
        match self.bytes[self.taken..self.filled].first_chunk::<HEADER>() {
            Some(bytes) => Header::from_bytes(bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes the frame under way still lacks.
    fn missing(&self) -> usize {
        match self.header() {
            Ok(Some(header)) => (HEADER + header.len as usize).saturating_sub(self.filled),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Call), Just(Kind::Done), Just(Kind::Skipped), Just(Kind::Stop)]
    }

    fn drain(inbox: &mut Inbox, out: &mut Vec<(Header, Vec<u8>)>) {
        while let Some((header, payload)) = inbox.next().unwrap() {
            out.push((header, payload.to_vec()));
        }
    }

    proptest! {
        // Each case moves up to 200 kB byte by byte: fewer cases than usual say as much.
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec(
                (kinds(), any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..40_000)),
                0..6,
            ),
            cuts in prop::collection::vec(1usize..20_000, 1..40),
        ) {
            let mut stream = Vec::new();
            let mut sent = Vec::new();
            for (kind, ticket, value, payload) in frames {
                let header = Header::new(kind, ticket, value, payload.len());
                stream.extend_from_slice(&header.to_bytes());
                stream.extend_from_slice(&payload);
                sent.push((header, payload));
            }
            let (mut inbox, mut got) = (Inbox::default(), Vec::new());
            let mut cuts = cuts.iter().cycle();
            let mut rest = stream.as_slice();
            while !rest.is_empty() {
                let room = inbox.room();
                let count = rest.len().min(room.len()).min(*cuts.next().unwrap());
                room[..count].copy_from_slice(&rest[..count]);
                inbox.received(count);
                rest = &rest[count..];
                drain(&mut inbox, &mut got);
            }
            prop_assert_eq!(got, sent);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_refused(bytes in any::<[u8; HEADER]>()) {
            if let Ok(header) = Header::from_bytes(&bytes) {
                prop_assert_eq!(header.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused() {
        let mut bytes = Header::new(Kind::Call, 1, 2, 0).to_bytes();
        bytes[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Header::from_bytes(&bytes), Err(Garbled));
    }
}
