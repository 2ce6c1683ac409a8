//! The requests of Redis' protocol (RESP, <https://redis.io/docs/latest/develop/reference/protocol-spec/>):
//! bytes in, words out. Both forms: arrays of bulk strings, and lines ("inline commands").
//!
//! What a peer may make us keep is bounded before it is kept: a length is a promise of the peer's,
//! and memory is taken for bytes that have come, never for bytes that were announced.

use std::fmt;

/// A line: an inline command, or the head of an array or a bulk string.
const LONGEST_LINE: usize = 64 * 1024;

/// What a request may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Words of one request.
    pub(crate) words: usize,
    /// Bytes of one word.
    pub(crate) word: usize,
    /// Bytes of all words of one request.
    pub(crate) request: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { words: 64 * 1024, word: 8 << 20, request: 16 << 20 }
    }
}

/// What is wrong with a request. The connection cannot go on: where the next one begins is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) String);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERR Protocol error: {}", self.0)
    }
}

fn bad<T>(text: impl Into<String>) -> Result<T, Bad> {
    Err(Bad(text.into()))
}

/// The words of a request.
pub(crate) type Words = Vec<Vec<u8>>;

/// Takes bytes as they come, and gives requests.
#[derive(Debug)]
pub(crate) struct Parser {
    limits: Limits,
    bytes: Vec<u8>,
    /// Up to here the bytes are done with.
    at: usize,
    /// Up to here there is no end of a line.
    searched: usize,
    /// The array that is being read.
    array: Option<Array>,
}

#[derive(Debug)]
struct Array {
    words: Words,
    /// Words that are to come.
    missing: usize,
    /// Bytes of the words that are there, and of the one announced.
    size: usize,
    /// The length of the word that is being read.
    word: Option<usize>,
}

impl Parser {
    pub(crate) fn new(limits: Limits) -> Self {
        Parser { limits, bytes: Vec::new(), at: 0, searched: 0, array: None }
    }

    /// Takes over what has come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.searched = self.searched.saturating_sub(self.at);
            self.at = 0;
        }
        // A large word has left a large buffer: not for ever.
        if self.bytes.is_empty() && self.bytes.capacity() > 2 * LONGEST_LINE {
            self.bytes = Vec::new();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next request; `None` until more has come. After an error there is nothing more.
    pub(crate) fn next(&mut self) -> Result<Option<Words>, Bad> {
        loop {
            let Some(array) = &mut self.array else {
                let Some(line) = self.line()? else { return Ok(None) };
                match line.first() {
                    Some(b'*') => self.array = self.begin(&line[1..])?,
                    _ => {
                        let words = inline(&line)?;
                        if !words.is_empty() {
                            return Ok(Some(words));
                        }
                    }
                }
                continue;
            };
            if array.missing == 0 {
                return Ok(self.array.take().map(|array| array.words));
            }
            if !self.word()? {
                return Ok(None);
            }
        }
    }

    /// The head of an array. `None`: an empty one, which is nothing.
    fn begin(&self, head: &[u8]) -> Result<Option<Array>, Bad> {
        let missing = match number(head) {
            Some(..=0) => return Ok(None),
            Some(count) if count as u64 <= self.limits.words as u64 => count as usize,
            _ => return bad("invalid multibulk length"),
        };
        let words = Vec::with_capacity(missing.min(16));
        Ok(Some(Array { words, missing, size: 0, word: None }))
    }

    /// Goes on with a word of the array. `false`: more has to come.
    fn word(&mut self) -> Result<bool, Bad> {
        let announced = self.array.as_ref().and_then(|array| array.word);
        let Some(length) = announced else {
            let Some(line) = self.line()? else { return Ok(false) };
            let Some((b'$', head)) = line.split_first() else {
                let got =
                    line.first().map_or("nothing".into(), |byte| byte.escape_ascii().to_string());
                return bad(format!("expected '$', got '{got}'"));
            };
            let length = match number(head) {
                Some(length @ 0..) if length as u64 <= self.limits.word as u64 => length as usize,
                _ => return bad("invalid bulk length"),
            };
            if let Some(array) = &mut self.array {
                array.size += length;
                if array.size > self.limits.request {
                    return bad("request is too big");
                }
                array.word = Some(length);
            }
            return Ok(true);
        };
        let rest = &self.bytes[self.at..];
        if rest.len() < length + 2 {
            return Ok(false);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return bad("a bulk string does not end where it said");
        }
        let word = rest[..length].to_vec();
        self.at += length + 2;
        self.searched = self.at;
        if let Some(array) = &mut self.array {
            array.words.push(word);
            array.missing -= 1;
            array.word = None;
        }
        Ok(true)
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Bad> {
        let from = self.searched.max(self.at);
        let Some(end) = self.bytes[from..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return match self.bytes.len() - self.at > LONGEST_LINE {
                true => bad("too big inline request"),
                false => Ok(None),
            };
        };
        let end = from + end;
        let line = &self.bytes[self.at..end];
        if line.len() > LONGEST_LINE {
            return bad("too big inline request");
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.at = end + 1;
        self.searched = self.at;
        Ok(Some(line))
    }
}

/// A decimal number as the protocol writes it: a minus, digits, nothing else.
pub(crate) fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The words of a line, which may be quoted: "with \n, \x41 and \"" or 'as it is, but for \''.
fn inline(line: &[u8]) -> Result<Words, Bad> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        rest = &rest[space..];
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = inline_word(rest)?;
        words.push(word);
        rest = after;
    }
}

fn inline_word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), Bad> {
    let unbalanced = || Bad("unbalanced quotes in request".into());
    let (mut word, mut at) = (Vec::new(), 0);
    while let Some(&byte) = line.get(at) {
        match byte {
            _ if byte.is_ascii_whitespace() => break,
            b'"' | b'\'' => {
                let length = quoted(&line[at + 1..], byte, &mut word).ok_or_else(unbalanced)?;
                at += 1 + length;
                // A quote ends a word.
                if line.get(at).is_some_and(|next| !next.is_ascii_whitespace()) {
                    return Err(unbalanced());
                }
            }
            _ => {
                word.push(byte);
                at += 1;
            }
        }
    }
    Ok((word, &line[at..]))
}

/// What stands between quotes; how many bytes it took, the closing one included.
fn quoted(text: &[u8], quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        match byte {
            _ if byte == quote => return Some(at),
            b'\\' if quote == b'\'' && text.get(at) == Some(&b'\'') => {
                word.push(b'\'');
                at += 1;
            }
            b'\\' if quote == b'"' => {
                let escaped = *text.get(at)?;
                let hex =
                    text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                let hex = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match (escaped, hex) {
                    (b'x', Some(byte)) => {
                        word.push(byte);
                        at += 2;
                    }
                    (b'n', _) => word.push(b'\n'),
                    (b'r', _) => word.push(b'\r'),
                    (b't', _) => word.push(b'\t'),
                    (b'b', _) => word.push(8),
                    (b'a', _) => word.push(7),
                    _ => word.push(escaped),
                }
                at += 1;
            }
            _ => word.push(byte),
        }
    }
}
