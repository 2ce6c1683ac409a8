//! Tools for tests: a clock that jumps, and a kernel in memory that breaks on demand.
//!
//! [`run`] is [`uring_loop::run`](crate::run) on a virtual clock: when nothing else is to be done,
//! time jumps to the next timer, so an hour's sleep takes no time at all. It waits for operations
//! on files, for helper threads and for whatever [`hold`](crate::hold) stands for; it does not wait
//! for a socket that may never be written to.
//!
//! [`simulate`] runs on a [`Sim`]: an io_uring in memory, with a network, files and faults that
//! follow from a seed. Everything above the ring is the shipped code.
//!
//! [`check_byte_stream`] holds a kind of stream to what every stream promises.

mod byte_stream;
pub(crate) mod sim;

use std::future::Future;

pub use byte_stream::check_byte_stream;
pub use sim::{
    DescriptorKind, Event, Fault, Faults, Peer, PeerListener, PeerUdp, Sim, SimConfig, SimHandle,
    opcode,
};

use crate::EventLoop;

/// Runs `future` on a fresh loop with a virtual clock.
///
/// # Panics
///
/// If the kernel refuses a ring, if the main task is cancelled, and with the panic of `future`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::time::{now, sleep};
///
/// uring_loop::testing::run(async {
///     let start = now();
///     sleep(Duration::from_secs(3600)).await; // at once
///     assert_eq!(now() - start, Duration::from_secs(3600));
/// });
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    let event_loop = EventLoop::builder().virtual_clock().build();
    let mut event_loop = event_loop.unwrap_or_else(|error| panic!("{error}"));
    event_loop.run_until_complete(future).expect("the main task was not cancelled")
}

/// Runs what `make` makes on a fresh loop over a simulated kernel, then shuts that loop down and
/// checks that nothing is left: no operation in flight, no descriptor open but those the test made
/// itself.
///
/// # Panics
///
/// If something is left, and as [`run`].
///
/// # Examples
///
/// ```
/// use uring_loop::net::TcpListener;
/// use uring_loop::testing::{SimConfig, simulate};
///
/// simulate(SimConfig::seeded(7), |sim| async move {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let peer = sim.peer_connect(listener.local_addr().unwrap()).unwrap();
///     peer.send("hello").unwrap();
///     let mut stream = listener.accept().await.unwrap();
///     assert_eq!(&*stream.recv().await.unwrap(), b"hello");
/// });
/// ```
#[track_caller]
pub fn simulate<M, F>(config: SimConfig, make: M) -> F::Output
where
    M: FnOnce(SimHandle) -> F,
    F: Future,
{
    let built = EventLoop::builder().buffers(16, 1024).build_simulated(config);
    let (mut event_loop, sim) = built.unwrap_or_else(|error| panic!("{error}"));
    let future = make(sim.clone());
    let output = event_loop.run_until_complete(future).expect("the main task was not cancelled");
    drop(event_loop);
    assert_eq!(sim.in_flight(), 0, "operations were left in flight: {}", sim.describe());
    let left = sim.open_descriptors();
    assert!(left.is_empty(), "descriptors were left open: {left:?}");
    output
}
