//! The end of a loop with operations in flight: it waits for the kernel to let go of every buffer,
//! and what the kernel keeps beyond the deadline is leaked, never freed.

use std::cell::Cell;
use std::future::pending;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::{Cqe, Driver, Op, Sqe, opcode};
use uring_loop::testing::{Fault, SimConfig};
use uring_loop::time::sleep;
use uring_loop::{EventLoop, spawn, yield_now};

use crate::support::{in_leaking_child, logged, poll_once, small, sockets_receive_ahead};

const MIB: usize = 1 << 20;
const READS: usize = 32;
/// Rounds after which a test of the disk gives up being faster than the disk.
const MOST_ROUNDS: usize = 20;
/// Not a byte of the file.
const POISON: u8 = 0xee;

/// Page-aligned memory that is watched after its end: on drop it is filled with a sentinel and
/// kept, so that a write of the kernel that comes later shows.
struct Watched {
    memory: *mut u8,
    length: usize,
    freed: Rc<Cell<usize>>,
}

/// Where all of it lies: in sight of leak checkers.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// And which of it was freed.
static FREED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl Watched {
    fn new(length: usize, freed: &Rc<Cell<usize>>) -> Self {
        let layout = std::alloc::Layout::from_size_align(length, 4096).expect("a power of two");
        // SAFETY: the layout is not empty.
        let memory = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!memory.is_null());
        KEPT.lock().expect("no panic").push(memory.expose_provenance());
        Watched { memory, length, freed: freed.clone() }
    }

    /// How many words differ from the sentinel. The memory is never given back, so one may look.
    fn touched(memory: *mut u8, length: usize) -> usize {
        let sentinel = u64::from_ne_bytes([POISON; 8]);
        (0..length / 8)
            // SAFETY: leaked, aligned memory of this length; volatile, since a kernel that broke
            // its word may be writing to it.
            .filter(|at| unsafe { memory.cast::<u64>().add(*at).read_volatile() } != sentinel)
            .count()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: ours; by the contract of `Op` the kernel has let go of it.
        unsafe { self.memory.write_bytes(POISON, self.length) };
        self.freed.set(self.freed.get() + 1);
        FREED.lock().expect("no panic").push(self.memory as usize);
    }
}

/// A read at an offset into memory that the operation owns.
struct ReadAt {
    fd: RawFd,
    offset: u64,
    buffer: Watched,
    /// Open until the read is over.
    _file: Option<Rc<OwnedFd>>,
}

// SAFETY: the entry points to memory that `self` owns, of the length given. The descriptor is kept
// open by `self`, or is a simulated one that the test closes at its end.
unsafe impl Op for ReadAt {
    type Output = std::io::Result<u32>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::READ;
        sqe.fd = self.fd;
        sqe.off = self.offset;
        sqe.addr = self.buffer.memory as u64;
        sqe.len = self.buffer.length as u32;
    }

    fn complete(self, cqe: Cqe) -> std::io::Result<u32> {
        cqe.into_result()
    }
}

/// A file on a disk, opened for direct reads. `None` where the file system can't.
fn direct_file(name: &str) -> Option<Rc<OwnedFd>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::write(&path, vec![0x11; READS * MIB]).expect("32 MiB of disk");
    std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("on the disk");
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
    std::fs::remove_file(&path).expect("ours"); // it lives on in the descriptor
    match opened {
        Ok(file) => Some(Rc::new(file.into())),
        Err(error) => {
            eprintln!("{name}: skipped, {} has no O_DIRECT: {error}", path.display());
            None
        }
    }
}

/// Starts all the reads; answers where their memory is.
async fn start_reads(
    file: &Rc<OwnedFd>,
    freed: &Rc<Cell<usize>>,
) -> (Vec<impl Future<Output = std::io::Result<u32>> + use<>>, Vec<usize>) {
    let driver = Driver::current();
    let mut reads = Vec::new();
    let mut memory = Vec::new();
    for index in 0..READS {
        let buffer = Watched::new(MIB, freed);
        memory.push(buffer.memory as usize);
        let mut read = driver.submit(ReadAt {
            fd: file.as_raw_fd(),
            offset: (index * MIB) as u64,
            buffer,
            _file: Some(file.clone()),
        });
        assert!(poll_once(&mut read).await.is_pending());
        reads.push(read);
    }
    (reads, memory)
}

/// Whatever was freed is untouched since, now and a while later.
fn no_write_comes_after_the_free(memory: &[usize]) {
    for wait in [0, 100, 200] {
        std::thread::sleep(Duration::from_millis(wait));
        for (index, address) in memory.iter().enumerate() {
            let late = Watched::touched(*address as *mut u8, MIB);
            assert_eq!(late, 0, "buffer {index}: {late} words written after it was freed");
        }
    }
}

#[test]
fn reads_in_flight_when_the_loop_goes() {
    let Some(file) = direct_file("reads_in_flight") else { return };
    let freed = Rc::new(Cell::new(0));
    let mut round = 0;
    for _ in 0..MOST_ROUNDS {
        freed.set(0);
        let mut event_loop = EventLoop::new().expect("a ring");
        let (reads, memory) = event_loop
            .run_until_complete(async {
                let started = start_reads(&file, &freed).await;
                if round % 2 == 0 {
                    yield_now().await; // else they are not even submitted
                }
                started
            })
            .expect("not cancelled");
        let in_flight = event_loop.statistics().in_flight as usize;
        // Orphans as well as reads whose future lives on.
        let kept = (round < 2).then_some(reads);
        let (_, log) = logged(|| drop(event_loop));
        assert_eq!(log, "", "nothing is leaked");
        drop(kept);
        assert_eq!(freed.get(), READS, "the buffers of reads that are over are freed");
        no_write_comes_after_the_free(&memory);
        // One or the other may be over already; on a busy machine, all of them.
        round += usize::from(in_flight > READS / 2);
        if round == 4 {
            break;
        }
    }
    assert_eq!(round, 4, "the reads were over too early: this proves nothing");
}

#[test]
fn reads_in_flight_when_the_main_task_panics() {
    let Some(file) = direct_file("reads_at_panic") else { return };
    let freed = Rc::new(Cell::new(0));
    let memory = Rc::new(Cell::new(Vec::new()));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut event_loop = EventLoop::new().expect("a ring");
        let _ = event_loop.run_until_complete(async {
            let (_reads, addresses) = start_reads(&file, &freed).await;
            memory.set(addresses);
            yield_now().await;
            panic!("with reads in flight");
        });
    }));
    assert!(unwound.is_err());
    assert_eq!(freed.get(), READS);
    no_write_comes_after_the_free(&memory.take());
}

/// The same without any patience: what the kernel still reads into is leaked.
#[test]
fn reads_in_flight_when_the_loop_has_no_patience() {
    in_leaking_child("shutdown::reads_in_flight_when_the_loop_has_no_patience", || {
        let Some(file) = direct_file("reads_no_patience") else { return };
        let freed = Rc::new(Cell::new(0));
        let mut leaked_in = 0;
        for _ in 0..MOST_ROUNDS {
            freed.set(0);
            let builder = EventLoop::builder().shutdown_patience(Duration::ZERO);
            let mut event_loop = builder.build().expect("a ring");
            let (reads, memory) =
                event_loop.run_until_complete(start_reads(&file, &freed)).expect("not cancelled");
            let kept = (leaked_in == 0).then_some(reads);
            let ((), log) = logged(|| drop(event_loop));
            drop(kept);
            let leaked = log.matches("READ 0x").count();
            assert_eq!(freed.get() + leaked, READS);
            let over = FREED.lock().expect("no panic").clone();
            no_write_comes_after_the_free(&over);
            assert!(over.iter().all(|address| memory.contains(address)));
            FREED.lock().expect("no panic").clear();
            leaked_in += usize::from(leaked > 0);
            if leaked_in == 2 {
                break;
            }
        }
        assert_eq!(leaked_in, 2, "the reads were over too early: this proves nothing");
    });
}

/// A file read that takes for ever, and of which a cancel gets no hold, as of a disk's.
fn endless_read(sim: &uring_loop::testing::SimHandle, freed: &Rc<Cell<usize>>) -> ReadAt {
    sim.next(opcode::READ, Fault::Latency(u64::MAX / 2));
    let fd = sim.create_file(vec![1; 64]);
    ReadAt { fd, offset: 0, buffer: Watched::new(64, freed), _file: None }
}

#[test]
fn what_the_kernel_keeps_beyond_the_deadline_is_leaked_and_logged() {
    in_leaking_child(
        "shutdown::what_the_kernel_keeps_beyond_the_deadline_is_leaked_and_logged",
        || {
            for patience in [Duration::ZERO, Duration::from_millis(30)] {
                for forgotten in [true, false] {
                    let freed = Rc::new(Cell::new(0));
                    let builder = small().shutdown_patience(patience);
                    let (mut event_loop, sim) =
                        builder.build_simulated(SimConfig::seeded(1)).expect("a ring");
                    event_loop
                        .run_until_complete(async {
                            let mut read = Driver::current().submit(endless_read(&sim, &freed));
                            assert!(poll_once(&mut read).await.is_pending());
                            yield_now().await;
                            if forgotten {
                                std::mem::forget(read);
                            }
                        })
                        .expect("not cancelled");
                    let ((), log) = logged(|| drop(event_loop));
                    assert_eq!(freed.get(), 0, "the kernel may still write to it");
                    assert!(log.contains("ERROR") && log.contains("READ 0x"), "{log}");
                    assert!(log.contains("their memory is leaked"), "{log}");
                }
            }
        },
    );
}

/// As above, on the way out of a panic: it goes on, and nothing is freed either.
#[test]
fn what_the_kernel_keeps_is_leaked_when_the_main_task_panics_too() {
    in_leaking_child(
        "shutdown::what_the_kernel_keeps_is_leaked_when_the_main_task_panics_too",
        || {
            let freed = Rc::new(Cell::new(0));
            let builder = small().shutdown_patience(Duration::from_millis(5));
            let (event_loop, sim) = builder.build_simulated(SimConfig::seeded(1)).expect("a ring");
            let (unwound, log) = logged(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    let mut event_loop = event_loop;
                    let _ = event_loop.run_until_complete(async {
                        let mut read = Driver::current().submit(endless_read(&sim, &freed));
                        assert!(poll_once(&mut read).await.is_pending());
                        yield_now().await;
                        panic!("with a read in flight");
                    });
                    // The loop is dropped by the unwinding.
                }))
            });
            let panic = unwound.expect_err("it goes on");
            assert_eq!(panic.downcast_ref(), Some(&"with a read in flight"));
            assert_eq!(freed.get(), 0, "the kernel may still write to it");
            assert!(log.contains("their memory is leaked"), "{log}");
        },
    );
}

/// Futures that the caller kept: one is ready, of the other nothing will come, and it says so.
#[test]
fn futures_of_a_loop_that_leaked_are_ready_or_say_what_happened() {
    in_leaking_child(
        "shutdown::futures_of_a_loop_that_leaked_are_ready_or_say_what_happened",
        || {
            let freed = Rc::new(Cell::new(0));
            let builder = small().shutdown_patience(Duration::ZERO);
            let (mut event_loop, sim) =
                builder.build_simulated(SimConfig::seeded(1)).expect("a ring");
            let (ready, never) = event_loop
                .run_until_complete(async {
                    let mut never = Driver::current().submit(endless_read(&sim, &freed));
                    assert!(poll_once(&mut never).await.is_pending());
                    yield_now().await; // it has met the fault
                    let file = sim.create_file(vec![1; 64]);
                    let buffer = Watched::new(64, &freed);
                    let read = ReadAt { fd: file, offset: 0, buffer, _file: None };
                    let mut ready = Driver::current().submit(read);
                    assert!(poll_once(&mut ready).await.is_pending());
                    sleep(Duration::from_millis(1)).await;
                    (ready, never)
                })
                .expect("not cancelled");
            drop(event_loop);
            uring_loop::run(async {
                assert_eq!(ready.await.expect("64 bytes"), 64);
                assert_eq!(freed.get(), 1);
                let never = spawn(never).await.expect_err("a panic").to_string();
                assert!(never.contains("the kernel had not given it back in time"), "{never}");
            })
            .expect("a ring");
            assert_eq!(freed.get(), 1, "the kernel may still write to it");
        },
    );
}

#[test]
fn received_bytes_outlive_a_loop_that_leaked() {
    in_leaking_child("shutdown::received_bytes_outlive_a_loop_that_leaked", || {
        let freed = Rc::new(Cell::new(0));
        let builder = small().shutdown_patience(Duration::ZERO);
        let (mut event_loop, sim) = builder.build_simulated(SimConfig::seeded(2)).expect("a ring");
        let (bytes, stream) = event_loop
            .run_until_complete(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                let peer =
                    sim.peer_connect(listener.local_addr().expect("bound")).expect("listens");
                let mut stream = listener.accept().await.expect("accepted");
                peer.send("kept").expect("open");
                let bytes = stream.recv().await.expect("open");
                std::mem::forget(Driver::current().submit(endless_read(&sim, &freed)));
                let mut read = Driver::current().submit(endless_read(&sim, &freed));
                assert!(poll_once(&mut read).await.is_pending());
                (bytes, stream)
            })
            .expect("not cancelled");
        drop(event_loop);
        assert_eq!(&*bytes, b"kept");
        drop((stream, bytes));
    });
}

/// Lent, copied because others are lent, at the end of the stream, and left over by a reader.
#[test]
fn received_bytes_of_every_kind_outlive_their_loop() {
    let mut event_loop = EventLoop::builder().buffers(2, 4096).build().expect("a ring");
    let (mut lent, mut copied, mut end, stream) = event_loop
        .run_until_complete(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let mut client = TcpStream::connect(address).await.expect("it listens");
            let mut stream = listener.accept().await.expect("accepted");
            client.write_all("lent").await.0.expect("open");
            let lent = stream.recv().await.expect("open");
            client.write_all("copied").await.0.expect("open");
            let copied = stream.recv().await.expect("open");
            client.write_all("read").await.0.expect("open");
            let (read, byte) = stream.read(Box::<[u8]>::from([0])).await;
            assert_eq!((read.expect("open"), &*byte), (1, &b"r"[..]));
            let mut other = TcpStream::connect(address).await.expect("it listens");
            drop(listener.accept().await.expect("accepted"));
            let end = other.recv().await.expect("closed in order");
            (lent, copied, end, stream)
        })
        .expect("not cancelled");
    drop(event_loop);
    let ahead = sockets_receive_ahead();
    assert_eq!((lent.is_lent(), copied.is_lent(), end.is_lent()), (ahead, false, false));
    lent.advance(2);
    copied.advance(3);
    end.advance(0);
    assert_eq!((&*lent, &*copied, &*end), (&b"nt"[..], &b"ied"[..], &b""[..]));
    drop((end, lent, stream, copied));
}

#[test]
fn without_any_patience_descriptors_are_closed_all_the_same() {
    for queue in [1, 2, 256] {
        let builder = small().shutdown_patience(Duration::ZERO);
        let config = SimConfig { submissions: queue, ..SimConfig::seeded(3) };
        let (mut event_loop, sim) = builder.build_simulated(config).expect("a ring");
        event_loop
            .run_until_complete(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                let address = listener.local_addr().expect("bound");
                let mut all = Vec::new();
                for _ in 0..5 {
                    let peer = sim.peer_connect(address).expect("listens");
                    all.push((listener.accept().await.expect("accepted"), peer));
                }
                drop(spawn(async move {
                    let _kept = (all, listener);
                    pending::<()>().await;
                }));
                yield_now().await;
            })
            .expect("not cancelled");
        drop(event_loop);
        assert_eq!(sim.open_descriptors(), [], "with a queue of {queue}");
    }
}

#[test]
fn a_stream_that_outlives_its_loop_is_harmless() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let (listener, mut stream) = event_loop
        .run_until_complete(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            yield_now().await;
            (listener, stream)
        })
        .expect("not cancelled");
    drop(event_loop);
    let error = uring_loop::run(async {
        assert!(listener.accept().await.is_err());
        let error = stream.recv().await.expect_err("its ring is closed");
        assert!(stream.write_all("x").await.0.is_err());
        error
    })
    .expect("a ring");
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    drop((listener, stream));
}

/// Everything that can be in flight, at the end of the loop, under chaos.
#[test]
fn shutdown_counts_to_zero_under_chaos() {
    for seed in 0..100 {
        let (mut event_loop, sim) =
            small().build_simulated(SimConfig::chaos(seed)).expect("a ring");
        event_loop
            .run_until_complete(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                let address = listener.local_addr().expect("bound");
                let peers: Vec<_> =
                    (0..4).map(|_| sim.peer_connect(address).expect("it listens")).collect();
                drop(spawn(async move {
                    while let Ok(mut stream) = listener.accept().await {
                        drop(spawn(async move {
                            while let Ok(bytes) = stream.recv().await {
                                if stream.write_all(bytes).await.0.is_err() {
                                    return;
                                }
                            }
                        }));
                    }
                }));
                drop(spawn(async {
                    let nobody = TcpStream::connect("127.0.0.1:1").await;
                    assert!(nobody.is_err());
                }));
                for peer in &peers {
                    let _ = peer.send(vec![1; 3000]);
                    for _ in 0..seed % 5 {
                        yield_now().await;
                    }
                }
            })
            .expect("not cancelled");
        let ((), log) = logged(|| drop(event_loop));
        assert_eq!(log, "", "seed {seed}");
        assert_eq!(sim.in_flight(), 0, "seed {seed}: {}", sim.describe());
        assert_eq!(sim.open_descriptors(), [], "seed {seed}");
    }
}
