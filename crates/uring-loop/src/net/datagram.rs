//! Datagrams as users receive them.

use std::fmt;
use std::ops::Deref;

use crate::driver::recvbuf::RecvBuf;

/// A datagram in a buffer of the loop, and who sent it. It reads as a byte slice.
///
/// `A` is the kind of address: that of a [`UdpSocket`](super::UdpSocket) or of a
/// [`UnixDatagram`](super::UnixDatagram).
pub struct Datagram<A> {
    pub(super) bytes: RecvBuf,
    pub(super) info: DatagramInfo<A>,
}

/// What is known of a received datagram besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramInfo<A> {
    /// Bytes that were received.
    pub count: usize,
    /// Bytes that were sent. If it is more than `count`, the rest was cut off for want of room, and
    /// is lost.
    pub length: usize,
    /// Who sent it.
    pub from: A,
    /// The kernel has joined several datagrams of this size, the last one perhaps shorter
    /// ([`UdpSocket::set_gro`](super::UdpSocket::set_gro)).
    pub segment_size: Option<u16>,
}

impl<A> DatagramInfo<A> {
    /// Whether some of it was cut off.
    pub fn is_truncated(&self) -> bool {
        self.length > self.count
    }
}

impl<A> Datagram<A> {
    /// Who sent it.
    pub fn from(&self) -> &A {
        &self.info.from
    }

    /// How long it was and whether it is several.
    pub fn info(&self) -> &DatagramInfo<A> {
        &self.info
    }

    /// Whether it was longer than the loop's buffers, and the rest is lost. Datagrams can have up
    /// to 65 507 bytes: see [`Builder::buffers`](crate::Builder::buffers), or receive into a buffer
    /// of your own.
    pub fn is_truncated(&self) -> bool {
        self.info.is_truncated()
    }

    /// The datagrams that the kernel has joined; one, if it has joined none.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.info.segment_size.map_or(usize::MAX, usize::from).max(1);
        // An empty datagram is one all the same.
        let alone = self.bytes.is_empty().then_some(&[][..]);
        self.bytes.chunks(size).chain(alone)
    }

    /// The same with another kind of address.
    pub(crate) fn map_from<B>(self, map: impl FnOnce(A) -> B) -> Datagram<B> {
        let DatagramInfo { count, length, from, segment_size } = self.info;
        let info = DatagramInfo { count, length, from: map(from), segment_size };
        Datagram { bytes: self.bytes, info }
    }

    /// The bytes by themselves.
    pub fn into_bytes(self) -> RecvBuf {
        self.bytes
    }
}

impl<A> Deref for Datagram<A> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<A> AsRef<[u8]> for Datagram<A> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<A: fmt::Debug> fmt::Debug for Datagram<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram").field("bytes", &self.bytes).field("info", &self.info).finish()
    }
}
