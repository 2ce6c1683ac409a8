//! Peer: tokio's UDP sockets, on its current_thread runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use benches::spent::{Begin, Spent};
use benches::udp::{self, Job, Peer, Tally};
use tokio::net::UdpSocket;
use tokio::spawn;

fn main() -> anyhow::Result<()> {
    udp::main(Peer { answer, answer_by_tasks: Some(answer_by_tasks), receive, send })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a tokio runtime");
    runtime.block_on(async { spawn(future).await.expect("no panic") })
}

fn socket(socket: std::net::UdpSocket) -> UdpSocket {
    socket.set_nonblocking(true).expect("a socket");
    UdpSocket::from_std(socket).expect("a socket")
}

fn answer(job: Job) -> Spent {
    run(async move {
        let socket = socket(job.socket);
        let mut buffer = vec![0; 2048];
        let begin = Begin::now();
        for _ in 0..job.count {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("a datagram");
            socket.send_to(&buffer[..length], from).await.expect("sent");
        }
        begin.spent()
    })
}

fn answer_by_tasks(job: Job) -> Spent {
    run(async move {
        let socket = Arc::new(socket(job.socket));
        let mut buffer = vec![0; 2048];
        let begin = Begin::now();
        for _ in 0..job.count {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("a datagram");
            let (socket, answer) = (socket.clone(), buffer[..length].to_vec());
            spawn(async move { socket.send_to(&answer, from).await.expect("sent") });
        }
        begin.spent()
    })
}

fn receive(job: Job) -> (Spent, Tally) {
    run(async move {
        let socket = socket(job.socket);
        let mut buffer = vec![0; 2048];
        let mut tally = Tally::default();
        let begin = Begin::now();
        for _ in 0..job.count {
            let (length, _) = socket.recv_from(&mut buffer).await.expect("a datagram");
            tally.note(&buffer[..length]);
        }
        (begin.spent(), tally)
    })
}

fn send(job: Job) -> (Spent, u64) {
    run(async move {
        let socket = Arc::new(socket(job.socket));
        let next = Arc::new(AtomicU64::new(0));
        let begin = Begin::now();
        let senders = (0..job.depth).map(|_| {
            let (socket, next) = (socket.clone(), next.clone());
            spawn(async move {
                let buffer = vec![7; job.size];
                while next.fetch_add(1, Ordering::Relaxed) < job.count {
                    socket.send(&buffer).await.expect("sent");
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.expect("no panic");
        }
        (begin.spent(), job.count)
    })
}
