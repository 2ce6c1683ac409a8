//! Readers and writers against models: bytes in any pieces, reads of every kind in any order, some
//! of them given up; writes and drains of any size.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;

use proptest::prelude::*;
use uring_loop::io::{ByteStreamExt, MemoryStream, duplex};
use uring_loop::stream::{ReadError, StreamReader, wrap};
use uring_loop::yield_now;

use crate::support::poll_once;

#[derive(Clone, Debug)]
enum Read {
    Line,
    Until(Vec<u8>),
    Exact(usize),
    Some(usize),
    Look(usize),
    Chunk,
    End,
}

fn read() -> impl Strategy<Value = Read> {
    prop_oneof![
        3 => Just(Read::Line),
        3 => prop::collection::vec(letter(), 1..4).prop_map(Read::Until),
        2 => (0..12_usize).prop_map(Read::Exact),
        2 => (0..12_usize).prop_map(Read::Some),
        1 => (0..12_usize).prop_map(Read::Look),
        1 => Just(Read::Chunk),
        1 => Just(Read::End),
    ]
}

/// Few letters, so that separators are found, half found, and found across pieces.
fn letter() -> impl Strategy<Value = u8> {
    prop::sample::select(b"ab\n".to_vec())
}

/// What a read gave: bytes, or why not.
#[derive(Debug, PartialEq)]
enum Outcome {
    Bytes(Vec<u8>),
    Incomplete(Vec<u8>),
    Limit,
}

fn outcome(result: Result<&[u8], ReadError>) -> Outcome {
    match result {
        Ok(bytes) => Outcome::Bytes(bytes.to_vec()),
        Err(ReadError::Incomplete { partial, .. }) => Outcome::Incomplete(partial),
        Err(ReadError::Limit { .. }) => Outcome::Limit,
        Err(ReadError::Io(error)) => panic!("{error}"),
    }
}

async fn perform(reader: &mut StreamReader, read: &Read) -> Outcome {
    match read {
        Read::Line => outcome(reader.read_line().await),
        Read::Until(separator) => outcome(reader.read_until(separator).await),
        Read::Exact(count) => outcome(reader.read_exact(*count).await),
        Read::Some(most) => Outcome::Bytes(reader.read(*most).await.expect("open").to_vec()),
        Read::Look(most) => {
            let seen = reader.fill_buf().await.expect("open");
            let taken = seen[..seen.len().min(*most)].to_vec();
            reader.consume(taken.len());
            Outcome::Bytes(taken)
        }
        Read::Chunk => {
            let chunk = reader.read_buffer().await.expect("open");
            Outcome::Bytes(chunk.map_or(Vec::new(), |chunk| chunk.to_vec()))
        }
        Read::End => Outcome::Bytes(reader.read_to_end().await.expect("open")),
    }
}

/// What the read must give, of the bytes that are left of the whole stream, and how many it takes.
/// `None`: a part of what there is, as it comes.
fn expected(read: &Read, left: &[u8], limit: usize) -> Option<(Outcome, usize)> {
    let bytes = |count: usize| (Outcome::Bytes(left[..count].to_vec()), count);
    let find =
        |separator: &[u8]| left.windows(separator.len()).position(|window| window == separator);
    Some(match read {
        Read::Line => bytes(find(b"\n").map_or(left.len(), |at| at + 1)),
        Read::Until(separator) => match find(separator) {
            Some(at) if at > limit => (Outcome::Limit, 0),
            Some(at) => bytes(at + separator.len()),
            None if (left.len() + 1).saturating_sub(separator.len()) > limit => (Outcome::Limit, 0),
            None => (Outcome::Incomplete(left.to_vec()), left.len()),
        },
        Read::Exact(count) if *count > left.len() => {
            (Outcome::Incomplete(left.to_vec()), left.len())
        }
        Read::Exact(count) => bytes(*count),
        Read::End => bytes(left.len()),
        Read::Some(_) | Read::Look(_) | Read::Chunk => return None,
    })
}

/// Polls the future and sends a piece now and then until it is ready, or is given up.
async fn drive<F: Future>(
    mut future: Pin<&mut F>,
    stream: &mut Option<MemoryStream>,
    pieces: &mut impl Iterator<Item = Vec<u8>>,
    mut patience: usize,
) -> Option<F::Output> {
    loop {
        if let Poll::Ready(output) = poll_once(&mut future).await {
            return Some(output);
        }
        if patience == 0 {
            return None;
        }
        patience -= 1;
        match (&stream, pieces.next()) {
            (Some(stream), Some(piece)) => stream.send(piece).await.expect("open"),
            _ => drop(stream.take()),
        }
        yield_now().await;
    }
}

proptest! {
    #[test]
    fn a_reader_gives_the_bytes_however_they_come(
        pieces in prop::collection::vec(prop::collection::vec(letter(), 1..9), 0..12),
        reads in prop::collection::vec((read(), 0..30_usize), 1..25),
        limit in 1..20_usize,
    ) {
        uring_loop::testing::run(async {
            let whole = pieces.concat();
            let mut left = &whole[..];
            let (one, other) = duplex(1 << 20);
            let (mut stream, mut pieces) = (Some(one), pieces.into_iter());
            let (reader, _writer) = wrap(other);
            let mut reader = reader.with_limit(limit);
            for (read, patience) in reads {
                // A line too long takes with it what has come, which depends on the pieces.
                let end = left.iter().position(|byte| *byte == b'\n').unwrap_or(left.len());
                if matches!(read, Read::Line) && end > limit {
                    continue;
                }
                let outcome = {
                    let future = pin!(perform(&mut reader, &read));
                    drive(future, &mut stream, &mut pieces, patience).await
                };
                let Some(outcome) = outcome else { continue };
                let taken = match expected(&read, left, limit) {
                    Some((expected, taken)) => {
                        assert_eq!(outcome, expected, "{read:?} of {left:?}");
                        taken
                    }
                    None => {
                        let Outcome::Bytes(bytes) = outcome else { panic!("{outcome:?}") };
                        assert!(left.starts_with(&bytes), "{read:?}: {bytes:?} of {left:?}");
                        let most = match read {
                            Read::Some(most) | Read::Look(most) => most,
                            _ => usize::MAX,
                        };
                        assert!(bytes.len() <= most);
                        assert!(!bytes.is_empty() || left.is_empty() || most == 0, "no end yet");
                        bytes.len()
                    }
                };
                left = &left[taken..];
            }
            for piece in pieces.by_ref() {
                if let Some(stream) = &stream {
                    stream.send(piece).await.expect("open");
                }
            }
            drop(stream);
            assert_eq!(reader.read_to_end().await.expect("open"), left, "the rest");
            assert!(reader.at_eof());
        });
    }

    #[test]
    fn a_writer_waits_from_the_high_mark_to_the_low_one(
        steps in prop::collection::vec((0..60_usize, 0..4_usize), 1..40),
        (low, more) in (0..50_usize, 0..50_usize),
        capacity in 1..50_usize,
    ) {
        uring_loop::testing::run(async {
            let (one, other) = duplex(capacity);
            let (_reader, writer) = wrap(one);
            writer.set_limits(low, low + more);
            let (mut wrote, mut got, mut paused) = (0, 0, false);
            for (length, reads) in steps {
                writer.write(vec![7; length]);
                wrote += length;
                paused |= writer.buffered() > low + more;
                assert!(writer.buffered() <= wrote - got, "more than is left to be read");
                let waits = poll_once(&mut Box::pin(writer.drain())).await.is_pending();
                assert_eq!(waits, paused, "{} of {low} to {}", writer.buffered(), low + more);
                for _ in 0..reads {
                    if let Poll::Ready(bytes) = poll_once(&mut Box::pin(other.recv())).await {
                        got += bytes.expect("open").len();
                    }
                    yield_now().await;
                    yield_now().await;
                    paused &= writer.buffered() > low;
                }
                let waits = poll_once(&mut Box::pin(writer.drain())).await.is_pending();
                assert_eq!(waits, paused, "{} of {low} to {}", writer.buffered(), low + more);
            }
            writer.write_eof();
            loop {
                match other.recv().await.expect("open").len() {
                    0 => break,
                    count => got += count,
                }
            }
            assert_eq!(got, wrote, "bytes were lost or made up");
        });
    }
}
