//! What a server does with one connection: echo, a request that needs I/O and CPU, or one of a
//! store. The same for a thread that blocks and for a coroutine.

use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use pool::ProcessPool;
use serde::{Deserialize, Serialize};
use uring_loop::net::TcpStream;

use super::Workload;
use super::kv::{self, Keys};
use super::primes;
use super::report::Order;

/// Bytes of a request and of its reply.
pub const MESSAGE: usize = 64;

/// How long a mixed request waits, as if for another machine.
pub const BACKEND: Duration = Duration::from_millis(2);

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// What came goes back.
    Echo,
    /// A request's first eight bytes are a number. After a wait of [`BACKEND`] the next eight of
    /// the reply are [`primes::work`] on it; the rest goes back as it came.
    Mixed {
        /// How much work.
        divisions: u64,
    },
    /// A request gets or sets a key, see [`kv`].
    Kv,
}

impl Service {
    /// What is served where `order` asks for it; `None` for work that comes in jobs.
    #[must_use]
    pub fn of(order: &Order) -> Option<Self> {
        match order.workload {
            Workload::Echo => Some(Self::Echo),
            Workload::Mixed => Some(Self::Mixed { divisions: order.divisions }),
            Workload::Kv => Some(Self::Kv),
            _ => None,
        }
    }
}

/// The number in a request.
#[must_use]
pub fn number(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[..8].try_into().expect("eight bytes"))
}

/// Turns a request into its reply.
pub fn answer(request: &mut [u8], sum: u64) {
    request[8..16].copy_from_slice(&sum.to_le_bytes());
}

/// Serves a connection on this thread until the client closes it.
///
/// # Errors
///
/// Those of read(2) and write(2); `UnexpectedEof` within a request.
pub fn blocking(
    mut stream: std::net::TcpStream,
    service: Service,
    keys: &kv::Locked,
) -> io::Result<()> {
    if service == Service::Echo {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => stream.write_all(&buffer[..count])?,
            }
        }
    }
    let mut request = [0; MESSAGE];
    loop {
        match stream.read(&mut request)? {
            0 => return Ok(()),
            count => stream.read_exact(&mut request[count..])?,
        }
        match service {
            Service::Mixed { divisions } => {
                std::thread::sleep(BACKEND);
                let sum = primes::work(number(&request), divisions);
                answer(&mut request, sum);
            }
            _ => kv::write(&keys.act(kv::read(&request)), &mut request),
        }
        stream.write_all(&request)?;
    }
}

/// What coroutines need beside their connection.
#[derive(Debug, Clone)]
pub struct Helpers {
    /// The CPU part of a mixed request goes there if there are any; else it is done on the loop,
    /// which stands still meanwhile.
    pub workers: Option<Rc<ProcessPool>>,
    /// Where the keys of the store are.
    pub keys: Keys,
}

impl Helpers {
    /// None: the loop does everything itself.
    #[must_use]
    pub fn none() -> Self {
        Self { workers: None, keys: Keys::Own(Rc::default()) }
    }
}

/// Serves a connection as a coroutine until the client closes it.
///
/// # Errors
///
/// Those of recv(2) and send(2), of a job of the pool, of a call, and an end within a request.
///
/// # Cancel safety
///
/// None: a request may be lost. Run it in a task.
pub async fn coroutine(
    mut stream: TcpStream,
    service: Service,
    helpers: Helpers,
) -> anyhow::Result<()> {
    if service == Service::Echo {
        return echo(stream).await;
    }
    let mut request = Vec::with_capacity(MESSAGE);
    while receive(&mut stream, &mut request).await? {
        match service {
            Service::Mixed { divisions } => {
                uring_loop::time::sleep(BACKEND).await;
                let n = number(&request);
                let sum = match &helpers.workers {
                    Some(pool) => pool.submit(primes::work, (n, divisions)).await?,
                    None => primes::work(n, divisions),
                };
                answer(&mut request, sum);
            }
            _ => {
                let message = kv::read(request[..].try_into()?);
                kv::write(&helpers.keys.act(message).await?, &mut request);
            }
        }
        let (result, back) = stream.write_all(request).await;
        result?;
        request = back;
        request.clear();
    }
    Ok(())
}

/// Receives a request; false when the client has closed.
async fn receive(stream: &mut TcpStream, request: &mut Vec<u8>) -> anyhow::Result<bool> {
    while request.len() < MESSAGE {
        let mut bytes = stream.recv().await?;
        if bytes.is_empty() {
            ensure!(request.is_empty(), "a client closed within a request");
            return Ok(false);
        }
        let count = bytes.len().min(MESSAGE - request.len());
        request.extend_from_slice(&bytes[..count]);
        bytes.advance(count);
        ensure!(bytes.is_empty(), "a client sent more than it may");
    }
    Ok(true)
}

async fn echo(mut stream: TcpStream) -> anyhow::Result<()> {
    loop {
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        stream.write_all(bytes).await.0?;
    }
}
