//! What a server does with one connection: echo, or a request that needs I/O and CPU. The same for
//! a thread that blocks and for a coroutine.

use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use pool::ProcessPool;
use serde::{Deserialize, Serialize};
use uring_loop::net::TcpStream;

use super::primes;

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
pub fn blocking(mut stream: std::net::TcpStream, service: Service) -> io::Result<()> {
    match service {
        Service::Echo => {
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => stream.write_all(&buffer[..count])?,
                }
            }
        }
        Service::Mixed { divisions } => {
            let mut request = [0; MESSAGE];
            loop {
                match stream.read(&mut request)? {
                    0 => return Ok(()),
                    count => stream.read_exact(&mut request[count..])?,
                }
                std::thread::sleep(BACKEND);
                let sum = primes::work(number(&request), divisions);
                answer(&mut request, sum);
                stream.write_all(&request)?;
            }
        }
    }
}

/// Serves a connection as a coroutine until the client closes it. The CPU part of a mixed request
/// goes to `workers` if there are any; else it is done here, and the loop stands still meanwhile.
///
/// # Errors
///
/// Those of recv(2) and send(2), of a job of the pool, and an end within a request.
///
/// # Cancel safety
///
/// None: a request may be lost. Run it in a task.
pub async fn coroutine(
    mut stream: TcpStream,
    service: Service,
    workers: Option<Rc<ProcessPool>>,
) -> anyhow::Result<()> {
    let Service::Mixed { divisions } = service else { return echo(stream).await };
    let mut request = Vec::with_capacity(MESSAGE);
    loop {
        while request.len() < MESSAGE {
            let mut bytes = stream.recv().await?;
            if bytes.is_empty() {
                ensure!(request.is_empty(), "a client closed within a request");
                return Ok(());
            }
            let count = bytes.len().min(MESSAGE - request.len());
            request.extend_from_slice(&bytes[..count]);
            bytes.advance(count);
            ensure!(bytes.is_empty(), "a client sent more than it may");
        }
        uring_loop::time::sleep(BACKEND).await;
        let n = number(&request);
        let sum = match &workers {
            Some(pool) => pool.submit(primes::work, (n, divisions)).await?,
            None => primes::work(n, divisions),
        };
        answer(&mut request, sum);
        let (result, back) = stream.write_all(request).await;
        result?;
        request = back;
        request.clear();
    }
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
