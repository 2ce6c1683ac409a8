//! What is said on a connection and what is heard: of the same bytes, or of others.

use super::pattern::Pattern;
use crate::http;

/// What a connection asks again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// So many bytes, which come back.
    Echo(usize),
    /// [`http::REQUEST`], to which [`http::ANSWER`] comes.
    Http,
}

impl Exchange {
    /// Bytes of a question, and of its answer.
    pub(super) fn sizes(self) -> (usize, usize) {
        match self {
            Exchange::Echo(size) => (size, size),
            Exchange::Http => (http::REQUEST.len(), http::ANSWER.len()),
        }
    }
}

/// Both streams of every connection.
#[derive(Debug)]
pub(super) struct Script {
    asked: Pattern,
    /// Where that is something else.
    answered: Option<Pattern>,
    /// Bytes of a question.
    pub(super) question: usize,
    /// Bytes of an answer.
    pub(super) answer: usize,
}

impl Script {
    /// One out of which `longest` bytes can be taken in one piece.
    pub(super) fn new(exchange: Exchange, longest: usize) -> Self {
        let (question, answer) = exchange.sizes();
        let (asked, answered) = match exchange {
            Exchange::Echo(_) => (Pattern::new(longest), None),
            Exchange::Http => {
                let repeated = |message| Pattern::repeated(message, longest);
                (repeated(http::REQUEST), Some(repeated(http::ANSWER)))
            }
        };
        Self { asked, answered, question, answer }
    }

    /// Where the streams of connection `number` begin.
    pub(super) fn start(&self, number: usize) -> usize {
        // A question begins where it begins; of bytes that come back any will do.
        if self.answered.is_none() { self.asked.start(number) } else { 0 }
    }

    /// What is sent.
    #[inline]
    pub(super) fn asked(&self) -> &Pattern {
        &self.asked
    }

    /// What has to come back.
    #[inline]
    pub(super) fn answered(&self) -> &Pattern {
        self.answered.as_ref().unwrap_or(&self.asked)
    }
}
