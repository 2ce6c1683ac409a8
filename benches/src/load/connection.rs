//! One client connection: what is sent, what has come back, and whether that is what is due.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use super::script::Script;
use super::session::Piece;

/// Opens `count` connections, one after the other.
///
/// They close with a reset, so that thousands of them leave nothing in TIME_WAIT behind.
pub(super) fn open(server: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    crate::pin::raise_file_limit()?;
    (0..count)
        .map(|number| {
            let stream = TcpStream::connect_timeout(&server, Duration::from_secs(10))
                .with_context(|| format!("connection {number} of {count} to {server}"))?;
            stream.set_nodelay(true)?;
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            Ok(stream)
        })
        .collect()
}

/// The state of one connection's stream in both directions.
#[derive(Debug)]
pub(super) struct Connection {
    /// Position in what is asked of the first byte not yet accepted by the kernel.
    send_at: usize,
    /// Bytes of the send under way.
    sending: usize,
    /// Messages that wait for that send to end.
    waiting: usize,
    /// Position in what is answered of the next byte to come back.
    receive_at: usize,
    /// Bytes of the message that is coming back.
    partial: usize,
    /// When each message under way was sent.
    stamps: VecDeque<u64>,
}

impl Connection {
    pub(super) fn new(script: &Script, number: usize, depth: usize) -> Self {
        let start = script.start(number);
        Self {
            send_at: start,
            sending: 0,
            waiting: 0,
            receive_at: start,
            partial: 0,
            stamps: VecDeque::with_capacity(depth),
        }
    }

    /// Asks for `messages` more. `Some` is the piece to send now.
    #[inline]
    pub(super) fn ask(&mut self, script: &Script, messages: usize, now: u64) -> Option<Piece> {
        (0..messages).for_each(|_| self.stamps.push_back(now));
        self.waiting += messages;
        if self.sending == 0 { self.begin(script) } else { None }
    }

    fn begin(&mut self, script: &Script) -> Option<Piece> {
        self.sending = std::mem::take(&mut self.waiting) * script.question;
        (self.sending > 0).then_some((self.send_at, self.sending))
    }

    /// The kernel took `sent` bytes. `Some` is the piece to send next.
    #[inline]
    pub(super) fn sent(&mut self, script: &Script, sent: usize) -> Option<Piece> {
        self.send_at = script.asked().advance(self.send_at, sent);
        self.sending -= sent;
        if self.sending > 0 { Some((self.send_at, self.sending)) } else { self.begin(script) }
    }

    /// Checks `bytes` and reports the latency of each message they complete; returns how many.
    #[inline]
    pub(super) fn received(
        &mut self,
        script: &Script,
        bytes: &[u8],
        mut stamp: impl FnMut(u64),
    ) -> anyhow::Result<usize> {
        let expected = script.answered();
        if bytes != expected.at(self.receive_at, bytes.len()) {
            bail!("the server sent something else than is due");
        }
        self.receive_at = expected.advance(self.receive_at, bytes.len());
        self.partial += bytes.len();
        let whole = self.partial / script.answer;
        self.partial %= script.answer;
        for _ in 0..whole {
            stamp(self.stamps.pop_front().context("the server sent more than is due")?);
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Exchange;
    use super::*;

    fn echo() -> Script {
        Script::new(Exchange::Echo(64), 1024)
    }

    #[test]
    fn a_message_in_pieces_counts_when_it_is_whole() {
        let script = echo();
        let mut connection = Connection::new(&script, 3, 2);
        let start = script.start(3);
        assert_eq!(connection.ask(&script, 2, 7), Some((start, 128)));
        assert_eq!(connection.sent(&script, 128), None);
        let bytes = script.asked().at(start, 128).to_vec();
        let mut stamps = Vec::new();
        let mut feed =
            |piece: &[u8]| connection.received(&script, piece, |at| stamps.push(at)).unwrap();
        assert_eq!([feed(&bytes[..63]), feed(&bytes[63..65]), feed(&bytes[65..])], [0, 1, 1]);
        assert_eq!(stamps, [7, 7]);
    }

    #[test]
    fn an_answer_may_be_of_another_size_than_its_question() {
        let script = Script::new(Exchange::Http, 1024);
        let (request, answer) = (crate::http::REQUEST, crate::http::ANSWER);
        assert_ne!(request.len(), answer.len());
        let mut connection = Connection::new(&script, 5, 2);
        let (position, length) = connection.ask(&script, 2, 7).unwrap();
        assert_eq!(script.asked().at(position, length), [request, request].concat());
        let mut count = 0;
        let all = [answer, answer].concat();
        for piece in [&all[..1], &all[1..answer.len() + 1], &all[answer.len() + 1..]] {
            count += connection.received(&script, piece, |_| ()).unwrap();
        }
        assert_eq!(count, 2);
    }

    #[test]
    fn a_wrong_byte_is_an_error() {
        let script = echo();
        let mut connection = Connection::new(&script, 0, 1);
        connection.ask(&script, 1, 0);
        let mut bytes = script.asked().at(script.start(0), 64).to_vec();
        bytes[63] ^= 1;
        assert!(connection.received(&script, &bytes, |_| ()).is_err());
    }

    #[test]
    fn more_than_is_due_is_an_error() {
        let script = echo();
        let mut connection = Connection::new(&script, 0, 1);
        connection.ask(&script, 1, 0);
        let bytes = script.asked().at(script.start(0), 128).to_vec();
        assert!(connection.received(&script, &bytes, |_| ()).is_err());
    }

    #[test]
    fn what_is_asked_during_a_send_goes_out_after_it() {
        let script = echo();
        let mut connection = Connection::new(&script, 0, 4);
        assert_eq!(connection.ask(&script, 1, 0), Some((0, 64)));
        assert_eq!(connection.ask(&script, 2, 0), None);
        assert_eq!(connection.sent(&script, 60), Some((60, 4)));
        assert_eq!(connection.sent(&script, 4), Some((64, 128)));
    }
}
