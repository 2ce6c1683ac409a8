//! Servers on all shards, with real sockets.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use shard::{Shard, Shards};
use uring_loop::catch_cancel;
use uring_loop::net::{TcpListener, TcpStream};

use crate::{guarded, two_cpus};

/// Echoes; shard 0 chooses the port and tells the rest. Returns how many requests it answered.
async fn serve(shard: Shard, listening: Sender<SocketAddr>) -> io::Result<u64> {
    let requests = Rc::new(Cell::new(0));
    let count = requests.clone();
    let served = catch_cancel(async {
        let port = if shard.index() == 0 { 0 } else { port_of_shard_0(&shard).await? };
        let listener = TcpListener::bind_reuse_port(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        PORT.set(address.port());
        listening.send(address).map_err(io::Error::other)?;
        loop {
            let stream = listener.accept().await?;
            drop(uring_loop::spawn(echo(stream, count.clone())));
        }
        #[expect(unreachable_code)]
        Ok::<Infallible, io::Error>(unreachable!())
    });
    match served.await {
        Ok(Err(error)) => Err(error),
        Err(_cancelled) => Ok(requests.get()),
    }
}

thread_local! {
    static PORT: Cell<u16> = const { Cell::new(0) };
}

async fn port_of_shard_0(shard: &Shard) -> io::Result<u16> {
    loop {
        match shard.submit_to(0, || async { PORT.get() }).await? {
            0 => uring_loop::time::sleep(Duration::from_millis(1)).await,
            port => return Ok(port),
        }
    }
}

async fn echo(mut stream: TcpStream, requests: Rc<Cell<u64>>) -> io::Result<()> {
    loop {
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        requests.set(requests.get() + 1);
        stream.write_all(bytes).await.0?;
    }
}

/// One client: so many round trips on one connection.
fn talk(address: SocketAddr, client: usize, times: usize) -> io::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    for number in 0..times {
        let text = format!("client {client}, message {number}");
        stream.write_all(text.as_bytes())?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, text.as_bytes());
    }
    Ok(())
}

/// Runs the server on these CPUs, `clients` connections at once; the requests of each shard.
fn echoes(cpus: Vec<usize>, clients: usize) -> Vec<u64> {
    guarded(move || {
        let (listening, addresses) = channel();
        let count = cpus.len();
        let shards = Shards::builder()
            .cpus(cpus)
            .name("echo")
            .spawn(move |shard| serve(shard, listening))
            .expect("shards start");
        let addresses: Vec<_> = addresses.iter().take(count).collect();
        assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
        let clients: Vec<_> = (0..clients)
            .map(|client| {
                let address = addresses[client % count];
                thread::spawn(move || talk(address, client, 20))
            })
            .collect();
        for client in clients {
            client.join().expect("no panic").expect("the echo is right");
        }
        let ends = shards.shutdown(Duration::from_secs(100)).expect("nothing fails");
        ends.into_iter().map(|end| end.returned().expect("it counts")).collect()
    })
}

#[test]
fn several_clients_are_answered_by_all_shards_of_a_port() {
    let name = "several_clients_are_answered_by_all_shards_of_a_port";
    let Some(cpus) = two_cpus(name) else { return };
    let requests = echoes(cpus.to_vec(), 40);
    assert_eq!(requests.iter().sum::<u64>(), 40 * 20, "{requests:?}");
    // The kernel spreads 40 connections by a hash: all on one has a chance of 2^-39.
    assert!(requests.iter().all(|requests| *requests > 0), "{requests:?}");
}

#[test]
fn one_shard_answers_several_clients() {
    assert_eq!(echoes(vec![crate::cpus()[0]], 8), [8 * 20]);
}
