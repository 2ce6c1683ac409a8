//! Linked operations: order, failure, hard links, link timeouts, full queues, drops.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use futures_util::join;
use uring_loop::EventLoop;
use uring_loop::op::{Cqe, Driver, Hard, LinkTimeout, Nop, Op, Sqe, opcode};
use uring_loop::testing::SimConfig;

use crate::support::{on_sim_with, poll_once, small};

/// Reads or writes at a place of a file.
struct At {
    opcode: u8,
    file: Rc<File>,
    place: u64,
    bytes: Vec<u8>,
}

// SAFETY: the entry points into the vector's heap memory, which the op owns; the op keeps the
// file open.
unsafe impl Op for At {
    type Output = (io::Result<u32>, Vec<u8>);

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = self.opcode;
        sqe.fd = self.file.as_raw_fd();
        sqe.addr = self.bytes.as_mut_ptr() as u64;
        sqe.len = self.bytes.len() as u32;
        sqe.off = self.place;
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        (cqe.into_result(), self.bytes)
    }
}

/// An operation that the kernel starts and that fails: a read from nowhere.
struct Bad;

// SAFETY: no descriptor, so the kernel never comes to the address, which is null.
unsafe impl Op for Bad {
    type Output = i32;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::READ;
        sqe.fd = -1;
    }

    fn complete(self, cqe: Cqe) -> i32 {
        cqe.result
    }
}

/// A read that waits until the pipe has bytes, or is closed.
fn read(pipe: &Rc<File>) -> At {
    At { opcode: opcode::READ, file: pipe.clone(), place: u64::MAX, bytes: vec![0; 16] }
}

fn pipe() -> (Rc<File>, File) {
    let (reader, writer) = io::pipe().expect("descriptors");
    let (reader, writer): (std::os::fd::OwnedFd, std::os::fd::OwnedFd) =
        (reader.into(), writer.into());
    (Rc::new(reader.into()), writer.into())
}

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn on_kernel<F: Future>(future: F) -> F::Output {
    EventLoop::new().expect("a ring").run_until_complete(future).expect("not cancelled")
}

#[test]
fn each_starts_when_the_one_before_has_succeeded() {
    let file = Rc::new(tempfile::tempfile().expect("a file"));
    let at = |opcode, place, bytes: &[u8]| At {
        opcode,
        file: file.clone(),
        place,
        bytes: bytes.to_vec(),
    };
    let chain = (
        at(opcode::WRITE, 0, b"first, "),
        at(opcode::WRITE, 7, b"then"),
        at(opcode::READ, 0, &[0; 11]),
    );
    let (one, two, three) = on_kernel(async { Driver::current().chain(chain).await });
    assert_eq!((one.0.expect("written"), two.0.expect("written")), (7, 4));
    assert_eq!((three.0.expect("read"), three.1.as_slice()), (11, b"first, then".as_slice()));
}

#[test]
fn a_failure_cancels_what_follows_and_a_short_read_is_one() {
    let file = Rc::new(tempfile::tempfile().expect("a file"));
    std::io::Write::write_all(&mut &*file, b"short").expect("written");
    let short = At { opcode: opcode::READ, file, place: 0, bytes: vec![0; 100] };
    on_kernel(async {
        let driver = Driver::current();
        let (bad, nop, last) = driver.chain((Bad, Nop, Nop)).await;
        assert_eq!(bad, -libc::EBADF);
        assert_eq!((code(nop), code(last)), (Some(libc::ECANCELED), Some(libc::ECANCELED)));
        let (read, nop) = driver.chain((short, Nop)).await;
        assert_eq!((read.0.expect("what there is"), code(nop)), (5, Some(libc::ECANCELED)));
    });
}

#[test]
fn a_hard_link_holds_over_a_failure() {
    on_kernel(async {
        let driver = Driver::current();
        let (bad, nop, worse, last) = driver.chain((Hard(Bad), Nop, Bad, Hard(Nop))).await;
        assert_eq!((bad, worse), (-libc::EBADF, -libc::EBADF));
        nop.expect("it ran");
        assert_eq!(code(last), Some(libc::ECANCELED));
        // Without a follower the hard link binds nothing that comes later.
        driver.submit(Hard(Nop)).await.expect("alone");
        driver.submit(Nop).await.expect("after it");
    });
}

#[test]
fn a_link_timeout_ends_the_operation_before_it() {
    on_kernel(async {
        let driver = Driver::current();
        let (reader, mut writer) = pipe();
        let limit = || LinkTimeout::after(Duration::from_millis(5));
        let (waited, expired, next) = driver.chain((read(&reader), limit(), Nop)).await;
        assert_eq!((code(waited.0), code(next)), (Some(libc::ECANCELED), Some(libc::ECANCELED)));
        assert!(expired.expect("it ran"));
        std::io::Write::write_all(&mut writer, b"bytes").expect("room");
        let limit = LinkTimeout::after(Duration::from_secs(60));
        let (come, expired) = driver.chain((read(&reader), limit)).await;
        assert_eq!((come.0.expect("bytes"), expired.expect("it ran")), (5, false));
    });
}

#[test]
fn a_vector_of_operations_is_a_chain_too() {
    on_kernel(async {
        let results = Driver::current().chain(vec![Nop, Nop, Nop, Nop, Nop]).await;
        assert_eq!(results.into_iter().filter(Result::is_ok).count(), 5);
    });
}

/// If an enter fell between two entries of the chain, the later ones would start on their own, and
/// succeed.
#[test]
fn a_chain_that_finds_the_queue_full_goes_over_as_a_whole() {
    for before in 0..9 {
        let config = SimConfig { submissions: 4, ..SimConfig::seeded(before) };
        let ((), statistics) = on_sim_with(small(), config, |_| async move {
            let driver = Driver::current();
            let others = async {
                let nops = (0..before).map(|_| driver.submit(Nop));
                let done = futures_util::future::join_all(nops).await;
                assert!(done.into_iter().all(|nop| nop.is_ok()));
            };
            let chains =
                async { join!(driver.chain((Bad, Nop, Nop)), driver.chain((Nop, Bad, Nop, Nop))) };
            let ((), ((bad, one, two), (good, worse, three, four))) = join!(others, chains);
            assert_eq!((bad, worse), (-libc::EBADF, -libc::EBADF));
            good.expect("before the failure");
            for after in [one, two, three, four] {
                assert_eq!(code(after), Some(libc::ECANCELED));
            }
        });
        assert!(statistics.flushes + statistics.backlogged > 0, "{statistics}");
    }
}

#[test]
fn a_dropped_chain_is_cancelled_and_nothing_leaks() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let (reader, writer) = pipe();
    let mut left = event_loop
        .run_until_complete(async {
            let driver = Driver::current();
            drop(driver.chain((read(&reader), Nop)));
            let mut chain = driver.chain((read(&reader), read(&reader), Nop));
            assert!(poll_once(&mut chain).await.is_pending());
            drop(chain);
            while !driver.in_flight_table().is_empty() {
                uring_loop::yield_now().await;
            }
            // One that is in flight when the loop goes.
            let mut left = driver.chain((read(&reader), Nop));
            assert!(poll_once(&mut left).await.is_pending());
            Some(left)
        })
        .expect("not cancelled")
        .expect("it was made");
    drop(event_loop);
    let (read, nop) = on_kernel(&mut left);
    assert_eq!((code(read.0), code(nop)), (Some(libc::ECANCELED), Some(libc::ECANCELED)));
    drop(left);
    assert_eq!(Rc::strong_count(&reader), 1, "an operation was not dropped");
    drop(writer);
}

#[test]
fn a_chain_of_a_loop_that_is_gone_is_cancelled() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let driver = event_loop.run_until_complete(async { Driver::current() }).expect("it ran");
    drop(event_loop);
    let (one, two) = on_kernel(async { driver.chain((Nop, Nop)).await });
    assert_eq!((code(one), code(two)), (Some(libc::ECANCELED), Some(libc::ECANCELED)));
}

#[test]
#[should_panic(expected = "does not fit a submission queue of 4 entries")]
fn a_chain_longer_than_the_queue_is_refused() {
    let mut event_loop = EventLoop::builder().submissions(4).build().expect("a ring");
    let _ = event_loop.run_until_complete(async {
        let ops: Vec<Nop> = (0..5).map(|_| Nop).collect();
        Driver::current().chain(ops).await
    });
}

#[test]
#[should_panic(expected = "a chain needs an operation")]
fn a_chain_of_nothing_is_refused() {
    on_kernel(async { drop(Driver::current().chain(Vec::<Nop>::new())) });
}
