//! Peer: echo by hand on epoll, level-triggered, one shared buffer, no runtime.
//!
//! A connection costs a table slot until the client stops reading: only then are the bytes it still
//! has to get copied to a buffer of its own, and nothing more is read from it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

struct Connection {
    stream: TcpStream,
    owed: Vec<u8>,
}

struct Server {
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let door = listener.as_raw_fd() as u64;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, door))?;
    let timeout = if options.spin { EpollTimeout::ZERO } else { EpollTimeout::NONE };
    let mut server = Server { epoll, connections: Vec::new(), buffer: vec![0; options.buffer] };
    let mut events = vec![EpollEvent::empty(); 1024];
    loop {
        let ready = match server.epoll.wait(&mut events, timeout) {
            Err(nix::errno::Errno::EINTR) => continue,
            ready => ready?,
        };
        for event in &events[..ready] {
            if event.data() == door {
                server.accept(&listener)?;
            } else {
                server.serve(event.data() as usize, event.events());
            }
        }
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            stream.set_nonblocking(true)?;
            let index = stream.as_raw_fd() as usize;
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            if self.connections.len() <= index {
                self.connections.resize_with(index + 1, || None);
            }
            self.connections[index] = Some(Connection { stream, owed: Vec::new() });
        }
    }

    fn serve(&mut self, index: usize, what: EpollFlags) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        let served = if what.contains(EpollFlags::EPOLLOUT) {
            connection.pay(&self.epoll)
        } else {
            connection.echo(&self.epoll, &mut self.buffer)
        };
        if served.is_err() {
            // Dropping the stream closes it, and closing takes it off the epoll set.
            self.connections[index] = None;
        }
    }
}

impl Connection {
    fn echo(&mut self, epoll: &Epoll, buffer: &mut [u8]) -> io::Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        };
        let written = self.write(&buffer[..read])?;
        if written < read {
            self.owed.extend_from_slice(&buffer[written..read]);
            self.watch(epoll, EpollFlags::EPOLLOUT)?;
        }
        Ok(())
    }

    fn pay(&mut self, epoll: &Epoll) -> io::Result<()> {
        let owed = std::mem::take(&mut self.owed);
        let written = self.write(&owed)?;
        self.owed = owed[written..].to_vec();
        if self.owed.is_empty() { self.watch(epoll, EpollFlags::EPOLLIN) } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    fn watch(&self, epoll: &Epoll, what: EpollFlags) -> io::Result<()> {
        let index = self.stream.as_raw_fd() as u64;
        Ok(epoll.modify(&self.stream, &mut EpollEvent::new(what, index))?)
    }
}
