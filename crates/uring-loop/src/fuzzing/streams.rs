//! A `StreamReader` beside the bytes that it reads: pieces of any size come at any moment, reads of
//! every kind are begun, and some of them given up.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::Poll;

use super::bytes::Bytes;
use crate::io::{ByteStreamExt as _, MemoryStream, duplex};
use crate::stream::{ReadError, StreamReader, wrap};
use crate::testing::{SimConfig, simulate};
use crate::yield_now;

/// What a read gave.
#[derive(Debug, PartialEq)]
enum Outcome {
    Bytes(Vec<u8>),
    Incomplete(Vec<u8>),
    Limit,
}

#[derive(Debug)]
enum Read {
    Line,
    Until(Vec<Vec<u8>>),
    Exact(usize),
    Some(usize),
    Look(usize),
    Buffer,
    End,
}

/// The sending end, and what it has sent that was not read yet.
struct Sender {
    stream: Option<MemoryStream>,
    unread: Vec<u8>,
}

pub(super) fn run(bytes: &[u8]) {
    simulate(SimConfig::seeded(0), |_| async {
        let mut input = Bytes::new(bytes);
        let (one, other) = duplex(1 << 20);
        let mut sender = Sender { stream: Some(one), unread: Vec::new() };
        let limit = 1 + input.below(24);
        let mut reader = wrap(other).0.with_limit(limit);
        while !input.is_empty() {
            if step(&mut input, &mut reader, &mut sender, limit).await.is_break() {
                return;
            }
        }
        sender.stream = None;
        assert_eq!(reader.read_to_end().await.expect("open"), sender.unread, "the rest");
        assert!(reader.at_eof());
    });
}

impl Sender {
    /// Sends a piece, or ends the stream.
    async fn act(&mut self, input: &mut Bytes<'_>) {
        let Some(stream) = &self.stream else { return };
        if input.below(16) == 0 {
            self.stream = None;
        } else {
            let piece = letters(input, 9);
            self.unread.extend(&piece);
            stream.send(piece).await.expect("open");
        }
    }
}

/// Few letters, so that separators are found, half found, and found across pieces.
fn letters(input: &mut Bytes<'_>, most: usize) -> Vec<u8> {
    let length = 1 + input.below(most);
    (0..length).map(|_| input.pick(b"ab\n")).collect()
}

fn choose(input: &mut Bytes<'_>) -> Read {
    match input.below(8) {
        0 | 1 => Read::Line,
        2 => Read::Until(vec![letters(input, 4)]),
        3 => Read::Until(vec![letters(input, 3), letters(input, 4)]),
        4 => Read::Exact(input.below(12)),
        5 => Read::Some(input.below(12)),
        6 => Read::Look(input.below(12)),
        _ => [Read::Buffer, Read::End].into_iter().nth(input.below(2)).expect("there are two"),
    }
}

async fn step(
    input: &mut Bytes<'_>,
    reader: &mut StreamReader,
    sender: &mut Sender,
    limit: usize,
) -> ControlFlow<()> {
    if input.flag() {
        sender.act(input).await;
        yield_now().await;
        return ControlFlow::Continue(());
    }
    let read = choose(input);
    let outcome = {
        let mut future = Box::pin(perform(reader, &read));
        loop {
            if let Poll::Ready(outcome) = poll_once(future.as_mut()).await {
                break outcome;
            }
            if input.below(4) == 0 {
                // It is given up: that loses nothing.
                return ControlFlow::Continue(());
            }
            sender.act(input).await;
            yield_now().await;
        }
    };
    let taken = check(&read, &outcome, sender, limit);
    sender.unread.drain(..taken);
    // A line that is too long is dropped, as far as it has come: how far that is nobody tells.
    match (read, outcome) {
        (Read::Line, Outcome::Limit) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

async fn perform(reader: &mut StreamReader, read: &Read) -> Outcome {
    match read {
        Read::Line => outcome(reader.read_line().await),
        Read::Until(separators) => {
            let separators: Vec<&[u8]> = separators.iter().map(Vec::as_slice).collect();
            outcome(reader.read_until_any(&separators).await)
        }
        Read::Exact(count) => outcome(reader.read_exact(*count).await),
        Read::Some(most) => Outcome::Bytes(reader.read(*most).await.expect("open").to_vec()),
        Read::Look(most) => {
            let seen = reader.fill_buf().await.expect("open");
            let taken = seen[..seen.len().min(*most)].to_vec();
            reader.consume(taken.len());
            Outcome::Bytes(taken)
        }
        Read::Buffer => {
            let buffer = reader.read_buffer().await.expect("open");
            Outcome::Bytes(buffer.map_or(Vec::new(), |buffer| buffer.to_vec()))
        }
        Read::End => Outcome::Bytes(reader.read_to_end().await.expect("open")),
    }
}

fn outcome(result: Result<&[u8], ReadError>) -> Outcome {
    match result {
        Ok(bytes) => Outcome::Bytes(bytes.to_vec()),
        Err(ReadError::Incomplete { partial, .. }) => Outcome::Incomplete(partial),
        Err(ReadError::Limit { .. }) => Outcome::Limit,
        Err(ReadError::Io(error)) => panic!("{error}"),
    }
}

/// Looks at the outcome of a read beside what was sent; gives how much of that it has taken.
fn check(read: &Read, outcome: &Outcome, sender: &Sender, limit: usize) -> usize {
    let (unread, ended) = (&sender.unread, sender.stream.is_none());
    let (taken, whole) = match outcome {
        Outcome::Bytes(bytes) => (bytes, true),
        Outcome::Incomplete(bytes) => (bytes, false),
        Outcome::Limit => return over_limit(read, unread, limit),
    };
    assert!(unread.starts_with(taken), "{read:?} gave {taken:?} of {unread:?}");
    let length = taken.len();
    match read {
        Read::Line | Read::Until(_) => {
            let separators = separators(read);
            match first_end(unread, &separators) {
                Some((start, end)) => {
                    assert!(whole && length == end && start <= limit, "{read:?} of {unread:?}");
                }
                None => {
                    assert!(ended && length == unread.len(), "{read:?} of {unread:?}");
                    assert_eq!(whole, matches!(read, Read::Line));
                }
            }
        }
        Read::Exact(count) if whole => assert_eq!(length, *count),
        Read::Exact(_) | Read::End => assert!(ended && length == unread.len(), "it has not ended"),
        Read::Some(most) | Read::Look(most) => {
            assert!(length <= *most, "more than was asked for");
            assert!(length > 0 || *most == 0 || (ended && unread.is_empty()), "no end yet");
        }
        Read::Buffer => assert!(length > 0 || (ended && unread.is_empty()), "no end yet"),
    }
    length
}

fn separators(read: &Read) -> Vec<Vec<u8>> {
    match read {
        Read::Until(separators) => separators.clone(),
        _ => vec![b"\n".to_vec()],
    }
}

/// Where the separator begins and ends that ends first.
fn first_end(bytes: &[u8], separators: &[Vec<u8>]) -> Option<(usize, usize)> {
    let ends = separators.iter().filter_map(|separator| {
        let start = bytes.windows(separator.len()).position(|window| window == separator)?;
        Some((start + separator.len(), start))
    });
    ends.min().map(|(end, start)| (start, end))
}

/// There was too much before a separator. That takes nothing.
fn over_limit(read: &Read, unread: &[u8], limit: usize) -> usize {
    let separators = separators(read);
    let longest = separators.iter().map(Vec::len).max().unwrap_or(1);
    match first_end(unread, &separators) {
        Some((start, _)) => assert!(start > limit, "the limit is {limit}: {unread:?}"),
        None => assert!(unread.len() + 1 > limit + longest, "the limit is {limit}: {unread:?}"),
    }
    0
}
