//! Control data of a message (cmsg(3)): descriptors that are passed, sizes of segments.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// `struct cmsghdr`: a length, a level and a type; the data begins behind it.
const HEADER: usize = size_of::<libc::cmsghdr>();
const WORD: usize = size_of::<usize>();

/// Descriptors that one message may carry (`SCM_MAX_FD`).
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// Room for control data, or control data to be sent. Words, since its headers are aligned so.
pub(crate) struct Control {
    words: Vec<usize>,
    /// Bytes, without the gap behind the last header's data: where the kernel has room for a gap it
    /// puts one descriptor more.
    length: usize,
}

impl Control {
    pub(crate) const NONE: Control = Control { words: Vec::new(), length: 0 };

    /// Room for the data of one header.
    pub(crate) fn room_for(length: usize) -> Self {
        Control { words: vec![0; space(length) / WORD], length: HEADER + length }
    }

    /// Room for so many descriptors.
    pub(crate) fn room_for_descriptors(count: usize) -> Self {
        if count == 0 { Self::NONE } else { Self::room_for(count * size_of::<RawFd>()) }
    }

    /// One header and its data.
    fn of(level: i32, kind: i32, data: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(space(data.len()));
        bytes.extend((HEADER + data.len()).to_ne_bytes());
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(space(data.len()), 0);
        let word = |bytes: &[u8]| usize::from_ne_bytes(bytes.try_into().expect("a whole word"));
        Control { words: bytes.chunks_exact(WORD).map(word).collect(), length: bytes.len() }
    }

    /// `SCM_RIGHTS`: these go with the message. They must stay open until it is sent.
    pub(crate) fn descriptors(descriptors: impl Iterator<Item = RawFd>) -> Self {
        let data: Vec<u8> = descriptors.flat_map(RawFd::to_ne_bytes).collect();
        Self::of(libc::SOL_SOCKET, libc::SCM_RIGHTS, &data)
    }

    /// `UDP_SEGMENT` (4.18): the payload is datagrams of so many bytes each, the last one perhaps
    /// shorter.
    pub(crate) fn segments(size: u16) -> Self {
        Self::of(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes())
    }

    /// Where it lies and how long it is, for a `struct msghdr`.
    pub(crate) fn raw(&mut self) -> (*mut libc::c_void, usize) {
        match self.length {
            0 => (std::ptr::null_mut(), 0),
            length => (self.words.as_mut_ptr().cast(), length),
        }
    }

    /// The first so many bytes.
    pub(crate) fn bytes(&self, length: usize) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_ne_bytes()).take(length).collect()
    }
}

/// What a header with so much data takes, the gap behind it included (`CMSG_SPACE`).
const fn space(length: usize) -> usize {
    HEADER + length.next_multiple_of(WORD)
}

/// The headers in received control data: level, type, data. What is cut off ends it.
pub(crate) fn headers(mut bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<WORD>()?;
        let length = usize::from_ne_bytes(*length);
        let (level, rest) = rest.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        let cut = mutant!("control-data-read-though-cut-off");
        let length = if cut { length.min(bytes.len()) } else { length };
        let data = bytes.get(HEADER..length)?;
        bytes = bytes.get(space(data.len())..).unwrap_or_default();
        Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), data))
    })
}

/// What came with a message.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The kernel has put several datagrams of this size into one (`UDP_GRO`).
    pub(crate) segment: Option<u16>,
}

impl Arrived {
    /// Reads control data. Whoever drops the answer closes the descriptors.
    ///
    /// # Safety
    ///
    /// The kernel has written it for a message just received, and it is read once: descriptors in
    /// it have no other owner.
    pub(crate) unsafe fn read(bytes: &[u8]) -> Self {
        let mut arrived = Arrived::default();
        for (level, kind, data) in headers(bytes) {
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let numbers =
                        data.as_chunks().0.iter().map(|chunk| RawFd::from_ne_bytes(*chunk));
                    // SAFETY: the kernel has opened them for this message; the rest is the
                    // caller's promise.
                    let owned = numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
                    arrived.descriptors.extend(owned);
                    if mutant!("received-descriptors-left-open") {
                        arrived.descriptors.iter().for_each(|fd| std::mem::forget(fd.try_clone()));
                    }
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = data.first_chunk().map(|chunk| i32::from_ne_bytes(*chunk));
                    arrived.segment = size.and_then(|size| u16::try_from(size).ok());
                }
                _ => {}
            }
        }
        arrived
    }
}

/// So many descriptors do not go into one message.
pub(crate) fn too_many(count: usize) -> io::Error {
    let text = format!("{count} descriptors in one message: at most {MOST_DESCRIPTORS} go");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_laid_out_as_the_kernel_has_it() {
        let mut control = Control::segments(1200);
        let (_, length) = control.raw();
        assert_eq!(length, space(2));
        let bytes = control.bytes(length);
        assert_eq!(bytes[..8], (HEADER + 2).to_ne_bytes());
        assert_eq!(bytes[8..12], libc::SOL_UDP.to_ne_bytes());
        assert_eq!(bytes[12..16], libc::UDP_SEGMENT.to_ne_bytes());
        assert_eq!(bytes[16..18], 1200u16.to_ne_bytes());
        let mut none = Control::NONE;
        assert_eq!(none.raw().1, 0);
    }

    #[test]
    fn the_size_of_joined_datagrams_is_read() {
        let control = Control::of(libc::SOL_UDP, libc::UDP_GRO, &1400i32.to_ne_bytes());
        // SAFETY: there are no descriptors in it.
        let arrived = unsafe { Arrived::read(&control.bytes(usize::MAX)) };
        assert_eq!(arrived.segment, Some(1400));
    }

    proptest! {
        #[test]
        fn headers_are_read_back_and_whatever_is_cut_off_ends_them(
            items in proptest::collection::vec(
                (any::<i32>(), any::<i32>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..4),
            cut in 0usize..64,
        ) {
            let bytes: Vec<u8> = items.iter()
                .flat_map(|(level, kind, data)| Control::of(*level, *kind, data).bytes(usize::MAX))
                .collect();
            let read: Vec<_> =
                headers(&bytes).map(|(level, kind, data)| (level, kind, data.to_vec())).collect();
            prop_assert_eq!(&read, &items);
            let short = &bytes[..bytes.len().saturating_sub(cut)];
            let fewer = headers(short).count();
            prop_assert!(fewer <= items.len());
            prop_assert!(headers(short).zip(&items).all(|(got, item)| got.2 == item.2));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            prop_assert!(headers(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }
}
