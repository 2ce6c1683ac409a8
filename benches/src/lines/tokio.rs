//! The connection of `lines_tokio` and `lines_tokio_bytes`. A part of both programs and not of the
//! library, which has no peer in it.

use benches::lines::Address;
use benches::spent::Spent;
use tokio::io::{AsyncRead, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::spawn;

pub(crate) fn run(future: impl Future<Output = Spent> + Send + 'static) -> Spent {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a tokio runtime");
    runtime.block_on(async { spawn(future).await.expect("no panic") })
}

/// Boxed: an indirect call for each 8 KiB.
pub(crate) async fn connect(from: Address) -> BufReader<Box<dyn AsyncRead + Send + Unpin>> {
    BufReader::new(match from {
        Address::Tcp(address) => Box::new(TcpStream::connect(address).await.expect("it listens")),
        Address::Unix(path) => Box::new(UnixStream::connect(path).await.expect("it listens")),
    })
}
