//! Wakers that are not the loop's own.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::{Driver, Nop};
use uring_loop::testing::SimConfig;
use uring_loop::time::sleep;

use crate::support::on_sim;

type Wakes = Arc<AtomicUsize>;

/// Each clone lies elsewhere, so that none says that it would wake the same as another. That is
/// allowed: `will_wake` is a best effort.
const STRANGE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: from `strange`, or from here.
        let wakes = unsafe { &*data.cast::<Wakes>() };
        RawWaker::new(Box::into_raw(Box::new(wakes.clone())).cast(), &STRANGE)
    },
    |data| {
        // SAFETY: as above; waking by value takes the box.
        let wakes = unsafe { Box::from_raw(data.cast_mut().cast::<Wakes>()) };
        wakes.fetch_add(1, Ordering::Relaxed);
    },
    |data| {
        // SAFETY: as above.
        let wakes = unsafe { &*data.cast::<Wakes>() };
        wakes.fetch_add(1, Ordering::Relaxed);
    },
    |data| {
        // SAFETY: as above; dropping takes the box.
        drop(unsafe { Box::from_raw(data.cast_mut().cast::<Wakes>()) });
    },
);

fn strange(wakes: &Wakes) -> Waker {
    let data = Box::into_raw(Box::new(wakes.clone())).cast_const().cast();
    // SAFETY: the functions of `STRANGE` keep to the contract: each waker owns its box.
    unsafe { Waker::from_raw(RawWaker::new(data, &STRANGE)) }
}

#[test]
fn a_waker_that_does_not_know_its_own_clone_is_waited_with() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let wakes = Wakes::default();
        let waker = strange(&wakes);
        assert!(!waker.will_wake(&waker.clone()));
        let mut cx = Context::from_waker(&waker);

        let mut nop = pin!(Driver::current().submit(Nop));
        assert!(nop.as_mut().poll(&mut cx).is_pending());
        sleep(Duration::from_millis(1)).await;
        assert_eq!(wakes.swap(0, Ordering::Relaxed), 1);
        assert!(matches!(nop.as_mut().poll(&mut cx), Poll::Ready(Ok(()))));

        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        let mut stream: TcpStream = listener.accept().await.expect("accepted");
        let mut recv = stream.recv();
        assert!(Pin::new(&mut recv).poll(&mut cx).is_pending());
        peer.send("bytes").expect("connected");
        sleep(Duration::from_millis(1)).await;
        assert_eq!(wakes.swap(0, Ordering::Relaxed), 1);
        let Poll::Ready(received) = Pin::new(&mut recv).poll(&mut cx) else { panic!("woken") };
        assert_eq!(&*received.expect("connected"), b"bytes");
    });
}
