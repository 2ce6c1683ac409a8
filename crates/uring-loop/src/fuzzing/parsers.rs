//! What is read in one go: addresses that somebody typed, and what the kernel lays out in buffers.

use super::bytes::Bytes;
use crate::driver::recv_datagrams::{self, Room};
use crate::net::ToAddress as _;
use crate::ops::control::{self, Control};
use crate::sys::socket;

/// Text is an address, a name, or refused; and what it is shown as means the same.
pub(super) fn addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.as_ref().to_target() {
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput),
        Ok(target) => {
            let shown = target.to_string();
            let again = shown.as_str().to_target().expect("it was an address");
            assert_eq!(format!("{again:?}"), format!("{target:?}"), "shown as {shown:?}");
        }
    }
}

/// Bytes of a header of cmsg(3): the length with the header's own, the level, the type.
const HEADER: usize = 16;

/// Headers follow each other in order, each with its whole data, up to the first that is cut off.
pub(super) fn control_data(bytes: &[u8]) {
    let mut at = 0;
    for (level, kind, data) in control::headers(bytes) {
        let header = &bytes[at..at + HEADER];
        assert_eq!(header[..8], (HEADER + data.len()).to_ne_bytes(), "its length");
        assert_eq!(header[8..], [level.to_ne_bytes(), kind.to_ne_bytes()].concat());
        assert_eq!(&bytes[at + HEADER..at + HEADER + data.len()], data);
        at += HEADER + data.len().next_multiple_of(8);
    }
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(length) = rest.first_chunk() {
        let length = usize::from_ne_bytes(*length);
        let whole = (HEADER..=rest.len()).contains(&length);
        assert!(!whole, "a whole header at {at} was passed over");
    }
    // What we write ourselves, we can read.
    let numbers: Vec<i32> = bytes.iter().take(253).map(|byte| i32::from(*byte)).collect();
    let written = Control::descriptors(numbers.iter().copied()).bytes(usize::MAX);
    let mut read = control::headers(&written);
    let (_, _, data) = read.next().expect("one header");
    assert_eq!(data, numbers.iter().flat_map(|n| n.to_ne_bytes()).collect::<Vec<u8>>());
    assert!(read.next().is_none());
}

/// A buffer of a multishot receive, however the kernel has filled it: nothing is read but what lies
/// where the layout says, and the payload is what is behind the room for the rest.
pub(super) fn datagrams(bytes: &[u8]) {
    let mut input = Bytes::new(bytes);
    let room = Room { name: input.pick(&[0, 16, 28, 110, 128]), joined: input.flag() };
    let buffer = input.take(usize::MAX);
    let parts = recv_datagrams::split(buffer, room);
    let number = |at: usize| {
        let four = buffer.get(4 * at..4 * at + 4).map(|four| four.try_into().expect("four bytes"));
        four.map_or(0, u32::from_ne_bytes) as usize
    };
    assert_eq!(parts.length, number(2), "how long it was when it was sent");
    let (names, controls) = (16, 16 + usize::from(room.name));
    let name = buffer.get(names..names + number(0).min(usize::from(room.name)));
    assert_eq!(parts.name, name.unwrap_or_default());
    if !parts.name.is_empty() {
        let name = recv_datagrams::sock_addr(parts.name);
        drop((socket::inet(name.clone()), socket::unix_name(name)));
    }
    let control_room = if room.joined { HEADER + 4 } else { 0 };
    let control = buffer.get(controls..controls + number(1).min(control_room));
    assert_eq!(parts.control, control.unwrap_or_default());
    assert_eq!(parts.payload, (controls + control_room).min(buffer.len()));
}
