//! Peer: tokio-rustls over tokio's TCP, on its current_thread runtime.

use std::time::{Duration, Instant};

use benches::tls::{self as rows, Configs, MESSAGE, NAME, PIECE, Peer};
use futures_util::join;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::spawn;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

fn main() -> anyhow::Result<()> {
    rows::main(Peer { handshake, round_trip, stream })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a tokio runtime");
    runtime.block_on(async { spawn(future).await.expect("no panic") })
}

/// A listener, and what makes two ends of a connection to it.
struct Ends {
    listener: TcpListener,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Ends {
    async fn new(configs: Configs) -> Self {
        Ends {
            listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port"),
            connector: TlsConnector::from(configs.client),
            acceptor: TlsAcceptor::from(configs.server),
        }
    }

    async fn connect(&self) -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
        let address = self.listener.local_addr().expect("bound");
        let client = async {
            let tcp = TcpStream::connect(address).await.expect("it listens");
            // As ours is by default.
            tcp.set_nodelay(true).expect("a socket");
            let name = ServerName::try_from(NAME).expect("a name");
            self.connector.connect(name, tcp).await.expect("trusted")
        };
        let server = async {
            let (tcp, _) = self.listener.accept().await.expect("it comes");
            tcp.set_nodelay(true).expect("a socket");
            self.acceptor.accept(tcp).await.expect("content")
        };
        join!(client, server)
    }
}

/// Without the flush, what the session has left over would stay there.
async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    stream.write_all(bytes).await.expect("open");
    stream.flush().await.expect("open");
}

fn handshake(configs: Configs, count: u64) -> Duration {
    run(async move {
        let ends = Ends::new(configs).await;
        let begin = Instant::now();
        for _ in 0..count {
            let (mut client, mut server) = ends.connect().await;
            let (_, byte) = join!(send(&mut server, &[7]), client.read_u8());
            assert_eq!(byte.expect("open"), 7);
            let (one, other) = join!(client.shutdown(), server.shutdown());
            one.and(other).expect("open");
        }
        begin.elapsed()
    })
}

fn round_trip(configs: Configs, count: u64) -> Duration {
    run(async move {
        let (mut client, mut server) = Ends::new(configs).await.connect().await;
        let echo = spawn(async move {
            let mut buffer = [0; MESSAGE];
            for _ in 0..count {
                server.read_exact(&mut buffer).await.expect("open");
                send(&mut server, &buffer).await;
            }
            server
        });
        let mut buffer = [7; MESSAGE];
        let begin = Instant::now();
        for _ in 0..count {
            send(&mut client, &buffer).await;
            client.read_exact(&mut buffer).await.expect("open");
        }
        let took = begin.elapsed();
        drop(echo.await.expect("no panic"));
        took
    })
}

fn stream(configs: Configs, count: u64) -> Duration {
    run(async move {
        let (mut client, mut server) = Ends::new(configs).await.connect().await;
        let bytes = count as usize * 1024;
        let begin = Instant::now();
        let sender = spawn(async move {
            let piece = vec![7; PIECE];
            let mut left = bytes;
            while left > 0 {
                let now = left.min(PIECE);
                client.write_all(&piece[..now]).await.expect("open");
                left -= now;
            }
            client.flush().await.expect("open");
            client
        });
        let (mut buffer, mut left) = (vec![0; PIECE], bytes);
        while left > 0 {
            let count = server.read(&mut buffer).await.expect("open");
            assert!(count > 0, "it ended");
            left -= count;
        }
        let took = begin.elapsed();
        drop(sender.await.expect("no panic"));
        took
    })
}
