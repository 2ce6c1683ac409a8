//! Connecting to the first of several addresses that answers (RFC 8305, "happy eyeballs").
//!
//! One attempt begins, and the next when it has failed or a quarter of a second has passed. The
//! first that succeeds wins; the others are cancelled and their sockets closed. (asyncio does it if
//! asked to, by `happy_eyeballs_delay`; here it is the only way.)

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::driver::Submit;
use crate::driver::fd::Fd;
use crate::ops::net::Connect;
use crate::time::{Sleep, sleep};

/// How long an attempt has before the next begins beside it (RFC 8305, section 8).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses in the order in which to try them: that of the resolver, but the families in turn, so
/// that a family that does not work here costs one step and not one for each of its addresses (RFC
/// 8305, section 4).
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = VecDeque::with_capacity(first.len() + other.len());
    while !first.is_empty() || !other.is_empty() {
        order.extend(first.pop_front());
        order.extend(other.pop_front());
    }
    order
}

/// A connect that is under way. Dropped, it is cancelled, and the socket closed behind it.
struct Attempt {
    address: SocketAddr,
    connecting: Submit<Connect>,
    fd: Fd,
}

struct Race<O> {
    /// Makes a socket for an address.
    open: O,
    waiting: VecDeque<SocketAddr>,
    running: Vec<Attempt>,
    /// When the next attempt begins; none: at once.
    next: Option<Pin<Box<Sleep>>>,
    failed: Vec<(SocketAddr, io::Error)>,
}

/// Connects to the first of these that answers. `target` is what the user has asked for.
pub(super) async fn connect(
    target: &str,
    addresses: Vec<SocketAddr>,
    open: impl Fn(&SocketAddr) -> io::Result<Fd>,
) -> io::Result<Fd> {
    let waiting = interleave(addresses);
    let mut race = Race { open, waiting, running: Vec::new(), next: None, failed: Vec::new() };
    match poll_fn(|cx| race.poll(cx)).await {
        Some(fd) => Ok(fd),
        None => Err(report(target, &race.failed)),
    }
}

impl<O: Fn(&SocketAddr) -> io::Result<Fd>> Race<O> {
    /// Ready with the winner, or with nobody when all have failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fd>> {
        loop {
            if let Some(winner) = self.poll_running(cx) {
                return Poll::Ready(Some(winner));
            }
            if self.waiting.is_empty() {
                return if self.running.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            }
            if self.next.as_mut().is_some_and(|next| next.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
            self.begin();
        }
    }

    /// Looks at each attempt, in their order. One that has failed lets the next begin at once.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<Fd> {
        let mut at = 0;
        while at < self.running.len() {
            match Pin::new(&mut self.running[at].connecting).poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(())) => {
                    let winner = self.running.remove(at).fd;
                    if mutant!("losers-of-the-race-left-open") {
                        std::mem::forget(std::mem::take(&mut self.running));
                    }
                    return Some(winner);
                }
                Poll::Ready(Err(error)) => {
                    self.failed.push((self.running.remove(at).address, error));
                    self.next = None;
                }
            }
        }
        None
    }

    fn begin(&mut self) {
        let Some(address) = self.waiting.pop_front() else { return };
        match (self.open)(&address) {
            Ok(fd) => {
                let connect = Connect { fd: fd.as_raw_fd(), address: address.into() };
                let connecting = fd.driver().submit(connect);
                self.running.push(Attempt { address, connecting, fd });
                self.next = (!self.waiting.is_empty()).then(|| Box::pin(sleep(STAGGER)));
            }
            Err(error) => {
                self.failed.push((address, error));
                self.next = None;
            }
        }
    }
}

/// Every address that was tried, and what came of it; of what kind the last one was.
fn report(target: &str, failed: &[(SocketAddr, io::Error)]) -> io::Error {
    let Some((last, error)) = failed.last() else {
        return io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    };
    if failed.len() == 1 {
        return io::Error::new(error.kind(), format!("connecting to {last}: {error}"));
    }
    let mut text = format!("connecting to {target}: ");
    for (at, (address, error)) in failed.iter().enumerate() {
        let _ = write!(text, "{}{address}: {error}", if at > 0 { "; " } else { "" });
    }
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(v6: bool, number: u8) -> SocketAddr {
        let text =
            if v6 { format!("[2001:db8::{number:x}]:80") } else { format!("10.0.0.{number}:80") };
        text.parse().expect("an address")
    }

    proptest! {
        #[test]
        fn families_take_turns_and_keep_their_own_order(
            families in proptest::collection::vec(any::<bool>(), 0..12),
        ) {
            let given: Vec<SocketAddr> = families
                .iter()
                .zip(1..)
                .map(|(v6, number)| address(*v6, number))
                .collect();
            let order = interleave(given.clone());
            prop_assert_eq!(order.front(), given.first());
            for v6 in [false, true] {
                let of = |list: &mut dyn Iterator<Item = &SocketAddr>| -> Vec<SocketAddr> {
                    list.filter(|address| address.is_ipv6() == v6).copied().collect()
                };
                prop_assert_eq!(of(&mut order.iter()), of(&mut given.iter()));
            }
            // Two of one family follow each other only when the other has none left.
            let kinds: Vec<bool> = order.iter().map(SocketAddr::is_ipv6).collect();
            if let Some(at) = kinds.windows(2).position(|two| two[0] == two[1]) {
                prop_assert!(kinds[at..].iter().all(|kind| *kind == kinds[at]));
            }
        }
    }

    #[test]
    fn a_report_names_every_address() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let silent = || io::Error::from(io::ErrorKind::TimedOut);
        let one = report("name:80", &[(address(false, 1), refused())]);
        assert!(one.to_string().starts_with("connecting to 10.0.0.1:80: "), "{one}");
        let two =
            report("name:80", &[(address(true, 1), silent()), (address(false, 2), refused())]);
        let text = two.to_string();
        assert!(text.starts_with("connecting to name:80: [2001:db8::1]:80: "), "{text}");
        assert!(text.contains("; 10.0.0.2:80: "), "{text}");
        assert_eq!(two.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(report("name:80", &[]).kind(), io::ErrorKind::NotFound);
    }
}
