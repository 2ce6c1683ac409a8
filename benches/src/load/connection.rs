//! One client connection: what is sent, what has come back, and whether that is what was sent.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use super::pattern::Pattern;

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
    /// Position in the pattern of the first byte not yet accepted by the kernel.
    send_at: usize,
    /// Bytes of the send under way.
    sending: usize,
    /// Messages that wait for that send to end.
    waiting: usize,
    /// Position in the pattern of the next byte to come back.
    receive_at: usize,
    /// Bytes of the message that is coming back.
    partial: usize,
    /// When each message under way was sent.
    stamps: VecDeque<u64>,
}

impl Connection {
    pub(super) fn new(number: usize, depth: usize) -> Self {
        let start = Pattern::start(number);
        Self {
            send_at: start,
            sending: 0,
            waiting: 0,
            receive_at: start,
            partial: 0,
            stamps: VecDeque::with_capacity(depth),
        }
    }

    /// Asks for `messages` more. `Some` is the piece of the pattern to send now.
    #[inline]
    pub(super) fn ask(&mut self, messages: usize, size: usize, now: u64) -> Option<(usize, usize)> {
        (0..messages).for_each(|_| self.stamps.push_back(now));
        self.waiting += messages;
        if self.sending == 0 { self.begin(size) } else { None }
    }

    fn begin(&mut self, size: usize) -> Option<(usize, usize)> {
        self.sending = std::mem::take(&mut self.waiting) * size;
        (self.sending > 0).then_some((self.send_at, self.sending))
    }

    /// The kernel took `sent` bytes. `Some` is the piece to send next.
    #[inline]
    pub(super) fn sent(&mut self, sent: usize, size: usize) -> Option<(usize, usize)> {
        self.send_at = Pattern::advance(self.send_at, sent);
        self.sending -= sent;
        if self.sending > 0 { Some((self.send_at, self.sending)) } else { self.begin(size) }
    }

    /// Checks `bytes` and reports the latency of each message they complete; returns how many.
    #[inline]
    pub(super) fn received(
        &mut self,
        bytes: &[u8],
        pattern: &Pattern,
        size: usize,
        mut stamp: impl FnMut(u64),
    ) -> anyhow::Result<usize> {
        if bytes != pattern.at(self.receive_at, bytes.len()) {
            bail!("the server sent back something else than it was sent");
        }
        self.receive_at = Pattern::advance(self.receive_at, bytes.len());
        self.partial += bytes.len();
        let whole = self.partial / size;
        self.partial %= size;
        for _ in 0..whole {
            stamp(self.stamps.pop_front().context("the server sent more than it was sent")?);
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_counts_when_it_is_whole() {
        let pattern = Pattern::new(1024);
        let mut connection = Connection::new(3, 2);
        assert_eq!(connection.ask(2, 64, 7), Some((Pattern::start(3), 128)));
        assert_eq!(connection.sent(128, 64), None);
        let bytes = pattern.at(Pattern::start(3), 128).to_vec();
        let mut stamps = Vec::new();
        let mut feed = |piece: &[u8]| {
            connection.received(piece, &pattern, 64, |stamp| stamps.push(stamp)).unwrap()
        };
        assert_eq!([feed(&bytes[..63]), feed(&bytes[63..65]), feed(&bytes[65..])], [0, 1, 1]);
        assert_eq!(stamps, [7, 7]);
    }

    #[test]
    fn a_wrong_byte_is_an_error() {
        let pattern = Pattern::new(1024);
        let mut connection = Connection::new(0, 1);
        connection.ask(1, 64, 0);
        let mut bytes = pattern.at(Pattern::start(0), 64).to_vec();
        bytes[63] ^= 1;
        assert!(connection.received(&bytes, &pattern, 64, |_| ()).is_err());
    }

    #[test]
    fn more_than_was_sent_is_an_error() {
        let pattern = Pattern::new(1024);
        let mut connection = Connection::new(0, 1);
        connection.ask(1, 64, 0);
        let bytes = pattern.at(Pattern::start(0), 128).to_vec();
        assert!(connection.received(&bytes, &pattern, 64, |_| ()).is_err());
    }

    #[test]
    fn what_is_asked_during_a_send_goes_out_after_it() {
        let mut connection = Connection::new(0, 4);
        assert_eq!(connection.ask(1, 64, 0), Some((0, 64)));
        assert_eq!(connection.ask(2, 64, 0), None);
        assert_eq!(connection.sent(60, 64), Some((60, 4)));
        assert_eq!(connection.sent(4, 64), Some((64, 128)));
    }
}
