//! Replies in both versions of the protocol.

use crate::store::Outcome;

/// A reply in the making.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// 2 or 3.
    pub(crate) version: u8,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Reply { bytes: Vec::new(), version: 2 }
    }

    fn head(&mut self, kind: char, number: impl std::fmt::Display) {
        self.bytes.extend_from_slice(format!("{kind}{number}\r\n").as_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head('+', text);
    }

    /// A text with its kind as the first word. What it quotes must not end the line.
    pub(crate) fn error(&mut self, text: &str) {
        self.head('-', text.replace(['\r', '\n'], " "));
    }

    pub(crate) fn number(&mut self, number: i64) {
        self.head(':', number);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.head('$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn nothing(&mut self) {
        self.bytes.extend_from_slice(if self.version == 2 { b"$-1\r\n" } else { b"_\r\n" });
    }

    pub(crate) fn array(&mut self, count: usize) {
        self.head('*', count);
    }

    /// The head of a map of so many pairs; version 2 has them in a row.
    pub(crate) fn map(&mut self, count: usize) {
        match self.version {
            2 => self.array(count * 2),
            _ => self.head('%', count),
        }
    }

    pub(crate) fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Nothing => self.nothing(),
            Outcome::Done => self.text("OK"),
            Outcome::Number(number) => self.number(*number),
            Outcome::Value(value) => self.bulk(value),
            Outcome::Error(text) => self.error(text),
        }
    }
}
