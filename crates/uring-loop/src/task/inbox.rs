//! How other threads reach a loop: the list and the state word of its [door](super::door).
//!
//! # Protocol
//!
//! *List*: a stack of [`Node`]s pushed by compare-and-swap. The loop takes the whole stack with one
//! swap and turns it round, so entries of one thread arrive in the order they were pushed, and
//! there is no ABA: nobody pops.
//!
//! *State word*: `RUNNING`, `SLEEPING` or `NOTIFIED`; only the loop writes the first two.
//!
//! * A sender pushes, **then** sets `NOTIFIED` (an RMW). If the word was `SLEEPING` it also rings
//!   the bell, and it alone: the next sender finds `NOTIFIED`.
//! * The loop, before it parks, goes from `RUNNING` to `SLEEPING` by compare-and-swap. If that
//!   fails
//!   the word is `NOTIFIED`: it does not park. After the park it swaps `RUNNING` in, and **then**
//!   takes the list.
//!
//! Why no push is missed: all writes to the word are RMWs, so they stand in one order. A
//! sender's comes either before the loop's swap to `RUNNING` (the swap acquires the push, the list
//! that is taken next contains it) or after it; then it turns `RUNNING` or `SLEEPING` into
//! `NOTIFIED`: the loop's next attempt to sleep fails, or the bell is rung for the present sleep.

#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

const RUNNING: u32 = 0;
const SLEEPING: u32 = 1;
const NOTIFIED: u32 = 2;

/// What lies in the list. First field of everything that goes through a door.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node {
    next: AtomicPtr<Node>,
    /// The task's id, or 0 for a `RemoteCall`.
    pub(crate) id: u32,
    /// The loop it is meant for; ids of loops are not used twice.
    pub(crate) loop_id: u32,
}

impl Node {
    pub(crate) fn new(id: u32, loop_id: u32) -> Self {
        Node { next: AtomicPtr::new(ptr::null_mut()), id, loop_id }
    }
}

/// The list and the state word, without a bell: the part that is model-checked.
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicPtr<Node>,
    state: AtomicU32,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox { head: AtomicPtr::new(ptr::null_mut()), state: AtomicU32::new(RUNNING) }
    }

    /// Pushes a node and notifies. `true`: ring the bell.
    ///
    /// # Safety
    ///
    /// `node` is valid, in no list, and stays so until the loop has taken it.
    #[must_use]
    pub(crate) unsafe fn push(&self, node: *mut Node) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: ours until the exchange succeeds (the caller's promise).
            unsafe { &*node }.next.store(head, Ordering::Relaxed);
            // Release: what the node heads is visible to who takes the list.
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.notify()
    }

    /// Keeps the loop from parking, or asks for the bell (`true`) if it is parked.
    #[must_use]
    pub(crate) fn notify(&self) -> bool {
        self.state.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING
    }

    /// Whether a take would find something; a hint.
    pub(crate) fn knocked(&self) -> bool {
        !self.head.load(Ordering::Relaxed).is_null()
    }

    /// The loop wants to park. `false`: it was notified, it must not.
    #[must_use]
    pub(crate) fn try_sleep(&self) -> bool {
        if mutant!("wake-lost-before-the-sleep") {
            self.state.store(SLEEPING, Ordering::Release);
            return true;
        }
        self.state.compare_exchange(RUNNING, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The loop is awake; take the list after this. `true`: somebody had notified it.
    pub(crate) fn wake_up(&self) -> bool {
        self.state.swap(RUNNING, Ordering::AcqRel) == NOTIFIED
    }

    /// Takes everything, oldest first.
    pub(crate) fn take(&self) -> Taken {
        let mut at = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut reversed = ptr::null_mut();
        while !at.is_null() {
            // SAFETY: a node in the list is valid, and ours since the swap.
            let next = unsafe { &*at }.next.swap(reversed, Ordering::Relaxed);
            reversed = at;
            at = next;
        }
        Taken(reversed)
    }
}

/// Nodes taken from an inbox, oldest first. The next node is read before this one is given out, so
/// the receiver may free it or push it again.
#[derive(Debug)]
pub(crate) struct Taken(*mut Node);

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_null()
    }
}

impl Default for Taken {
    fn default() -> Self {
        Taken(ptr::null_mut())
    }
}

impl Iterator for Taken {
    type Item = *mut Node;

    fn next(&mut self) -> Option<*mut Node> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: nodes taken are valid until given out.
        let next = unsafe { &*self.0 }.next.load(Ordering::Relaxed);
        Some(std::mem::replace(&mut self.0, next))
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    /// A message: a node first, as in a task.
    #[repr(C)]
    struct Message {
        node: Node,
        value: usize,
    }

    fn send(inbox: &Inbox, value: usize) -> bool {
        let message = Box::new(Message { node: Node::new(0, 1), value });
        // SAFETY: a fresh box, freed by who takes it.
        unsafe { inbox.push(Box::into_raw(message).cast()) }
    }

    fn receive(inbox: &Inbox) -> Vec<usize> {
        inbox
            .take()
            .map(|node| {
                // SAFETY: every node is the head of a `Message` made by `send`.
                unsafe { Box::from_raw(node.cast::<Message>()) }.value
            })
            .collect()
    }

    /// The loop either gets the message before it sleeps, or is refused sleep, or is rung.
    #[test]
    fn loom_a_push_is_never_slept_through() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new());
            let bells = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..2)
                .map(|value| {
                    let (inbox, bells) = (inbox.clone(), bells.clone());
                    thread::spawn(move || {
                        if send(&inbox, value) {
                            bells.fetch_add(1, Ordering::Release);
                        }
                    })
                })
                .collect();
            let mut got = receive(&inbox);
            let slept = inbox.try_sleep();
            if !slept {
                inbox.wake_up();
                got.extend(receive(&inbox));
            }
            for sender in senders {
                sender.join().expect("no panic");
            }
            if slept && got.len() < 2 {
                // Parked with something outstanding: exactly one bell must have been rung.
                assert_eq!(bells.load(Ordering::Acquire), 1, "slept through a push");
                assert!(inbox.wake_up());
            } else if !slept && got.len() < 2 {
                // Not parked, and something came after the take: the next sleep must fail.
                assert!(!inbox.try_sleep(), "slept through a push");
                inbox.wake_up();
            }
            got.extend(receive(&inbox));
            got.sort();
            assert_eq!(got, [0, 1]);
        });
    }

    /// Messages of one sender arrive in order, whatever another does.
    #[test]
    fn loom_one_senders_messages_keep_their_order() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new());
            let other = inbox.clone();
            let sender = thread::spawn(move || {
                let _ = send(&other, 1);
                let _ = send(&other, 2);
            });
            let _ = send(&inbox, 10);
            let mut got = receive(&inbox);
            sender.join().expect("no panic");
            got.extend(receive(&inbox));
            got.retain(|value| *value < 10);
            assert_eq!(got, [1, 2]);
        });
    }
}
