//! Three sites are asked for their pages at the same time, by one thread; the lines of each header
//! are shown as they come. The sites are servers of this program: one answers later than another.
//!
//! As sites to look at, with `printf 'GET / HTTP/1.0\r\n\r\n' | nc 127.0.0.1 8080` in another
//! terminal (and 8081, 8082):
//!
//! ```sh
//! cargo run -p uring-loop --example 15_servers -- wget --serve
//! ```
//!
//! In Python: *Concepts of asynchronous I/O*, Demo3.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use uring_loop::stream::{Server, StreamReader, StreamWriter, open_connection, start_server};
use uring_loop::time::sleep;
use uring_loop::{WaitUntil, spawn_all, wait};

use super::{serving_loop, until_ctrl_c};
use crate::course::{event_loop, println};

/// A server that stands for one on the net.
struct Site {
    host: &'static str,
    /// How long its answer takes, in milliseconds.
    takes: u64,
    head: &'static str,
}

const SITES: [Site; 3] = [
    Site {
        host: "www.sina.com.cn",
        takes: 200,
        head: "HTTP/1.1 200 OK\r\nDate: Wed, 20 May 2015 04:56:33 GMT\r\n",
    },
    Site {
        host: "www.sohu.com",
        takes: 100,
        head: "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
    },
    Site {
        host: "www.163.com",
        takes: 300,
        head: "HTTP/1.0 302 Moved Temporarily\r\nServer: Cdn Cache Server V2.0\r\n",
    },
];

impl Site {
    async fn answer(&self, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
        reader.read_until(b"\r\n\r\n").await?;
        sleep(Duration::from_millis(self.takes)).await;
        writer.write(self.head);
        writer.write(format!("\r\n<h1>{}</h1>\n", self.host));
        writer.close();
        writer.wait_closed().await
    }

    async fn start(&'static self, address: SocketAddr) -> io::Result<Server> {
        start_server(address, |reader, writer| self.answer(reader, writer)).await
    }
}

/// The sites, one at this port and one at each of the next; or each at any port for port 0.
async fn start_sites(first: SocketAddr) -> io::Result<Vec<Server>> {
    let mut servers = Vec::new();
    let mut address = first;
    for site in &SITES {
        servers.push(site.start(address).await?);
        if first.port() > 0 {
            address.set_port(address.port().wrapping_add(1));
        }
    }
    Ok(servers)
}

async fn wget(host: &str, address: SocketAddr) -> io::Result<()> {
    println!("wget {host}...");
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"));
    writer.drain().await?;
    while let Some(line) = reader.next_line().await? {
        if line == b"\r\n" {
            break;
        }
        println!("{host} header > {}", String::from_utf8_lossy(line).trim_end());
    }
    // The body is not read.
    writer.close();
    Ok(())
}

async fn wget_all() -> io::Result<()> {
    let servers = start_sites(([127, 0, 0, 1], 0).into()).await?;
    let hosts = SITES.iter().zip(&servers).map(|(site, server)| {
        let address = server.addresses()[0].ip().expect("TCP");
        wget(site.host, address)
    });
    let (done, _) = wait(spawn_all(hosts), WaitUntil::AllCompleted).await?;
    for task in done {
        task.await??;
    }
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(wget_all())?
}

pub(crate) fn serve(address: &str) -> io::Result<()> {
    let mut event_loop = serving_loop()?;
    let first = address.parse().map_err(io::Error::other)?;
    let servers = event_loop.run_until_complete(start_sites(first))??;
    for (site, server) in SITES.iter().zip(&servers) {
        println!("{} is on {}", site.host, server.addresses()[0]);
    }
    until_ctrl_c(event_loop.run_forever())
}
