//! What Unix sockets have of their own (`net/unix/af_unix.c`): files that stay when their listener
//! has gone, pairs, descriptors that travel with bytes.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use super::{Address, Network, SocketId, State, Stream};

/// Descriptors on their way through a stream.
#[derive(Debug)]
pub(super) struct Rights {
    /// The byte they come with, and the end of the bytes they were sent with, counted from the
    /// beginning of the stream.
    first: u64,
    end: u64,
    descriptors: Vec<OwnedFd>,
}

/// Those of one stream that nobody has received yet.
#[derive(Debug, Default)]
pub(super) struct Travelling {
    queue: VecDeque<Rights>,
    /// Bytes that were taken out of the stream so far.
    taken: u64,
}

impl Travelling {
    /// How many of `count` bytes one receive may take: it ends with those that descriptors were
    /// sent with.
    pub(super) fn most(&self, count: usize) -> usize {
        let Some(next) = self.queue.front() else { return count };
        if next.first >= self.taken + count as u64 {
            return count;
        }
        count.min((next.end - self.taken) as usize)
    }

    /// So many bytes are taken, and with them what they carry.
    pub(super) fn take(&mut self, count: usize) -> Vec<OwnedFd> {
        self.taken += count as u64;
        let arrived = self.queue.front().is_some_and(|next| next.first < self.taken);
        let next = if arrived { self.queue.pop_front() } else { None };
        next.map(|rights| rights.descriptors).unwrap_or_default()
    }
}

impl Network {
    /// Hangs descriptors on the last `count` bytes that this end has sent.
    pub(in crate::testing::sim) fn attach(
        &mut self,
        id: SocketId,
        count: usize,
        descriptors: Vec<OwnedFd>,
    ) {
        let Some(Stream { other: Some(other), .. }) = self.stream_mut(id) else { return };
        let other = *other;
        let stream = self.stream_mut(other).expect("the other end is a stream while it lives");
        let end = stream.travelling.taken + stream.inbox.len() as u64;
        stream.travelling.queue.push_back(Rights { first: end - count as u64, end, descriptors });
    }

    pub(in crate::testing::sim) fn is_unix(&self, id: SocketId) -> bool {
        self.socket(id).unix
    }

    /// Two streams that are connected to each other.
    pub(in crate::testing::sim) fn pair(&mut self) -> [SocketId; 2] {
        let nameless = Address::Unix(Vec::new());
        let one = self.create_unix();
        let stream = Stream::new(nameless.clone(), nameless.clone(), one);
        let other = self.insert(State::Stream(stream), true);
        self.socket_mut(one).state = State::Stream(Stream::new(nameless.clone(), nameless, other));
        [one, other]
    }

    /// The number of the file at a path.
    pub(in crate::testing::sim) fn file_number(&self, path: &[u8]) -> Option<u64> {
        self.files.get(path).copied()
    }

    pub(in crate::testing::sim) fn remove_file(&mut self, path: &[u8]) {
        self.files.remove(path);
    }

    /// The end of a Unix stream: the other end reads what is there, then an error if bytes were
    /// left unread here, then the end.
    pub(super) fn close_unix_stream(&mut self, id: SocketId) {
        let Some(stream) = self.stream_mut(id) else { return };
        let (unread, other) = (!stream.inbox.is_empty(), stream.other.take());
        let Some(other) = other else { return };
        let Some(stream) = self.stream_mut(other) else { return };
        if unread {
            stream.error = Some(libc::ECONNRESET);
        }
        stream.got_fin = true;
        stream.write_shut = true;
        stream.other = None;
        self.wake(other, true, true);
    }
}
