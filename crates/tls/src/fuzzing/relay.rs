//! Two that talk by TLS, and somebody in between who passes their bytes on in other pieces, late,
//! changed, or not at all. Whatever that one does: what arrives is what was sent, and an end that
//! looks like one is one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use uring_loop::io::{ByteStream, ByteStreamExt as _, MemoryStream, duplex};
use uring_loop::testing::{SimConfig, simulate};
use uring_loop::time::{now, timeout};
use uring_loop::{join, spawn, yield_now};

use super::ends;
use crate::TlsStream;

/// What one side is to say.
struct Plan {
    pieces: Vec<usize>,
    renews_keys: bool,
}

/// What one side has done and seen.
#[derive(Debug, Default)]
struct Side {
    /// Bytes whose sending was begun, and bytes that were handed over.
    begun: Cell<usize>,
    sent: Cell<usize>,
    received: Cell<usize>,
    /// The peer has said that this is all.
    ended: Cell<bool>,
    errors: RefCell<Vec<io::Error>>,
}

/// The two directions of somebody in between.
struct Between<'a> {
    input: &'a [u8],
    ends: [MemoryStream; 2],
    /// What goes to each end, and has not gone.
    queues: [VecDeque<Vec<u8>>; 2],
    /// Whether each end has ended.
    ended: [bool; 2],
    /// Something was changed, or cut off.
    tampered: bool,
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = bytes;
    let capacity = 1 + usize::from(byte(&mut input)) * 64;
    let plans = [plan(&mut input), plan(&mut input)];
    simulate(SimConfig::seeded(0), |_| async move {
        let [near, far] = plans;
        let ((here, to_here), (to_there, there)) = (duplex(capacity), duplex(capacity));
        let sides = [Rc::<Side>::default(), Rc::<Side>::default()];
        let (one, other) = (sides[0].clone(), sides[1].clone());
        let client = spawn(async move {
            let shaken = ends().0.connect("localhost", here).await;
            talk(shaken, near, &one, b'a').await;
        });
        let server = spawn(async move {
            let shaken = ends().1.accept(there).await;
            talk(shaken, far, &other, b'b').await;
        });
        let mut between = Between {
            input,
            ends: [to_here, to_there],
            queues: Default::default(),
            ended: [false; 2],
            tampered: false,
        };
        between.relay(|| client.is_done() && server.is_done()).await;
        let tampered = between.tampered;
        drop(between);
        // A limit polls once more what it ends: that must not be what helps.
        let (start, limit) = (now(), Duration::from_secs(60));
        for task in [client, server] {
            let ended = timeout(limit, task).await;
            ended.expect("one of them waits for ever").expect("no panic");
        }
        assert!(now() - start < limit, "one of them was not woken");
        check(&sides[0], &sides[1], tampered);
        check(&sides[1], &sides[0], tampered);
    });
}

fn byte(input: &mut &[u8]) -> u8 {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    *input = rest;
    *first
}

fn plan(input: &mut &[u8]) -> Plan {
    let count = byte(input);
    let piece = |input: &mut &[u8]| usize::from(byte(input)).pow(2);
    Plan { pieces: (0..count % 4).map(|_| piece(input)).collect(), renews_keys: count & 0x80 != 0 }
}

/// What a side says, all of it.
fn text(from: u8, place: usize) -> u8 {
    (place as u8).wrapping_mul(31) ^ (place >> 8) as u8 ^ from
}

async fn talk(shaken: io::Result<TlsStream<MemoryStream>>, plan: Plan, side: &Side, name: u8) {
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => return side.errors.borrow_mut().push(error),
    };
    let peer = if name == b'a' { b'b' } else { b'a' };
    let (said, heard) = join((say(&stream, plan, side, name), hear(&stream, side, peer))).await;
    side.errors.borrow_mut().extend([said, heard].into_iter().filter_map(Result::err));
}

async fn say(
    stream: &TlsStream<MemoryStream>,
    plan: Plan,
    side: &Side,
    name: u8,
) -> io::Result<()> {
    for length in plan.pieces {
        let place = side.sent.get();
        side.begun.set(place + length);
        stream.send((place..place + length).map(|place| text(name, place)).collect()).await?;
        side.sent.set(place + length);
        if plan.renews_keys {
            stream.update_keys()?;
        }
    }
    stream.write_eof().await
}

async fn hear(stream: &TlsStream<MemoryStream>, side: &Side, peer: u8) -> io::Result<()> {
    loop {
        let bytes = stream.recv().await?;
        let place = side.received.get();
        let right = bytes.iter().enumerate().all(|(at, byte)| *byte == text(peer, place + at));
        assert!(right, "other bytes than were sent");
        side.received.set(place + bytes.len());
        if bytes.is_empty() {
            side.ended.set(true);
            return Ok(());
        }
    }
}

/// What came from `peer`.
fn check(side: &Side, peer: &Side, tampered: bool) {
    assert!(side.received.get() <= peer.begun.get(), "more than was sent");
    if side.ended.get() {
        assert!(side.received.get() >= peer.sent.get(), "a cut that looks like an end: {peer:?}");
    }
    if !tampered {
        assert!(side.ended.get() && side.errors.borrow().is_empty(), "{side:?}");
    }
}

impl Between<'_> {
    /// Passes on what comes, until both have ended, or nothing moves any more.
    async fn relay(&mut self, done: impl Fn() -> bool) {
        let mut quiet = 0;
        while quiet < 20 && !done() {
            let mut moved = false;
            for from in [0, 1] {
                moved |= self.take(from).await;
                moved |= self.hand_over(1 - from).await;
            }
            quiet = if moved { 0 } else { quiet + 1 };
            yield_now().await;
        }
        assert!(self.tampered || done(), "both wait, and nothing is on its way");
    }

    /// Takes in what an end has sent, and does something to it.
    async fn take(&mut self, from: usize) -> bool {
        if self.ended[from] {
            return false;
        }
        let end = &self.ends[from];
        let Poll::Ready(bytes) = poll_fn(|cx| Poll::Ready(end.poll_recv(cx))).await else {
            return false;
        };
        let bytes = bytes.expect("a stream in memory does not fail").to_vec();
        let queue = &mut self.queues[1 - from];
        if bytes.is_empty() {
            self.ended[from] = true;
            queue.push_back(bytes);
            return true;
        }
        self.handle(1 - from, bytes);
        true
    }

    fn handle(&mut self, to: usize, mut bytes: Vec<u8>) {
        let queue = &mut self.queues[to];
        let action = byte(&mut self.input);
        let at = usize::from(byte(&mut self.input)) * bytes.len() / 256;
        match action % 32 {
            0..16 => queue.push_back(bytes),
            // In other pieces.
            16..24 => {
                let rest = bytes.split_off(at.max(1).min(bytes.len()));
                queue.push_back(bytes);
                queue.extend((!rest.is_empty()).then_some(rest));
            }
            24..27 => match queue.back_mut().filter(|last| !last.is_empty()) {
                Some(last) => last.extend(bytes),
                None => queue.push_back(bytes),
            },
            tampering => {
                self.tampered = true;
                match tampering {
                    27 => bytes[at] ^= 1 << (action >> 5),
                    28 => drop(bytes.remove(at)),
                    29 => bytes.insert(at, action),
                    30 => bytes = [&bytes[..], &bytes[..]].concat(),
                    // This direction is cut.
                    _ => {
                        bytes.truncate(at);
                        self.ended[1 - to] = true;
                    }
                }
                queue.extend((!bytes.is_empty()).then_some(bytes));
                queue.extend(self.ended[1 - to].then(Vec::new));
            }
        }
    }

    /// Hands on the next piece, if there is room; an empty one is the end.
    async fn hand_over(&mut self, to: usize) -> bool {
        let Some(next) = self.queues[to].front() else { return false };
        let (end, is_end) = (&self.ends[to], next.is_empty());
        let polled = poll_fn(|cx| {
            Poll::Ready(if is_end { end.poll_shutdown(cx) } else { end.poll_ready(cx) })
        });
        match polled.await {
            Poll::Pending => return false,
            // It is not there any more.
            Poll::Ready(Err(_)) => self.queues[to].clear(),
            Poll::Ready(Ok(())) => {
                let next = self.queues[to].pop_front().expect("it was looked at");
                if !is_end {
                    drop(end.start_send(next));
                }
            }
        }
        true
    }
}
