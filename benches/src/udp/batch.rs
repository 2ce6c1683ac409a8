//! Many datagrams in one call (sendmmsg(2), recvmmsg(2)), by hand.

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Room for some datagrams, which are received or sent together.
#[allow(missing_debug_implementations, reason = "the kernel's structures have none")]
pub struct Batch {
    bytes: Vec<u8>,
    size: usize,
    /// What the calls are given; they point to each other and into `bytes` during a call only.
    headers: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in>,
}

impl Batch {
    /// Room for `count` datagrams of `size` bytes.
    #[must_use]
    pub fn new(count: usize, size: usize) -> Self {
        // SAFETY: all three are plain data, for which all zeroes are a value.
        let (header, slice, name) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            bytes: vec![0; count * size],
            size,
            headers: vec![header; count],
            slices: vec![slice; count],
            names: vec![name; count],
        }
    }

    /// How many there is room for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.headers.len()
    }

    /// The bytes of the `n`th datagram, as it was received.
    #[must_use]
    pub fn datagram(&self, n: usize) -> &[u8] {
        let length = (self.headers[n].msg_len as usize).min(self.size);
        &self.bytes[n * self.size..][..length]
    }

    /// The room of the `n`th datagram.
    pub fn room(&mut self, n: usize) -> &mut [u8] {
        &mut self.bytes[n * self.size..][..self.size]
    }

    /// Waits for a datagram, and takes those that are there.
    ///
    /// # Errors
    ///
    /// Those of recvmmsg(2): `WouldBlock` when the socket's own limit of time is over.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let (size, name) = (self.size, size_of::<libc::sockaddr_in>() as u32);
        self.aim(|header| {
            header.msg_hdr.msg_namelen = name;
            size
        });
        let (fd, count, none) = (socket.as_raw_fd(), self.count() as u32, std::ptr::null_mut());
        // SAFETY: `aim` has the headers point to memory of this value, of the lengths they say.
        let received = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), count, libc::MSG_WAITFORONE, none)
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Sends the first `count` to where the socket is connected, each of the whole size.
    ///
    /// # Errors
    ///
    /// Those of sendmmsg(2).
    pub fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        let size = self.size;
        self.aim(|header| {
            header.msg_hdr.msg_namelen = 0;
            size
        });
        self.send_all(socket, count)
    }

    /// Sends the first `count`, which were received, back to where they came from.
    ///
    /// # Errors
    ///
    /// Those of sendmmsg(2).
    pub fn send_back(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        let size = self.size;
        self.aim(|header| (header.msg_len as usize).min(size));
        self.send_all(socket, count)
    }

    /// Has every header point to its name, its slice and so many of its bytes.
    fn aim(&mut self, length: impl Fn(&mut libc::mmsghdr) -> usize) {
        let rooms = self.bytes.chunks_exact_mut(self.size);
        let parts = self.headers.iter_mut().zip(&mut self.slices).zip(&mut self.names);
        for (((header, slice), name), room) in parts.zip(rooms) {
            slice.iov_len = length(header);
            slice.iov_base = room.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            let named = header.msg_hdr.msg_namelen > 0;
            let name: *mut libc::sockaddr_in = name;
            header.msg_hdr.msg_name = if named { name.cast() } else { std::ptr::null_mut() };
        }
    }

    fn send_all(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        let mut left = &mut self.headers[..count];
        while !left.is_empty() {
            let (fd, count) = (socket.as_raw_fd(), left.len() as u32);
            // SAFETY: `aim` has the headers point to memory of this value, of the lengths they say.
            let sent = unsafe { libc::sendmmsg(fd, left.as_mut_ptr(), count, 0) };
            let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
            left = &mut left[sent..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_goes_back_to_each_as_it_was() {
        let [server, one, other] = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = server.local_addr().unwrap();
        one.send_to(b"one", address).unwrap();
        other.send_to(b"another", address).unwrap();
        let mut batch = Batch::new(8, 16);
        let mut answered = 0;
        while answered < 2 {
            let received = batch.receive(&server).unwrap();
            let text = if answered == 0 { &b"one"[..] } else { b"another" };
            assert_eq!(batch.datagram(0), text);
            batch.send_back(&server, received).unwrap();
            answered += received;
        }
        let mut buffer = [0; 16];
        for (socket, expected) in [(one, &b"one"[..]), (other, b"another")] {
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected);
        }
    }
}
