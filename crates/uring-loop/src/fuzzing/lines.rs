//! A `BufReader` beside the bytes of its file, on a disk that gives less than was asked for, and
//! with reads that are given up.

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, SeekFrom};
use std::pin::pin;
use std::task::Poll;

use super::bytes::Bytes;
use crate::fs::{BufReader, File};
use crate::testing::{SimConfig, simulate};
use crate::yield_now;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Bytes::new(bytes);
    let seed = u64::from(input.byte());
    let config = if seed < 16 { SimConfig::seeded(seed) } else { SimConfig::chaos(seed) };
    simulate(config, |sim| async move {
        let block = 1 + input.below(40);
        let length = input.below(100);
        let content = input.take(length);
        sim.create_named_file("/x", content);
        let file = File::open("/x").await.expect("there");
        let mut reader = BufReader::with_capacity(block, file);
        let mut place = 0;
        while !input.is_empty() {
            place = step(&mut input, &mut reader, content, place).await;
            assert_eq!(reader.position(), place as u64);
            let there = rest(content, place);
            assert!(there.starts_with(reader.buffer()), "bytes of another place");
        }
        assert_eq!(reader.into_inner().position(), place as u64);
    });
}

fn rest(content: &[u8], place: usize) -> &[u8] {
    content.get(place..).unwrap_or_default()
}

/// Waits for it, or polls as often as the input says and then gives it up.
async fn patient<F: Future>(input: &mut Bytes<'_>, future: F) -> Option<F::Output> {
    if input.flag() {
        return Some(future.await);
    }
    let mut future = pin!(future);
    for _ in 0..input.below(4) {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// One call. Gives the place from which the next one goes on.
async fn step(
    input: &mut Bytes<'_>,
    reader: &mut BufReader,
    content: &[u8],
    place: usize,
) -> usize {
    let there = rest(content, place);
    let until = |byte: u8| there.iter().position(|b| *b == byte).map_or(there.len(), |at| at + 1);
    match input.below(6) {
        0 => line(input, reader, there, place).await,
        1 => {
            let byte = input.byte();
            let mut bytes = vec![7];
            match patient(input, reader.read_until(byte, &mut bytes)).await {
                None => place,
                Some(count) => {
                    let count = count.expect("a disk");
                    assert_eq!(count, until(byte));
                    assert_eq!(bytes, [&[7], &there[..count]].concat());
                    place + count
                }
            }
        }
        2 => {
            let most = input.below(50);
            let Some(seen) = patient(input, reader.fill_buf()).await else { return place };
            let seen = seen.expect("a disk");
            assert!(there.starts_with(seen) && seen.is_empty() == there.is_empty());
            let count = seen.len().min(most);
            reader.consume(count);
            place + count
        }
        3 => {
            let room = 1 + input.below(50);
            match patient(input, reader.read(vec![0; room])).await {
                None => place,
                Some((count, bytes)) => {
                    let count = count.expect("a disk");
                    assert!(count <= room && (count == 0) == there.is_empty(), "{count}");
                    assert_eq!(bytes[..count], there[..count]);
                    place + count
                }
            }
        }
        4 => seek(input, reader, content, place).await,
        _ => {
            yield_now().await;
            place
        }
    }
}

async fn line(input: &mut Bytes<'_>, reader: &mut BufReader, there: &[u8], place: usize) -> usize {
    let end = there.iter().position(|b| *b == b'\n').map_or(there.len(), |at| at + 1);
    let expected = &there[..end];
    let mut line = String::from("before ");
    let result = match patient(input, reader.read_line(&mut line)).await {
        Some(result) => result,
        None => {
            assert_eq!(line, "before ");
            return place;
        }
    };
    match (result, std::str::from_utf8(expected)) {
        (Ok(count), Ok(text)) => {
            assert_eq!((count, line), (text.len(), format!("before {text}")));
        }
        (Err(error), Err(_)) => assert_eq!(error.kind(), ErrorKind::InvalidData),
        (result, text) => panic!("{result:?}, and it is {text:?}"),
    }
    place + expected.len()
}

async fn seek(
    input: &mut Bytes<'_>,
    reader: &mut BufReader,
    content: &[u8],
    place: usize,
) -> usize {
    let by = i64::from(input.byte()) - 128;
    let (to, base) = match input.below(3) {
        0 => (SeekFrom::Current(by), place),
        1 => (SeekFrom::End(by), content.len()),
        _ => (SeekFrom::Start(by.unsigned_abs()), by.unsigned_abs() as usize),
    };
    let goal = if matches!(to, SeekFrom::Start(_)) {
        Some(base)
    } else {
        base.checked_add_signed(by as isize)
    };
    let result = reader.seek(to).await;
    assert_eq!(result.ok(), goal.map(|goal| goal as u64));
    goal.unwrap_or(place)
}
