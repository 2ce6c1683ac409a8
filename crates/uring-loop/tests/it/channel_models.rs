//! Properties of `channel::mpsc` and `channel::broadcast`: whatever is done in whatever order, they
//! do what a simple model does, and wake exactly those who can go on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use uring_loop::channel::{Closed, TryRecvError, TrySendError, broadcast, mpsc};

/// Whether it was woken since it was last asked.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(true, Ordering::Relaxed), "woken twice");
    }
}

impl Flag {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

const SENDERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    TrySend,
    Reserve,
    Redeem,
    Forfeit,
    /// Polls a send, begins one if there is none.
    Send(usize),
    GiveUp(usize),
    TryRecv,
    Recv,
    RecvMany(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::TrySend),
        2 => Just(Step::Reserve),
        2 => Just(Step::Redeem),
        1 => Just(Step::Forfeit),
        8 => (0..SENDERS).prop_map(Step::Send),
        2 => (0..SENDERS).prop_map(Step::GiveUp),
        3 => Just(Step::TryRecv),
        3 => Just(Step::Recv),
        2 => (1..4usize).prop_map(Step::RecvMany),
        1 => Just(Step::Close),
    ]
}

/// What the channel should be.
#[derive(Default, Debug)]
struct Model {
    capacity: usize,
    queue: VecDeque<u32>,
    permits: usize,
    line: VecDeque<usize>,
    granted: Vec<usize>,
    closed: bool,
    /// The receiver's last poll was pending and nothing has come since.
    parked: bool,
}

impl Model {
    fn has_room(&self) -> bool {
        self.queue.len() + self.permits + self.granted.len() < self.capacity
    }

    /// Who is woken.
    fn hand_on(&mut self, woken: &mut Vec<usize>) {
        if self.closed {
            return;
        }
        if let Some(next) = self.line.pop_front() {
            self.granted.push(next);
            woken.push(next);
        }
    }

    fn push(&mut self, item: u32, receiver_woken: &mut bool) {
        self.queue.push_back(item);
        *receiver_woken |= std::mem::take(&mut self.parked);
    }

    fn ended(&self) -> bool {
        self.closed && self.permits == 0
    }

    fn close(&mut self, woken: &mut Vec<usize>) {
        self.closed = true;
        self.granted.clear();
        woken.extend(self.line.drain(..));
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<(), Closed<u32>>>>>;

/// A channel beside its model.
struct Both<'a> {
    model: Model,
    sender: &'a mpsc::Sender<u32>,
    receiver: mpsc::Receiver<u32>,
    permits: Vec<mpsc::Permit<'a, u32>>,
    sends: [Option<(Sending, u32)>; SENDERS],
    flags: [Arc<Flag>; SENDERS],
    receiver_flag: Arc<Flag>,
    next: u32,
}

impl<'a> Both<'a> {
    fn new(sender: &'a mpsc::Sender<u32>, receiver: mpsc::Receiver<u32>, capacity: usize) -> Self {
        Both {
            model: Model { capacity, ..Model::default() },
            sender,
            receiver,
            permits: Vec::new(),
            sends: Default::default(),
            flags: Default::default(),
            receiver_flag: Arc::default(),
            next: 0,
        }
    }

    fn item(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn take(&mut self, step: Step) {
        let (mut woken, mut receiver_woken) = (Vec::new(), false);
        match step {
            Step::TrySend => self.try_send(&mut receiver_woken),
            Step::Reserve => self.reserve(),
            Step::Redeem => {
                if let Some(permit) = self.permits.pop() {
                    let item = self.item();
                    permit.send(item).expect("the receiver is there");
                    self.model.permits -= 1;
                    self.model.push(item, &mut receiver_woken);
                }
            }
            Step::Forfeit => {
                if self.permits.pop().is_some() {
                    self.model.permits -= 1;
                    self.model.hand_on(&mut woken);
                }
            }
            Step::Send(index) => self.send(index, &mut receiver_woken),
            Step::GiveUp(index) => {
                if self.sends[index].take().is_some() {
                    self.model.line.retain(|waits| *waits != index);
                    if self.model.granted.contains(&index) {
                        self.model.granted.retain(|granted| *granted != index);
                        self.model.hand_on(&mut woken);
                    }
                }
            }
            Step::TryRecv => self.try_recv(&mut woken),
            Step::Recv => self.recv_many(1, &mut woken),
            Step::RecvMany(limit) => self.recv_many(limit, &mut woken),
            Step::Close => {
                self.receiver.close();
                self.model.close(&mut woken);
            }
        }
        for (index, flag) in self.flags.iter().enumerate() {
            assert_eq!(flag.take(), woken.contains(&index), "the wake of sender {index}");
        }
        assert_eq!(self.receiver_flag.take(), receiver_woken, "the wake of the receiver");
        assert_eq!(self.sender.len(), self.model.queue.len());
        assert_eq!(self.receiver.is_closed(), self.model.ended());
    }

    fn try_send(&mut self, receiver_woken: &mut bool) {
        let item = self.item();
        let expected = match (self.model.closed, self.model.has_room()) {
            (true, _) => Err(TrySendError::Closed(item)),
            (false, false) => Err(TrySendError::Full(item)),
            (false, true) => Ok(()),
        };
        assert_eq!(self.sender.try_send(item), expected);
        if expected.is_ok() {
            self.model.push(item, receiver_woken);
        }
    }

    fn reserve(&mut self) {
        let room = self.model.has_room() && !self.model.closed;
        let permit = self.sender.try_reserve();
        assert_eq!(permit.is_ok(), room);
        self.model.permits += usize::from(room);
        self.permits.extend(permit);
    }

    fn send(&mut self, index: usize, receiver_woken: &mut bool) {
        let new = self.sends[index].is_none();
        if new {
            let (sender, item) = (self.sender.clone(), self.item());
            self.sends[index] = Some((Box::pin(async move { sender.send(item).await }), item));
        }
        let (future, item) = self.sends[index].as_mut().expect("it was just made");
        let item = *item;
        let waker = Waker::from(self.flags[index].clone());
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let model = &mut self.model;
        let granted = model.granted.contains(&index);
        let expected = if model.closed {
            Poll::Ready(Err(Closed(item)))
        } else if granted || (new && model.has_room()) {
            model.granted.retain(|granted| *granted != index);
            model.push(item, receiver_woken);
            Poll::Ready(Ok(()))
        } else {
            if new {
                model.line.push_back(index);
            }
            Poll::Pending
        };
        assert_eq!(polled, expected);
        if polled.is_ready() {
            self.sends[index] = None;
        }
    }

    fn try_recv(&mut self, woken: &mut Vec<usize>) {
        let expected = match self.model.queue.pop_front() {
            Some(item) => {
                self.model.hand_on(woken);
                Ok(item)
            }
            None if self.model.ended() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        };
        assert_eq!(self.receiver.try_recv(), expected);
    }

    /// A receive that is given up if it has to wait: it must not be woken later.
    fn recv_many(&mut self, limit: usize, woken: &mut Vec<usize>) {
        let waker = Waker::from(self.receiver_flag.clone());
        let mut items = Vec::new();
        let polled = {
            let mut recv = Box::pin(self.receiver.recv_many(&mut items, limit));
            recv.as_mut().poll(&mut Context::from_waker(&waker))
        };
        let count = self.model.queue.len().min(limit);
        let expected: Vec<_> = self.model.queue.drain(..count).collect();
        (0..count).for_each(|_| self.model.hand_on(woken));
        let waits = expected.is_empty() && !self.model.ended();
        assert_eq!(polled, if waits { Poll::Pending } else { Poll::Ready(count) });
        assert_eq!(items, expected);
    }
}

proptest! {
    #[test]
    fn an_mpsc_channel_is_its_model(capacity in 1..4usize, steps in vec(step(), 1..80)) {
        let (sender, receiver) = mpsc::bounded(capacity);
        let mut both = Both::new(&sender, receiver, capacity);
        for step in steps {
            both.take(step);
        }
    }
}

const RECEIVERS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum News {
    Send,
    Subscribe(usize),
    Leave(usize),
    Recv(usize),
}

fn news() -> impl Strategy<Value = News> {
    prop_oneof![
        4 => Just(News::Send),
        1 => (0..RECEIVERS).prop_map(News::Subscribe),
        1 => (0..RECEIVERS).prop_map(News::Leave),
        4 => (0..RECEIVERS).prop_map(News::Recv),
    ]
}

proptest! {
    /// The model: item `n` is there for a receiver as long as fewer than `capacity` came after it.
    #[test]
    fn a_broadcast_channel_is_its_model(
        capacity in 1..5u64,
        steps in vec(news(), 1..100),
    ) {
        let (sender, first) = broadcast::channel(capacity as usize);
        let mut receivers: [Option<(broadcast::Receiver<Arc<u64>>, u64)>; RECEIVERS] =
            [Some((first, 0)), None, None];
        let mut sent: Vec<Arc<u64>> = Vec::new();
        for step in steps {
            let oldest = (sent.len() as u64).saturating_sub(capacity);
            match step {
                News::Send => {
                    let there = receivers.iter().flatten().count();
                    let item = Arc::new(sent.len() as u64);
                    prop_assert_eq!(sender.send(item.clone()), there);
                    if there > 0 {
                        sent.push(item);
                    }
                }
                News::Subscribe(index) => {
                    receivers[index] = Some((sender.subscribe(), sent.len() as u64));
                }
                News::Leave(index) => receivers[index] = None,
                News::Recv(index) => {
                    let Some((receiver, next)) = &mut receivers[index] else { continue };
                    let expected = if *next < oldest {
                        let missed = oldest - *next;
                        *next = oldest;
                        Err(broadcast::TryRecvError::Lagged(missed))
                    } else if *next == sent.len() as u64 {
                        Err(broadcast::TryRecvError::Empty)
                    } else {
                        *next += 1;
                        Ok(*next - 1)
                    };
                    prop_assert_eq!(receiver.try_recv().map(|item| *item), expected);
                }
            }
            // What no receiver has still to come for is not kept.
            let oldest = (sent.len() as u64).saturating_sub(capacity);
            let wanted = receivers.iter().flatten().map(|(_, next)| (*next).max(oldest)).min();
            let kept = wanted.map_or(0, |wanted| sent.len() as u64 - wanted);
            prop_assert_eq!(sender.len() as u64, kept);
            let held = sent.iter().filter(|item| Arc::strong_count(item) > 1).count();
            prop_assert_eq!(held as u64, kept);
        }
    }
}
