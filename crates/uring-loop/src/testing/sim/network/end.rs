//! How connections end: by halves, in order, by a reset.

use super::{Network, SocketId, State};
use crate::testing::sim::Errno;

impl Network {
    /// shutdown(2). A listener that is shut for reading stops listening.
    pub(in crate::testing::sim) fn shutdown(
        &mut self,
        id: SocketId,
        how: i32,
    ) -> Result<(), Errno> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(libc::EINVAL),
        };
        let unix = self.is_unix(id);
        match &mut self.socket_mut(id).state {
            State::Stream(stream) if !stream.dead => {
                stream.read_shut |= read;
                let fin = write && !std::mem::replace(&mut stream.write_shut, true);
                let other = stream.other;
                self.wake(id, true, true);
                self.fin(other.filter(|_| fin));
                // Who will not be read may not write: a Unix stream tells that at once.
                if let Some(stream) =
                    other.filter(|_| unix && read).and_then(|o| self.stream_mut(o))
                {
                    stream.write_shut = true;
                }
                Ok(())
            }
            State::Listener(_) if read => {
                self.drop_queue(id);
                self.socket_mut(id).state = State::Fresh;
                self.wake(id, true, true);
                Ok(())
            }
            State::Listener(_) => Ok(()),
            _ => Err(libc::ENOTCONN),
        }
    }

    pub(super) fn fin(&mut self, other: Option<SocketId>) {
        let Some(other) = other else { return };
        if let Some(stream) = self.stream_mut(other) {
            stream.got_fin = true;
            self.wake(other, true, true);
        }
    }

    /// Sends a reset; this end is dead too.
    pub(in crate::testing::sim) fn reset(&mut self, id: SocketId) {
        let unix = self.sockets.get(&id).is_some_and(|socket| socket.unix);
        let Some(stream) = self.stream_mut(id) else { return };
        if unix {
            // There is no such thing, but for bytes that are left unread.
            stream.inbox.push_back(0);
            return self.close_unix_stream(id);
        }
        stream.dead = true;
        let other = stream.other;
        self.wake(id, true, true);
        let Some(other) = other else { return };
        if let Some(stream) = self.stream_mut(other) {
            stream.reset();
            self.wake(other, true, true);
        }
    }

    /// Somebody on the way sends a reset to both ends of a TCP connection.
    pub(in crate::testing::sim) fn break_connection(&mut self, id: SocketId) {
        if self.is_unix(id) {
            return;
        }
        let other = self.stream_mut(id).and_then(|stream| stream.other);
        for end in [Some(id), other].into_iter().flatten() {
            if let Some(stream) = self.stream_mut(end) {
                stream.reset();
                self.wake(end, true, true);
            }
        }
    }

    /// The last reference is gone.
    pub(in crate::testing::sim) fn close(&mut self, id: SocketId) {
        self.drop_queue(id);
        if self.is_unix(id) {
            self.close_unix_stream(id);
        } else if let Some(stream) = self.stream_mut(id) {
            let (unread, dead) = (!stream.inbox.is_empty(), stream.dead);
            let (fin_sent, other) = (stream.write_shut, stream.other);
            if unread && !dead {
                self.reset(id);
            } else if !dead && !fin_sent {
                self.fin(other);
            }
            if let Some(stream) = other.and_then(|other| self.stream_mut(other)) {
                stream.other = None;
            }
            if let Some(other) = other {
                self.wake(other, false, true);
            }
        }
        self.sockets.remove(&id);
    }

    /// Nobody will accept these any more.
    pub(super) fn drop_queue(&mut self, id: SocketId) {
        let State::Listener(listener) = &mut self.socket_mut(id).state else { return };
        for waiting in std::mem::take(&mut listener.queue) {
            self.reset(waiting);
            self.close(waiting);
        }
    }
}
