//! The server of downloads: HTTP/1.1, one answer for each connection, after a delay.
//!
//! Written on epoll and one thread, as the [load maker](super::client), so that it owes nothing to
//! what it measures. All answers wait equally long, so those that are due form a queue. It listens
//! at several ports: what connects at once has to fit into the queues of the kernel.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::Context;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use super::downloads::{self, BODY, DELAY};
use super::limits;
use super::meter;
use super::report::Finding;

/// Ports it listens at.
const PORTS: usize = 4;

/// What the server is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Web {
    /// Where it runs.
    pub core: usize,
    /// After so many seconds it ends in any case.
    pub life: u32,
}

struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    /// What is not sent of the answer, once there is one.
    answer: Vec<u8>,
    sent: usize,
}

struct Server {
    epoll: Epoll,
    listeners: Vec<TcpListener>,
    timer: TimerFd,
    clients: HashMap<u64, Client>,
    /// Who is answered when, and with what.
    due: VecDeque<(Instant, u64, u64)>,
    next: u64,
    answered: usize,
}

/// What an event is about: clients are numbered from [`FIRST`] on.
const STDIN: u64 = 0;
const TIMER: u64 = 1;
const FIRST: u64 = 1000;

/// Says `listening ADDRESS ADDRESS…` and serves until stdin ends.
///
/// # Errors
///
/// When it can't listen, or a client asks what it may not.
pub fn run(web: Web) -> anyhow::Result<Finding> {
    meter::confine(&[web.core])?;
    meter::note("web server");
    crate::pin::raise_file_limit()?;
    let mut server = Server::new()?;
    let before = meter::cost()?;
    let addresses = server.addresses()?;
    println!(
        "listening {}",
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    );
    while server.turn()? {}
    Ok(Finding {
        done: server.answered,
        cost: meter::difference(meter::cost()?, before),
        pins: meter::notes(),
        ..Finding::default()
    })
}

/// With the longest queue there is: who finds it full tries again after a second.
fn listener() -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(limits::backlog() as i32)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Server {
    fn new() -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let listeners: Vec<TcpListener> =
            (0..PORTS).map(|_| listener()).collect::<std::io::Result<_>>()?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        for (place, listener) in listeners.iter().enumerate() {
            epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, 2 + place as u64))?;
        }
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let stdin = std::io::stdin();
        epoll.add(stdin.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, STDIN))?;
        let (clients, due) = (HashMap::new(), VecDeque::new());
        Ok(Self { epoll, listeners, timer, clients, due, next: FIRST, answered: 0 })
    }

    fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Waits, and does what there is to do; false when stdin has ended.
    fn turn(&mut self) -> anyhow::Result<bool> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => 0,
            ready => ready?,
        };
        for event in &events[..ready] {
            match event.data() {
                STDIN => {
                    let mut word = [0; 16];
                    let stdin = std::io::stdin();
                    return Ok(nix::unistd::read(stdin.as_fd(), &mut word)? > 0);
                }
                TIMER => {}
                place if place < FIRST => self.accept(place as usize - 2)?,
                client if event.events().contains(EpollFlags::EPOLLOUT) => self.send(client)?,
                client => self.receive(client).context("a request")?,
            }
        }
        self.answer_due()?;
        Ok(true)
    }

    fn accept(&mut self, place: usize) -> anyhow::Result<()> {
        loop {
            let stream = match self.listeners[place].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting"),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let client = self.next;
            self.next += 1;
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, client))?;
            let (request, answer) = (Vec::new(), Vec::new());
            self.clients.insert(client, Client { stream, request, answer, sent: 0 });
            // The request is often there already.
            self.receive(client)?;
        }
    }

    fn receive(&mut self, number: u64) -> anyhow::Result<()> {
        let Some(client) = self.clients.get_mut(&number) else { return Ok(()) };
        let mut bytes = [0; 1024];
        match client.stream.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // It is gone: its business.
            Ok(0) | Err(_) => {
                self.clients.remove(&number);
                return Ok(());
            }
            Ok(count) => client.request.extend_from_slice(&bytes[..count]),
        }
        if let Some(asked) = downloads::asked(&client.request)? {
            self.due.push_back((Instant::now() + DELAY, number, asked));
            if self.due.len() == 1 {
                self.set_timer()?;
            }
        }
        Ok(())
    }

    /// Answers whom it is time for, and sets the timer for the next.
    fn answer_due(&mut self) -> anyhow::Result<()> {
        let mut answered = false;
        while let Some(&(_, number, asked)) = self.due.front().filter(|due| due.0 <= Instant::now())
        {
            self.due.pop_front();
            answered = true;
            let Some(client) = self.clients.get_mut(&number) else { continue };
            client.answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: \
                 {BODY}\r\nConnection: close\r\n\r\n"
            )
            .into_bytes();
            downloads::body(asked, &mut client.answer);
            self.send(number)?;
        }
        if answered {
            self.set_timer()?;
        }
        Ok(())
    }

    fn set_timer(&self) -> anyhow::Result<()> {
        let Some((at, ..)) = self.due.front() else { return Ok(self.timer.unset()?) };
        // None of 0: that would mean never.
        let left =
            at.saturating_duration_since(Instant::now()).max(std::time::Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
        Ok(self.timer.set(expiration, TimerSetTimeFlags::empty())?)
    }

    /// Sends what the socket takes of the answer; the connection is closed behind the last byte.
    fn send(&mut self, number: u64) -> anyhow::Result<()> {
        let Some(client) = self.clients.get_mut(&number) else { return Ok(()) };
        loop {
            match client.stream.write(&client.answer[client.sent..]) {
                Ok(count) => client.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut event = EpollEvent::new(EpollFlags::EPOLLOUT, number);
                    self.epoll.modify(&client.stream, &mut event)?;
                    return Ok(());
                }
                Err(_) => break,
            }
            if client.sent == client.answer.len() {
                self.answered += 1;
                break;
            }
        }
        self.clients.remove(&number);
        Ok(())
    }
}
