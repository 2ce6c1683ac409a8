//! The channel of `shard`, both ends on one thread: the ring itself, without a cache line on its
//! way between two cores and without a wake.

use std::hint::black_box;

use futures_util::FutureExt;
use shard::channel::channel;

use crate::Group;

const ROOM: usize = 1024;
const BATCH: usize = 128;

pub(crate) fn all(group: &mut Group<'_>) {
    group.bench_function("channel: send one and receive it", |bencher| {
        let (mut sender, mut receiver) = channel(ROOM);
        let mut number = 0_u64;
        bencher.iter(|| {
            number += 1;
            sender.try_send(number).expect("there is room");
            black_box(receiver.try_recv().expect("there is one"))
        });
    });
    group.bench_function("channel: send 128 singly and receive them singly", |bencher| {
        let (mut sender, mut receiver) = channel(ROOM);
        bencher.iter(|| {
            for number in 0..BATCH {
                sender.try_send(number).expect("there is room");
            }
            for number in 0..BATCH {
                assert_eq!(receiver.try_recv(), Ok(number));
            }
        });
    });
    group.bench_function("channel: send 128 and receive them, in batches", |bencher| {
        let (mut sender, mut receiver) = channel(ROOM);
        let mut taken = Vec::with_capacity(BATCH);
        bencher.iter(|| {
            let sent = sender.send_batch(0..BATCH).now_or_never();
            sent.expect("there is room").expect("there is a receiver");
            while taken.len() < BATCH {
                // It is pending once in a while, to let others run.
                let _ = receiver.recv_batch(&mut taken, BATCH).now_or_never();
            }
            black_box(&taken);
            taken.clear();
        });
    });
}
