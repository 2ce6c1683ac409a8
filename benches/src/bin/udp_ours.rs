//! Ours: `uring_loop`'s UDP sockets.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use benches::spent::{Begin, Spent};
use benches::udp::{self, Job, Peer, Tally};
use uring_loop::net::UdpSocket;
use uring_loop::{gather, spawn};

fn main() -> anyhow::Result<()> {
    udp::main(Peer { answer, answer_by_tasks: Some(answer_by_tasks), receive, send })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

fn socket(socket: std::net::UdpSocket) -> UdpSocket {
    UdpSocket::from_owned_fd(OwnedFd::from(socket))
}

fn answer(job: Job) -> Spent {
    run(async move {
        let mut socket = socket(job.socket);
        let begin = Begin::now();
        for _ in 0..job.count {
            let datagram = socket.recv().await.expect("a datagram");
            let from = *datagram.from();
            socket.send_to(datagram.into_bytes(), from).await.0.expect("sent");
        }
        begin.spent()
    })
}

fn answer_by_tasks(job: Job) -> Spent {
    run(async move {
        let mut socket = socket(job.socket);
        let sender = socket.sender();
        let begin = Begin::now();
        for _ in 0..job.count {
            let datagram = socket.recv().await.expect("a datagram");
            let (sender, from) = (sender.clone(), *datagram.from());
            let answer = async move { sender.send_to(datagram.into_bytes(), from).await.0 };
            drop(spawn(async { answer.await.expect("sent") }));
        }
        begin.spent()
    })
}

fn receive(job: Job) -> (Spent, Tally) {
    run(async move {
        let mut socket = socket(job.socket);
        let mut tally = Tally::default();
        let begin = Begin::now();
        for _ in 0..job.count {
            tally.note(&socket.recv().await.expect("a datagram"));
        }
        (begin.spent(), tally)
    })
}

fn send(job: Job) -> (Spent, u64) {
    run(async move {
        let sender = socket(job.socket).sender();
        let left = Rc::new(Cell::new(job.count));
        let begin = Begin::now();
        let senders = (0..job.depth).map(|_| {
            let (sender, left) = (sender.clone(), left.clone());
            spawn(async move {
                let mut buffer = vec![7; job.size];
                while let Some(less) = left.get().checked_sub(1) {
                    left.set(less);
                    let (sent, back) = sender.send(buffer).await;
                    sent.expect("sent");
                    buffer = back;
                }
            })
        });
        gather(senders).await.expect("no panic");
        (begin.spent(), job.count)
    })
}
