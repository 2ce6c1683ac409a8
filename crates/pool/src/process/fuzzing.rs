//! What `cargo xtask fuzz` feeds with bytes: frames as they come in from a socket, records of a
//! chunk, the notes of a program. Each target panics if something is wrong; its seeds are the files
//! of the folder `fuzz/TARGET` of this crate, which the tests here run too.

use std::collections::VecDeque;

use super::codec::{self, Tag};
use super::image::gnu_build_id;
use super::ring::{self, Reader, Ring};
use super::spawn::Hello;
use super::wire::{Garbled, HEADER, Header, Inbox, Kind, MAX_PAYLOAD};

/// Something that can be fed, and its name.
pub type Target = (&'static str, fn(&[u8]));

/// What can be fed.
pub const TARGETS: &[Target] =
    &[("frames", frames), ("notes", notes), ("records", records), ("rings", rings)];

/// A frame as the description has it, or why there is none.
#[derive(Debug, PartialEq)]
enum Step {
    Frame(Header, Vec<u8>),
    Garbled,
    NeedsMore,
}

/// Frames are the same however they are cut, and come as soon as they are whole; garbage is refused
/// as soon as there is a header of it; memory grows with what has come, and not with what a header
/// says.
fn frames(bytes: &[u8]) {
    let Some((cuts, stream)) = bytes.split_first_chunk::<4>() else { return };
    let stream = unfold(stream);
    let (mut inbox, mut fed, mut place) = (Inbox::default(), 0, 0);
    let mut cuts = cuts.iter().cycle().map(|cut| usize::from(*cut).pow(2) / 4 + 1);
    loop {
        let expected = expected(&stream[place..fed]);
        let got = match inbox.next() {
            Ok(Some((header, payload))) => Step::Frame(header, payload.to_vec()),
            Ok(None) => Step::NeedsMore,
            Err(Garbled) => Step::Garbled,
        };
        assert_eq!(got, expected, "at {place} of {fed}");
        match got {
            Step::Frame(_, payload) => place += HEADER + payload.len(),
            Step::Garbled => return,
            Step::NeedsMore if fed == stream.len() => return,
            Step::NeedsMore => {
                let room = inbox.room();
                assert!(!room.is_empty() && room.len() <= 2 * (fed + 16 * 1024), "{}", room.len());
                let cut = cuts.next().expect("they are cyclic");
                let count = cut.min(room.len()).min(stream.len() - fed);
                room[..count].copy_from_slice(&stream[fed..fed + count]);
                inbox.received(count);
                fed += count;
            }
        }
    }
}

/// Makes long streams of short inputs: a byte 255 stands for many zeroes.
fn unfold(bytes: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::new();
    let mut bytes: VecDeque<u8> = bytes.iter().copied().collect();
    while let Some(byte) = bytes.pop_front() {
        match byte {
            255 => {
                let count = usize::from(bytes.pop_front().unwrap_or(0)) * 100;
                unfolded.resize(unfolded.len() + count, 0);
            }
            byte => unfolded.push(byte),
        }
    }
    unfolded
}

/// The table in `wire.rs`, once more.
fn expected(bytes: &[u8]) -> Step {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() else { return Step::NeedsMore };
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let length = number(0) as u32;
    let kinds = [
        Kind::Hello,
        Kind::Call,
        Kind::Stop,
        Kind::Name,
        Kind::Look,
        Kind::Follows,
        Kind::Ready,
        Kind::Unfit,
        Kind::Done,
        Kind::Panicked,
        Kind::ArgumentsRefused,
        Kind::ResultRefused,
        Kind::Skipped,
        Kind::Partial,
    ];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == head[4]);
    match kind.filter(|_| head[6..8] == [0; 2] && length as usize <= MAX_PAYLOAD) {
        None => Step::Garbled,
        Some(kind) => match rest.get(..length as usize) {
            None => Step::NeedsMore,
            Some(payload) => {
                let (ticket, value) = (number(8), number(16));
                let header = Header { len: length, kind, fds: head[5], ticket, value };
                Step::Frame(header, payload.to_vec())
            }
        },
    }
}

/// Records are what they were written as, up to the first that is none; and whatever a worker says
/// instead of a result is a result or an error.
fn records(bytes: &[u8]) {
    let mut again = Vec::new();
    let mut last = None;
    for (tag, record) in codec::records(bytes) {
        codec::append_record(&mut again, tag, |out| {
            out.extend_from_slice(record);
            Ok(tag)
        });
        drop(codec::error_of("task", tag, record));
        last = Some(record);
    }
    assert!(bytes.starts_with(&again), "other records than there are");
    if let Some((head, rest)) = bytes[again.len()..].split_first_chunk::<5>() {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let whole = head[0] <= Tag::Lost as u8 && length <= rest.len();
        assert!(!whole, "a whole record at {} was passed over", again.len());
    }
    let chunk = codec::chunk_of_results::<(u64, String)>("task", bytes);
    assert_eq!(chunk.is_ok(), bytes.len() >= 8);
    if let Ok((number, text)) = codec::read::<(u64, String)>(last.unwrap_or(bytes)) {
        let mut written = Vec::new();
        codec::append(&(number, &text), &mut written).expect("it is small");
        assert_eq!(codec::read(&written), Ok((number, text)));
    }
    // How a parent introduces itself.
    drop(postcard::from_bytes::<Hello>(bytes));
}

/// What a worker gone mad has left on its ring: each frame is the one that is there, and the first
/// thing that cannot be one ends it.
fn rings(bytes: &[u8]) {
    const WORDS: u64 = 64;
    let Some((tail, rest)) = bytes.split_first_chunk::<8>() else { return };
    let ring = Ring::<{ WORDS as usize }>::new();
    let memory: Vec<u8> =
        rest.iter().copied().chain(std::iter::repeat(0)).take(WORDS as usize * 8).collect();
    let words = memory.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    let tail = u64::from_le_bytes(*tail);
    ring.scribble(tail, words);
    let (mut reader, mut payload, mut at) = (Reader::default(), Vec::new(), 0);
    loop {
        let place = at as usize * 8;
        let left = tail.wrapping_sub(at);
        let expected = match expected(&memory[place.min(memory.len())..]) {
            _ if left == 0 => Step::NeedsMore,
            _ if !(3..=WORDS).contains(&left) => Step::Garbled,
            Step::Frame(_, payload) if ring::words_of(payload.len()) as u64 > left => Step::Garbled,
            Step::NeedsMore => Step::Garbled,
            step => step,
        };
        let got = match reader.pop(&ring, &mut payload) {
            Ok(Some(header)) => Step::Frame(header, payload.clone()),
            Ok(None) => Step::NeedsMore,
            Err(Garbled) => Step::Garbled,
        };
        assert_eq!(got, expected, "at word {at} of {tail}");
        match got {
            Step::Frame(_, payload) => at += ring::words_of(payload.len()) as u64,
            Step::Garbled | Step::NeedsMore => return,
        }
    }
}

/// Notes that a linker has written, or nobody: a build id is a part of them.
fn notes(bytes: &[u8]) {
    if let Some(id) = gnu_build_id(bytes) {
        let at = id.as_ptr().addr() - bytes.as_ptr().addr();
        assert!(!id.is_empty() && at >= 16 && at + id.len() <= bytes.len());
        assert_eq!(at % 4, 0, "values are aligned to four bytes");
        assert_eq!(bytes[at - 4..at], *b"GNU\0");
        assert_eq!(gnu_build_id(&bytes[..at + id.len()]), Some(id), "what is behind it changes it");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_of_every_target() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name);
            let mut count = 0;
            for file in fs::read_dir(&folder).expect("it has seeds") {
                let path = file.expect("readable").path();
                println!("{}", path.display());
                let seed = fs::read(&path).expect("readable");
                target(&seed);
                // Cut off anywhere, and with any byte changed a little.
                for at in 0..seed.len().min(300) {
                    target(&seed[..at]);
                    let mut changed = seed.clone();
                    changed[at] ^= 1 << (at % 8);
                    target(&changed);
                }
                count += 1;
            }
            assert!(count > 0, "{} is empty", folder.display());
        }
    }
}
