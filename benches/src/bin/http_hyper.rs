//! Peer: hyper on tokio's current_thread runtime: a whole server of HTTP/1.1, not just its I/O.

use std::convert::Infallible;

use clap::Parser;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream));
        }
    })
}

async fn answer(stream: TcpStream) -> hyper::Result<()> {
    // No date, since the answer is checked to the byte.
    hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(hello))
        .await
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"Hello, World!")));
    let plain = hyper::header::HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    Ok(answer)
}
