//! A server that sends back what it gets, and logs each call of its protocol. A client sends a
//! message in parts, then its end, and shows what comes back.
//!
//! As a server to talk to, with `nc 127.0.0.1 10000` in another terminal (Ctrl+D is the end):
//!
//! ```sh
//! cargo run -p uring-loop --example 15_servers -- echo_server --serve
//! ```
//!
//! In Python: *A guide to asyncio*, *Echo Server*.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use uring_loop::buf::RecvBuf;
use uring_loop::protocol::{Protocol, Transport, create_server};
use uring_loop::stream::{Server, open_connection};
use uring_loop::{EventLoop, spawn, stop};

use super::{serving_loop, until_ctrl_c};
use crate::course::{event_loop, println};

/// What Python's `logging` prints with the format `%(name)s: %(message)s`.
fn log(name: &str, message: &str) {
    println!("{name}: {message}");
}

#[derive(Default)]
struct EchoServer {
    transport: Option<Transport>,
    name: String,
}

impl EchoServer {
    fn transport(&self) -> &Transport {
        self.transport.as_ref().expect("connection_made comes first")
    }
}

impl Protocol for EchoServer {
    fn connection_made(&mut self, transport: Transport) {
        let address = transport.peer_address().and_then(|peer| peer.ip());
        self.name = address.map_or("EchoServer".to_owned(), |address| {
            format!("EchoServer_{}_{}", address.ip(), address.port())
        });
        self.transport = Some(transport);
        log(&self.name, "connection accepted");
    }

    fn data_received(&mut self, data: RecvBuf) {
        log(&self.name, &format!("received {}", repr(&data)));
        self.transport().write(&data);
        log(&self.name, &format!("sent {}", repr(&data)));
    }

    fn eof_received(&mut self) -> bool {
        log(&self.name, "received EOF");
        if self.transport().can_write_eof() {
            self.transport().write_eof();
        }
        false
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        match error {
            Some(error) => log(&self.name, &format!("ERROR: {error}")),
            None => log(&self.name, "closing"),
        }
    }
}

/// Bytes as Python writes them.
fn repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for byte in bytes {
        match char::from(*byte) {
            c if c == quote || c == '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c @ ' '..='~' => text.push(c),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes everything"),
        }
    }
    text.push(quote);
    text
}

async fn listen(address: &str) -> io::Result<(Server, SocketAddr)> {
    let server = create_server(EchoServer::default, address).await?;
    let bound = server.addresses().iter().filter_map(|address| address.ip());
    let bound = bound.min_by_key(SocketAddr::is_ipv6).expect("it listens somewhere");
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    log("main", &format!("starting up on {host} port {}", bound.port()));
    Ok((server, bound))
}

fn run_forever(event_loop: &mut EventLoop, server: &Server) -> io::Result<()> {
    until_ctrl_c(event_loop.run_forever())?;
    event_loop.run_until_complete(async {
        server.close();
        server.close_clients();
        server.wait_closed().await;
    })?;
    Ok(())
}

pub(crate) fn serve(address: &str) -> io::Result<()> {
    let mut event_loop = serving_loop()?;
    let (server, _) = event_loop.run_until_complete(listen(address))??;
    run_forever(&mut event_loop, &server)
}

const MESSAGE: [&str; 3] = ["This is the message. ", "It will be sent ", "in parts."];

/// The client. What it has is given out when the server has ended.
async fn send_in_parts(address: SocketAddr) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = open_connection(address).await?;
    for part in MESSAGE {
        writer.write(part);
    }
    writer.write_eof();
    let echo = reader.read_to_end().await;
    stop();
    echo
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let (server, client) = event_loop.run_until_complete(async {
        let (server, address) = listen("localhost:0").await?;
        io::Result::Ok((server, spawn(send_in_parts(address))))
    })??;
    run_forever(&mut event_loop, &server)?;
    let echo = event_loop.run_until_complete(client)???;
    println!("{}", repr(&echo));
    Ok(())
}
