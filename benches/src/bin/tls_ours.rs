//! Ours: `tls::TlsStream` over `uring-loop`'s TCP.

use std::time::{Duration, Instant};

use benches::tls::{self as rows, Configs, MESSAGE, NAME, PIECE, Peer};
use tls::{TlsAcceptor, TlsConnector, TlsStream};
use uring_loop::io::{ByteStream as _, ByteStreamExt as _};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::{join, spawn};

type Stream = TlsStream<TcpStream>;

fn main() -> anyhow::Result<()> {
    rows::main(Peer { handshake, round_trip, stream })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

/// A listener, and what makes two ends of a connection to it.
struct Ends {
    listener: TcpListener,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Ends {
    fn new(configs: Configs) -> Self {
        Ends {
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            connector: TlsConnector::new(configs.client),
            acceptor: TlsAcceptor::new(configs.server),
        }
    }

    async fn connect(&self) -> (Stream, Stream) {
        let address = self.listener.local_addr().expect("bound");
        let client = async {
            let tcp = TcpStream::connect(address).await.expect("it listens");
            self.connector.connect(NAME, tcp).await.expect("trusted")
        };
        let server = async {
            let tcp = self.listener.accept().await.expect("it comes");
            self.acceptor.accept(tcp).await.expect("content")
        };
        join((client, server)).await
    }
}

/// Receives so many bytes.
async fn receive(stream: &Stream, count: usize) {
    let mut left = count;
    while left > 0 {
        let bytes = stream.recv().await.expect("open");
        assert!(!bytes.is_empty(), "it ended");
        left -= bytes.len();
    }
}

async fn send(stream: &Stream, count: usize) {
    let mut buffer = stream.spare_buffer();
    buffer.resize(count, 7);
    stream.send(buffer).await.expect("open");
}

fn handshake(configs: Configs, count: u64) -> Duration {
    run(async move {
        let ends = Ends::new(configs);
        let begin = Instant::now();
        for _ in 0..count {
            let (client, server) = ends.connect().await;
            let ((), ()) = join((send(&server, 1), receive(&client, 1))).await;
            let (one, other) = join((client.write_eof(), server.write_eof())).await;
            one.and(other).expect("open");
        }
        begin.elapsed()
    })
}

fn round_trip(configs: Configs, count: u64) -> Duration {
    run(async move {
        let (client, server) = Ends::new(configs).connect().await;
        let echo = spawn(async move {
            for _ in 0..count {
                receive(&server, MESSAGE).await;
                send(&server, MESSAGE).await;
            }
            server
        });
        let begin = Instant::now();
        for _ in 0..count {
            send(&client, MESSAGE).await;
            receive(&client, MESSAGE).await;
        }
        let took = begin.elapsed();
        drop(echo.await.expect("no panic"));
        took
    })
}

fn stream(configs: Configs, count: u64) -> Duration {
    run(async move {
        let (client, server) = Ends::new(configs).connect().await;
        let bytes = count as usize * 1024;
        let begin = Instant::now();
        let sender = spawn(async move {
            let mut left = bytes;
            while left > 0 {
                let now = left.min(PIECE);
                send(&client, now).await;
                left -= now;
            }
            client.flush().await.expect("open");
            client
        });
        receive(&server, bytes).await;
        let took = begin.elapsed();
        drop(sender.await.expect("no panic"));
        took
    })
}
