//! The load maker of echo, mixed and kv: one pinned thread, one request under way on each
//! connection, a fixed number of requests. Every byte that comes back is checked.
//!
//! Written on epoll, so that it owes nothing to what it measures. A connection is closed as soon as
//! its last reply is in: a server that serves one after the other gets to the next one then.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use serde::{Deserialize, Serialize};

use super::kv::{self, Script};
use super::meter;
use super::primes;
use super::report::{Finding, Times};
use super::service::{self, MESSAGE, Service};

/// A server that answers nothing for so long is given up.
const SILENCE_MS: u16 = 30_000;

/// What to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// Where the server listens.
    pub server: SocketAddr,
    /// What it does.
    pub service: Service,
    /// Connections, all open from the start.
    pub connections: usize,
    /// Requests, over all connections.
    pub requests: usize,
    /// Core of this process.
    pub core: usize,
    /// After so many seconds this process ends in any case.
    pub life: u32,
}

struct Connection {
    stream: TcpStream,
    left: usize,
    request: [u8; MESSAGE],
    expected: [u8; MESSAGE],
    reply: [u8; MESSAGE],
    /// What it asks of a store.
    script: Option<Script>,
    filled: usize,
    sent: Instant,
}

/// Opens the connections, sends all requests, and measures from the first to the last reply.
///
/// # Errors
///
/// When the server refuses, closes too early, falls silent, or answers wrongly.
pub fn run(load: &Load) -> anyhow::Result<Finding> {
    meter::confine(&[load.core])?;
    meter::note("load maker");
    let answers = Answers::new(load.service);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut connections = open(load)?;
    for (number, connection) in connections.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        epoll.add(&connection.as_ref().context("just opened")?.stream, event)?;
    }
    let before = meter::cost()?;
    let mut times = Vec::with_capacity(load.requests);
    let start = Instant::now();
    for (number, connection) in connections.iter_mut().flatten().enumerate() {
        connection.send(number, &answers)?;
    }
    let mut events = vec![EpollEvent::empty(); 256];
    while times.len() < load.requests {
        let ready = match epoll.wait(&mut events, SILENCE_MS) {
            Err(nix::errno::Errno::EINTR) => continue,
            ready => ready?,
        };
        ensure!(ready > 0, "no answer from the server for {SILENCE_MS} ms");
        for event in &events[..ready] {
            let number = event.data() as usize;
            let Some(connection) = &mut connections[number] else { continue };
            let took = connection.receive().with_context(|| format!("connection {number}"))?;
            times.extend(took);
            if connection.left == 0 {
                // Closing takes it off the epoll set.
                connections[number] = None;
            } else if took.is_some() {
                connection.send(number, &answers)?;
            }
        }
    }
    let wall = start.elapsed();
    Ok(Finding {
        done: times.len(),
        wall,
        cost: meter::difference(meter::cost()?, before),
        times: Times::of(times),
        pins: meter::notes(),
        ..Finding::default()
    })
}

/// Opens as many connections as have something to send.
fn open(load: &Load) -> anyhow::Result<Vec<Option<Connection>>> {
    crate::pin::raise_file_limit()?;
    let share = |number| {
        load.requests / load.connections + usize::from(number < load.requests % load.connections)
    };
    let connect = |number: usize| {
        let stream = TcpStream::connect_timeout(&load.server, Duration::from_secs(10))
            .with_context(|| format!("connection {number} to {}", load.server))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Some(Connection {
            stream,
            left: share(number),
            request: [0; MESSAGE],
            expected: [0; MESSAGE],
            reply: [0; MESSAGE],
            script: (load.service == Service::Kv).then(|| Script::new(number)),
            filled: 0,
            sent: Instant::now(),
        }))
    };
    (0..load.connections.min(load.requests)).map(connect).collect()
}

impl Connection {
    fn send(&mut self, number: usize, answers: &Answers) -> anyhow::Result<()> {
        match &mut self.script {
            Some(script) => {
                let (request, reply) = script.next(self.left);
                kv::write(&request, &mut self.request);
                kv::write(&reply, &mut self.expected);
            }
            None => {
                answers.fill(&mut self.request, number, self.left);
                self.expected = self.request;
                answers.answer(&mut self.expected);
            }
        }
        self.sent = Instant::now();
        // So few bytes always fit into the socket's buffer.
        let count = self.stream.write(&self.request).context("sending a request")?;
        ensure!(count == MESSAGE, "the kernel took {count} of {MESSAGE} bytes");
        Ok(())
    }

    /// Reads what is there; the time the request took, if its reply is whole and right.
    fn receive(&mut self) -> anyhow::Result<Option<Duration>> {
        match self.stream.read(&mut self.reply[self.filled..]) {
            Ok(0) => bail!("the server closed the connection {} requests too early", self.left),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("receiving"),
        }
        if self.filled < MESSAGE {
            return Ok(None);
        }
        let took = self.sent.elapsed();
        ensure!(self.reply == self.expected, "the server answered something else than it should");
        self.filled = 0;
        self.left -= 1;
        Ok(Some(took))
    }
}

/// The right answers, worked out beforehand.
struct Answers {
    sums: Vec<(u64, u64)>,
}

impl Answers {
    fn new(service: Service) -> Self {
        let Service::Mixed { divisions } = service else { return Self { sums: Vec::new() } };
        let sums = primes::HARD.iter().map(|&n| (n, primes::work(n, divisions))).collect();
        Self { sums }
    }

    /// Writes a request: no two neighbours are alike, in time or in number of the connection.
    fn fill(&self, request: &mut [u8; MESSAGE], connection: usize, left: usize) {
        let mut seed = (connection as u64 + 1) << 32 | left as u64;
        for chunk in request.chunks_exact_mut(8) {
            // splitmix64's step
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 27)).to_le_bytes());
        }
        if !self.sums.is_empty() {
            let (n, _) = self.sums[(connection + left) % self.sums.len()];
            request[..8].copy_from_slice(&n.to_le_bytes());
        }
    }

    /// Turns a request into the reply it must have.
    fn answer(&self, request: &mut [u8; MESSAGE]) {
        let n = service::number(request);
        if let Some(&(_, sum)) = self.sums.iter().find(|(of, _)| *of == n) {
            service::answer(request, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of one connection that spoils byte `spoil` of every reply.
    fn serve_badly(spoil: Option<usize>) -> anyhow::Result<Finding> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let server = listener.local_addr()?;
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut message = [0; MESSAGE];
            while stream.read_exact(&mut message).is_ok() {
                if let Some(at) = spoil {
                    message[at] ^= 1;
                }
                if stream.write_all(&message).is_err() {
                    break;
                }
            }
        });
        let service = Service::Echo;
        let load = Load { server, service, connections: 1, requests: 5, core: 0, life: 60 };
        let result = run(&load);
        thread.join().unwrap();
        result
    }

    #[test]
    fn every_byte_of_a_reply_is_checked() {
        let found = serve_badly(None).unwrap();
        assert_eq!(found.done, 5);
        let latency = found.times.latency;
        assert!(latency.max_ns >= latency.p50_ns && latency.p50_ns > 0);
        let error = serve_badly(Some(MESSAGE - 1)).unwrap_err();
        assert!(format!("{error:#}").contains("something else"), "{error:#}");
    }

    #[test]
    fn an_answer_without_the_work_is_wrong() {
        let answers = Answers::new(Service::Mixed { divisions: 1000 });
        let mut request = [0; MESSAGE];
        answers.fill(&mut request, 3, 9);
        let mut reply = request;
        answers.answer(&mut reply);
        assert_ne!(reply[8..16], request[8..16]);
        assert_eq!(reply[16..], request[16..]);
        let sum = primes::work(service::number(&request), 1000);
        assert_eq!(reply[8..16], sum.to_le_bytes());
    }
}
