//! A bounded channel from one task to one other, on another core as a rule.
//!
//! It is a ring of `spsc` and a bell in each direction; nothing in it knows which
//! executor polls it, so the ends may live on two shards, or one in a plain thread.
//!
//! What makes it cheap: a message costs no allocation and no lock; the receiver takes messages over
//! in batches; a sender wakes the receiver only if that has gone to sleep, so a burst costs one
//! wake. [`Sender::send_batch`] also publishes a whole batch with one store.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::spsc::{Consumer, Producer, Refusal, Ringer, Sleeper, ring, wake_slot};

/// How many messages the receiver takes over at once.
const BATCH: usize = 64;
/// After how many messages without a pause the receiver lets other tasks run.
const BUDGET: u32 = 256;

/// A channel for up to `capacity` messages (at least 1) on the way.
///
/// Up to 64 more (never more than `capacity`) lie in the receiver, which takes them over in
/// batches, so at most twice the capacity is in memory.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// let (mut sender, mut receiver) = shard::channel::channel(128);
/// let other = std::thread::spawn(move || {
///     uring_loop::run(async move {
///         for number in 0..1000 {
///             sender.send(number).await.expect("somebody receives");
///         }
///     })
/// });
/// let sum = uring_loop::run(async move {
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     sum
/// })?;
/// assert_eq!(sum, 499_500);
/// # other.join().expect("no panic")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel for 0 messages: give it a capacity of at least 1");
    let (producer, consumer) = ring(capacity);
    let (receiver_sleeps, wake_receiver) = wake_slot();
    let (sender_sleeps, wake_sender) = wake_slot();
    let sender = Sender { producer, sleeper: sender_sleeps, receiver: wake_receiver };
    let batch = capacity.min(BATCH);
    let receiver = Receiver {
        consumer,
        sleeper: receiver_sleeps,
        sender: wake_sender,
        taken: VecDeque::with_capacity(batch),
        batch,
        budget: BUDGET,
    };
    (sender, receiver)
}

/// The receiver is gone; here is the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sending into a channel whose receiver is gone")
    }
}

impl<T> std::error::Error for Closed<T> {}

/// Why [`Sender::try_send`] did not send; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "sending into a channel that is full",
            TrySendError::Closed(_) => "sending into a channel whose receiver is gone",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

/// Why [`Receiver::try_recv`] has no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// There is none now.
    Empty,
    /// There will be none: the sender is gone, and all it sent was received.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "receiving from a channel that is empty",
            TryRecvError::Closed => "receiving from a channel whose sender is gone",
        })
    }
}

impl std::error::Error for TryRecvError {}

/// The sending end. Dropping it ends the channel once what it sent was received.
pub struct Sender<T> {
    producer: Producer<T>,
    sleeper: Sleeper,
    receiver: Ringer,
}

impl<T: Send> Sender<T> {
    /// Sends if there is room.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], with the message.
    pub fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        self.producer.push(message).map_err(|refusal| match refusal {
            Refusal::Full(message) => TrySendError::Full(message),
            Refusal::Gone(message) => TrySendError::Closed(message),
        })?;
        self.receiver.ring();
        Ok(())
    }

    /// Sends, waiting for room.
    ///
    /// # Errors
    ///
    /// [`Closed`], with the message.
    ///
    /// # Cancel safety
    ///
    /// Weak: dropped while it waits, the message goes with it. Where that matters, wait for
    /// [`ready`](Self::ready) and then use [`try_send`](Self::try_send).
    pub async fn send(&mut self, message: T) -> Result<(), Closed<T>> {
        let mut message = message;
        loop {
            message = match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(message)) => return Err(Closed(message)),
                Err(TrySendError::Full(message)) => message,
            };
            if self.ready().await.is_err() {
                return Err(Closed(message));
            }
        }
    }

    /// Sends everything the iterator gives, a batch at a time: one store publishes each batch and
    /// one look decides whether the receiver must be woken. The iterator is asked for a message
    /// only when there is room for it.
    ///
    /// # Errors
    ///
    /// [`Closed`], when the receiver is gone. Messages published but not received by then are
    /// dropped.
    ///
    /// # Cancel safety
    ///
    /// Strict, if the iterator is lent (`&mut messages`): what was not sent is still in it.
    pub async fn send_batch(
        &mut self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<(), Closed<()>> {
        let mut messages = messages.into_iter();
        loop {
            self.ready().await?;
            self.producer.push_batch(&mut messages);
            self.receiver.ring();
            // Room that is left means that the iterator had nothing more to fill it with. Where
            // the last message filled the ring, an iterator that knows its length says so.
            if !self.producer.is_full() || messages.size_hint() == (0, Some(0)) {
                return Ok(());
            }
        }
    }

    /// Waits until there is room for a message.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver is gone.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn ready(&mut self) -> Result<(), Closed<()>> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// As [`ready`](Self::ready), as a poll. At most one task is woken: the last that polled.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed<()>>> {
        if self.producer.is_refused() {
            return Poll::Ready(Err(Closed(())));
        }
        if !self.producer.is_full() {
            return Poll::Ready(Ok(()));
        }
        if !self.sleeper.arm(cx.waker()) {
            return Poll::Pending;
        }
        let refused = self.producer.is_refused();
        if !refused && self.producer.is_full() {
            return Poll::Pending;
        }
        self.sleeper.disarm();
        Poll::Ready(if refused { Err(Closed(())) } else { Ok(()) })
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.producer.is_refused()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.producer.close();
        self.receiver.ring();
    }
}

/// The receiving end. Dropping it drops what is on the way, and the sender is refused from then on.
pub struct Receiver<T> {
    consumer: Consumer<T>,
    sleeper: Sleeper,
    sender: Ringer,
    /// Taken over, in order.
    taken: VecDeque<T>,
    batch: usize,
    budget: u32,
}

impl<T: Send> Receiver<T> {
    /// Takes a batch over, if there is one; wakes a sender that waits for the room.
    fn take_over(&mut self) -> bool {
        let taken = &mut self.taken;
        if self.consumer.drain(self.batch, |message| taken.push_back(message)) == 0 {
            return false;
        }
        self.sender.ring();
        true
    }

    /// The next message if one is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.taken.is_empty() && !self.take_over() {
            if !self.consumer.is_ended() {
                // It may be that a message and the end came between the two looks.
                return Err(TryRecvError::Empty);
            }
            return Err(TryRecvError::Closed);
        }
        Ok(self.taken.pop_front().expect("a batch was taken over"))
    }

    /// The next message, or `None` once the sender is gone and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Strict: a message is taken only when it is returned.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), as a poll. At most one task is woken: the last that polled.
    ///
    /// After many messages in a row it lets other tasks of the loop run, by being pending once.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.poll_any(cx).is_pending() {
            return Poll::Pending;
        }
        if self.taken.is_empty() {
            self.take_over();
        }
        Poll::Ready(self.taken.pop_front())
    }

    /// Appends all that is there, at most `limit` messages, to `messages`, waiting for the first;
    /// answers how many. 0 is the end (or a `limit` of 0).
    ///
    /// # Cancel safety
    ///
    /// Strict: messages are taken only when it returns.
    pub async fn recv_batch(&mut self, messages: &mut Vec<T>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        poll_fn(|cx| self.poll_any(cx)).await;
        let before = messages.len();
        let first = self.taken.len().min(limit);
        messages.extend(self.taken.drain(..first));
        // The rest straight from the ring into the caller's memory.
        if limit > first && self.consumer.drain(limit - first, |message| messages.push(message)) > 0
        {
            self.sender.ring();
        }
        messages.len() - before
    }

    /// Ready when a message is there, taken over or not, or when none will come any more.
    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget == 0 {
            self.budget = BUDGET;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.budget -= 1;
        if !self.taken.is_empty() || !self.consumer.is_empty() || self.consumer.is_ended() {
            return Poll::Ready(());
        }
        self.budget = BUDGET;
        if !self.sleeper.arm(cx.waker()) {
            return Poll::Pending;
        }
        let second_look = !mutant!("no-look-after-arming");
        if !second_look || self.consumer.is_empty() && !self.consumer.is_ended() {
            return Poll::Pending;
        }
        self.sleeper.disarm();
        Poll::Ready(())
    }

    /// How many messages can be on the way.
    pub fn capacity(&self) -> usize {
        self.consumer.capacity()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.consumer.close();
        self.sender.ring();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.producer).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.consumer).finish()
    }
}
