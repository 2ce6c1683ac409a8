//! Bytes that have come and were not read yet: where a line ends in them, and how to hand it out
//! without copying if it lies in one buffer.
//!
//! They are those of `head`, then those of `chunk`. A chunk is a buffer as the stream gave it; what
//! is left of one when the next is needed goes to the head, which is plain memory. So the bytes of
//! a line are copied only if it goes over the end of a buffer, and an idle reader holds no buffer
//! of the loop.

use std::io::BufRead as _;

use crate::io::RecvBuf;

#[derive(Debug, Default)]
pub(super) struct Input {
    head: Vec<u8>,
    /// Where the head's bytes begin.
    start: usize,
    chunk: Option<RecvBuf>,
    /// So many of the first bytes were handed out as a slice: they are gone when that is.
    lent: usize,
}

impl Input {
    pub(super) fn len(&self) -> usize {
        self.head_len() + self.chunk().len() - self.lent
    }

    fn head_len(&self) -> usize {
        self.head.len() - self.start
    }

    fn chunk(&self) -> &[u8] {
        self.chunk.as_deref().unwrap_or_default()
    }

    /// Takes what was lent out of the way. Every other method but `len` wants that done.
    pub(super) fn settle(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        self.consume(lent);
    }

    /// Adds what the stream gave next.
    pub(super) fn push(&mut self, chunk: RecvBuf) {
        self.let_go_of_chunk();
        self.chunk = Some(chunk);
    }

    /// Copies what is left of the chunk, and gives the loop its buffer back.
    pub(super) fn let_go_of_chunk(&mut self) {
        if let Some(chunk) = self.chunk.take()
            && !chunk.is_empty()
        {
            self.head.drain(..std::mem::take(&mut self.start));
            self.head.extend_from_slice(&chunk);
        }
    }

    /// Gives up the first `count` bytes, of those that there are.
    pub(super) fn consume(&mut self, count: usize) {
        let of_head = count.min(self.head_len());
        self.start += of_head;
        if self.head_len() == 0 {
            self.head.clear();
            self.start = 0;
        }
        if count > of_head
            && let Some(chunk) = &mut self.chunk
        {
            chunk.advance(count - of_head);
        }
        if self.chunk().is_empty() {
            self.chunk = None;
        }
    }

    /// The bytes that lie together at the front: some, if there are any.
    pub(super) fn front(&self) -> &[u8] {
        if self.head_len() > 0 { &self.head[self.start..] } else { self.chunk() }
    }

    /// Hands out the first `count` bytes, of those that there are; they are taken by it.
    pub(super) fn lend(&mut self, count: usize) -> &[u8] {
        let of_head = self.head_len();
        if (1..count).contains(&of_head)
            && let Some(chunk) = &mut self.chunk
        {
            let of_chunk = count - of_head;
            self.head.extend_from_slice(&chunk[..of_chunk]);
            chunk.advance(of_chunk);
        }
        self.lent = count;
        &self.front()[..count]
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> Vec<u8> {
        self.let_go_of_chunk();
        self.head.drain(..std::mem::take(&mut self.start));
        std::mem::take(&mut self.head)
    }

    /// Takes what lies together at the front, without copying it.
    pub(super) fn take_front(&mut self) -> Option<RecvBuf> {
        if self.head_len() == 0 {
            return self.chunk.take();
        }
        let mut front = RecvBuf::from(std::mem::take(&mut self.head));
        front.advance(std::mem::take(&mut self.start));
        Some(front)
    }

    /// Where `separator` first begins, at `from` or later.
    pub(super) fn find(&self, separator: &[u8], from: usize) -> Option<usize> {
        let (head, chunk) = (&self.head[self.start..], self.chunk());
        if from < head.len() {
            if let Some(at) = find(head, separator, from) {
                return Some(at);
            }
            let across = (head.len() + 1).saturating_sub(separator.len()).max(from)..head.len();
            let fits = |at: &usize| {
                let (first, rest) = separator.split_at(head.len() - at);
                head.ends_with(first) && chunk.starts_with(rest)
            };
            let at = across.clone().find(fits);
            if let Some(at) = at.filter(|_| !mutant!("separator-across-buffers-overlooked")) {
                return Some(at);
            }
        }
        let found = find(chunk, separator, from.saturating_sub(head.len()));
        found.map(|at| head.len() + at)
    }

    /// Whether `bytes` stand at `at`.
    pub(super) fn has_at(&self, bytes: &[u8], at: usize) -> bool {
        self.find(bytes, at) == Some(at)
    }
}

/// Where a byte is for the first time. As std's own readers look for it: by the C library's
/// `memchr`, which sees many bytes at a time.
fn position(mut bytes: &[u8], byte: u8) -> Option<usize> {
    let all = bytes;
    let passed = bytes.skip_until(byte).expect("a slice can be read");
    all[..passed].last().filter(|last| **last == byte).map(|_| passed - 1)
}

fn find(within: &[u8], separator: &[u8], mut from: usize) -> Option<usize> {
    let first = *separator.first()?;
    loop {
        let rest = within.get(from..)?;
        let at = from + position(rest, first)?;
        if within[at..].starts_with(separator) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(chunks: &[&[u8]]) -> Input {
        let mut input = Input::default();
        chunks.iter().for_each(|chunk| input.push(RecvBuf::from(chunk.to_vec())));
        input
    }

    #[test]
    fn a_line_in_one_buffer_is_handed_out_where_it_lies() {
        let chunk = RecvBuf::from(b"one\ntwo\nthr".to_vec());
        let place = chunk.as_ptr();
        let mut input = Input::default();
        input.push(chunk);
        assert_eq!(input.lend(4).as_ptr(), place);
        input.settle();
        assert_eq!(input.lend(4).as_ptr(), place.wrapping_add(4));
        input.settle();
        assert_eq!(input.len(), 3);
        input.push(RecvBuf::from(b"ee\nfour\n".to_vec()));
        assert_eq!(input.lend(6), b"three\n");
        assert_eq!(input.len(), 5, "what is lent is read");
        input.settle();
        assert_eq!((input.head.len(), input.front()), (0, &b"four\n"[..]), "no more was copied");
    }

    #[test]
    fn a_separator_is_found_across_buffers() {
        let input = input(&[b"ab", b"c--", b"--d"]);
        assert_eq!(input.find(b"----", 0), Some(3));
        assert_eq!(input.find(b"----", 4), None);
        assert_eq!(input.find(b"--d", 0), Some(5));
        assert_eq!(input.find(b"-d", 2), Some(6));
        assert_eq!(input.find(b"abc----d", 0), Some(0));
        assert_eq!(input.find(b"abc----de", 0), None);
        assert!(input.has_at(b"c-", 2) && !input.has_at(b"c-", 1));
    }

    proptest! {
        #[test]
        fn it_is_a_row_of_bytes_however_they_come(
            chunks in prop::collection::vec(prop::collection::vec(0..3_u8, 1..9), 0..6),
            separator in prop::collection::vec(0..3_u8, 1..5),
            from in 0..20_usize,
            taken in prop::collection::vec(0..7_usize, 0..9),
        ) {
            let mut model: Vec<u8> = Vec::new();
            let (mut input, mut taken) = (Input::default(), taken.into_iter());
            for chunk in chunks {
                input.push(RecvBuf::from(chunk.clone()));
                model.extend(chunk);
                let here = |at: usize| model[at..].starts_with(&separator);
                let expected = (from..model.len()).find(|at| here(*at));
                prop_assert_eq!(input.find(&separator, from), expected);
                let count = taken.next().unwrap_or(0).min(model.len());
                let lent = input.lend(count).to_vec();
                prop_assert_eq!(lent, model.drain(..count).collect::<Vec<u8>>());
                prop_assert_eq!(input.len(), model.len());
                input.settle();
                if count == 3 {
                    input.let_go_of_chunk();
                }
            }
            let front = input.take_front().map_or(0, |front| {
                assert!(model.starts_with(&front) && !front.is_empty());
                front.len()
            });
            prop_assert_eq!(input.take_all(), &model[front..]);
            prop_assert_eq!(input.len(), 0);
        }
    }
}
