//! Floor: echo on a bare ring. Multishot accept, multishot recv into provided buffers, send from
//! the lent buffer. No runtime, no task, no waker; six bytes of state per connection.
//!
//! Order is kept by at most one send per connection in flight; what arrives meanwhile waits in a
//! list threaded through the lent buffers themselves.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

use benches::uring::{Buffers, Parts};
use clap::Parser;
use io_uring::{cqueue, opcode, squeue, types};

#[derive(Debug, Clone, clap::Parser)]
#[command(about = "Echoes what it is sent on a bare io_uring, until stdin closes")]
struct Options {
    #[command(flatten)]
    common: benches::serve::Common,
    /// Provided buffers: a power of two
    #[arg(long, default_value_t = 256)]
    buffers: u16,
    /// Entries of the submission queue
    #[arg(long, default_value_t = 1024)]
    entries: u32,
    /// Entries of the completion queue
    #[arg(long, default_value_t = 16384)]
    completions: u32,
    /// Completions to wait for in one turn
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Registered (direct) descriptors in place of ordinary ones
    #[arg(long)]
    direct: bool,
}

/// Registered descriptors there is room for.
const DIRECT: u32 = 16384;

/// No buffer: ends a list.
const NONE: u16 = u16::MAX;
const GROUP: u16 = 0;
const SEND_FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const OTHER: u64 = 3;

/// What a completion says of itself: kind, buffer, descriptor.
const fn token(kind: u64, buffer: u16, fd: i32) -> u64 {
    kind << 56 | (buffer as u64) << 32 | fd as u32 as u64
}

/// A connection, found by its descriptor. *Open* while a recv is armed or starved, *ending* from
/// the end of its stream or an error on; closed when no operation and no buffer names it any more.
#[derive(Clone, Copy)]
struct Connection {
    head: u16,
    tail: u16,
    receiving: bool,
    ending: bool,
}

/// A buffer the kernel filled and we have not given back: the rest of it that is to be sent.
#[derive(Clone, Copy)]
struct Lent {
    next: u16,
    offset: u32,
    length: u32,
}

struct Floor<'ring> {
    parts: Parts<'ring>,
    buffers: &'ring mut Buffers,
    listener: i32,
    connections: Vec<Connection>,
    lent: Vec<Lent>,
    starved: VecDeque<i32>,
    given: usize,
    direct: bool,
    /// Says that connections are registered descriptors.
    flags: squeue::Flags,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = benches::serve::start(&options.common)?;
    let mut buffers = Buffers::new(options.buffers, options.common.buffer);
    let mut ring = benches::uring::build(options.entries, options.completions)?;
    let parts = Parts::new(&mut ring)?;
    // SAFETY: declared before the ring, so dropped after it.
    unsafe { buffers.register(&parts.submitter, GROUP)? };
    let mut floor = Floor {
        parts,
        buffers: &mut buffers,
        listener: listener.as_raw_fd(),
        connections: Vec::new(),
        lent: vec![Lent { next: NONE, offset: 0, length: 0 }; options.buffers as usize],
        starved: VecDeque::new(),
        given: 0,
        direct: options.direct,
        flags: if options.direct { squeue::Flags::FIXED_FILE } else { squeue::Flags::empty() },
    };
    if options.direct {
        floor.parts.submitter.register_files_sparse(DIRECT)?;
    }
    floor.accept()?;
    let mut batch = Vec::with_capacity(options.completions as usize);
    loop {
        if options.common.spin {
            floor.parts.spin(u32::MAX)?;
        } else {
            floor.parts.enter(options.batch)?;
        }
        batch.extend(
            (&mut floor.parts.done).map(|done| (done.user_data(), done.result(), done.flags())),
        );
        for (token, result, flags) in batch.drain(..) {
            floor.completed(token, result, flags)?;
        }
        floor.give_back()?;
    }
}

impl Floor<'_> {
    #[inline]
    fn completed(&mut self, token: u64, result: i32, flags: u32) -> io::Result<()> {
        let fd = token as u32 as i32;
        match token >> 56 {
            RECV => self.received(fd, result, flags),
            SEND => self.sent(fd, (token >> 32) as u16, result),
            ACCEPT => self.accepted(result, flags),
            _ => Ok(()),
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener))
            .allocate_file_index(self.direct)
            .build();
        // SAFETY: multishot accept without an address points at nothing.
        unsafe { self.parts.push(&entry.user_data(token(ACCEPT, 0, 0))) }
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if !cqueue::more(flags) {
            self.accept()?;
        }
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let index = result as usize;
        let open = Connection { head: NONE, tail: NONE, receiving: true, ending: false };
        if self.connections.len() <= index {
            self.connections.resize(index + 1, open);
        }
        self.connections[index] = open;
        self.receive(result)
    }

    fn receive(&mut self, fd: i32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(types::Fd(fd), GROUP).build().flags(self.flags);
        // SAFETY: the kernel writes to provided buffers only, which live as long as the ring.
        unsafe { self.parts.push(&entry.user_data(token(RECV, 0, fd))) }
    }

    #[inline]
    fn received(&mut self, fd: i32, result: i32, flags: u32) -> io::Result<()> {
        if result > 0
            && let Some(buffer) = cqueue::buffer_select(flags)
        {
            self.lent[buffer as usize] = Lent { next: NONE, offset: 0, length: result as u32 };
            let connection = &mut self.connections[fd as usize];
            if connection.head == NONE {
                (connection.head, connection.tail) = (buffer, buffer);
                self.send(fd, buffer)?;
            } else {
                self.lent[connection.tail as usize].next = buffer;
                connection.tail = buffer;
            }
        }
        if cqueue::more(flags) { Ok(()) } else { self.interrupted(fd, result) }
    }

    /// The multishot recv is over: for want of buffers, at the end of the stream, or for no reason.
    #[cold]
    fn interrupted(&mut self, fd: i32, result: i32) -> io::Result<()> {
        if result > 0 {
            return self.receive(fd);
        }
        if result == -libc::ENOBUFS {
            self.starved.push_back(fd);
            return Ok(());
        }
        let connection = &mut self.connections[fd as usize];
        (connection.receiving, connection.ending) = (false, true);
        self.close_if_over(fd)
    }

    #[inline]
    fn send(&mut self, fd: i32, buffer: u16) -> io::Result<()> {
        let lent = self.lent[buffer as usize];
        // SAFETY: the rest of a buffer the kernel filled: inside the allocation.
        let start = unsafe { self.buffers.address(buffer).add(lent.offset as usize) };
        let entry = opcode::Send::new(types::Fd(fd), start, lent.length)
            .flags(SEND_FLAGS)
            .build()
            .flags(self.flags);
        // SAFETY: the buffer is given back only when this send is complete.
        unsafe { self.parts.push(&entry.user_data(token(SEND, buffer, fd))) }
    }

    #[inline]
    fn sent(&mut self, fd: i32, buffer: u16, result: i32) -> io::Result<()> {
        let lent = &mut self.lent[buffer as usize];
        if result < 0 {
            return self.broken(fd);
        }
        if (result as u32) < lent.length {
            lent.offset += result as u32;
            lent.length -= result as u32;
            return self.send(fd, buffer);
        }
        let next = lent.next;
        self.buffers.give(buffer);
        self.given += 1;
        let connection = &mut self.connections[fd as usize];
        connection.head = next;
        if next != NONE {
            return self.send(fd, next);
        }
        if connection.ending { self.close_if_over(fd) } else { Ok(()) }
    }

    /// The peer is gone: what waits for it goes back, and a recv still armed is made to end.
    #[cold]
    fn broken(&mut self, fd: i32) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        let mut buffer = connection.head;
        connection.head = NONE;
        connection.ending = true;
        while buffer != NONE {
            self.buffers.give(buffer);
            self.given += 1;
            buffer = self.lent[buffer as usize].next;
        }
        // Not a shutdown: the kernel hands that to a worker, which looks the descriptor up when it
        // gets there, and by then it may be another connection's.
        let entry = opcode::AsyncCancel::new(token(RECV, 0, fd)).build();
        // SAFETY: points at nothing.
        unsafe { self.parts.push(&entry.user_data(token(OTHER, 0, fd)))? };
        self.close_if_over(fd)
    }

    #[cold]
    fn close_if_over(&mut self, fd: i32) -> io::Result<()> {
        let connection = self.connections[fd as usize];
        if connection.receiving || connection.head != NONE {
            return Ok(());
        }
        let entry = if self.direct {
            opcode::Close::new(types::Fixed(fd as u32)).build()
        } else {
            opcode::Close::new(types::Fd(fd)).build()
        };
        // SAFETY: closing a descriptor points at nothing, and nothing names `fd` any more.
        unsafe { self.parts.push(&entry.user_data(token(OTHER, 0, fd))) }
    }

    #[inline]
    fn give_back(&mut self) -> io::Result<()> {
        if self.given == 0 {
            return Ok(());
        }
        self.buffers.publish();
        for _ in 0..std::mem::take(&mut self.given) {
            let Some(fd) = self.starved.pop_front() else { break };
            self.receive(fd)?;
        }
        Ok(())
    }
}
