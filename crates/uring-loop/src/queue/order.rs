//! In which order a queue gives its items.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

/// Keeps the items of an [`OrderedQueue`](super::OrderedQueue), and decides which one is next.
///
/// A queue with an order of your own is an `OrderedQueue` of it. It must give back as many items as
/// it was given, and must not use the queue that it is in.
pub trait Order: Default {
    /// What lies in the queue.
    type Item;

    /// Takes in an item.
    fn push(&mut self, item: Self::Item);

    /// Gives the next item; `None` only if it is empty.
    fn pop(&mut self) -> Option<Self::Item>;

    /// How many items there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// First in, first out; see [`Queue`](super::Queue).
pub struct Fifo<T>(VecDeque<T>);

/// The smallest first, of equal ones the oldest; see [`PriorityQueue`](super::PriorityQueue).
pub struct SmallestFirst<T> {
    heap: BinaryHeap<Ranked<T>>,
    /// Numbers the items, to tell the oldest of equal ones.
    serial: u64,
}

/// Last in, first out; see [`LifoQueue`](super::LifoQueue).
pub struct Lifo<T>(Vec<T>);

impl<T> Order for Fifo<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Order for SmallestFirst<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.heap.push(Ranked { item, serial: self.serial });
        self.serial += 1;
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|ranked| ranked.item)
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T> Order for Lifo<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// An item of a heap whose greatest is its smallest, and of equal ones the oldest.
struct Ranked<T> {
    item: T,
    serial: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.item.cmp(&self.item).then_with(|| other.serial.cmp(&self.serial))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Fifo(VecDeque::new())
    }
}

impl<T: Ord> Default for SmallestFirst<T> {
    fn default() -> Self {
        SmallestFirst { heap: BinaryHeap::new(), serial: 0 }
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Lifo(Vec::new())
    }
}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fifo({} items)", self.0.len())
    }
}

impl<T> fmt::Debug for SmallestFirst<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmallestFirst({} items)", self.heap.len())
    }
}

impl<T> fmt::Debug for Lifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lifo({} items)", self.0.len())
    }
}
