//! The table of what is in flight: for eyes, dumps and tests.

use std::fmt;
use std::time::Duration;

use super::Driver;
use super::slab::{Head, Key, State};
use crate::sys::opcode;

/// An operation the kernel has not finished with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InFlight {
    /// The kernel's name of the opcode.
    pub operation: &'static str,
    /// What its completion will carry, as traces of the kernel show it.
    pub user_data: u64,
    /// For how long it has been in flight, to some milliseconds, as of the turn in progress.
    /// `None` for a zero-copy send that has its result and waits for its notification.
    pub age: Option<Duration>,
    /// Whether its future is gone; then a cancel is under way.
    pub orphan: bool,
    /// Whether it ends in a bounded time by itself, as operations on files do, and not only when
    /// somebody else does something.
    pub bounded: bool,
}

impl InFlight {
    pub(super) fn of(key: Key, head: &Head, now: u32) -> Self {
        InFlight {
            operation: opcode::name(head.opcode()),
            user_data: key.user_data(),
            age: head.since().map(|since| Duration::from_millis(now.wrapping_sub(since).into())),
            orphan: head.state() == State::Orphan,
            bounded: head.vtable().holds_clock,
        }
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x}", self.operation, self.user_data)?;
        match self.age {
            Some(age) => write!(f, " for {:.3} s", age.as_secs_f64())?,
            None => f.write_str(" until its notification")?,
        }
        if self.orphan { f.write_str(" (orphan)") } else { Ok(()) }
    }
}

/// All operations of one kind that are in flight.
///
/// # Examples
///
/// ```
/// use uring_loop::net::TcpListener;
/// use uring_loop::{EventLoop, spawn, yield_now};
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.run_until_complete(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     drop(spawn(async move { listener.accept().await }));
///     yield_now().await;
///     Ok::<(), std::io::Error>(())
/// })??;
/// let kinds = event_loop.in_flight_kinds();
/// assert_eq!((kinds[0].operation, kinds[0].count), ("ACCEPT", 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InFlightKind {
    /// The kernel's name of the opcode.
    pub operation: &'static str,
    /// How many there are.
    pub count: usize,
    /// How many of them have no future any more.
    pub orphans: usize,
    /// For how long the oldest has been in flight.
    pub oldest: Duration,
}

impl InFlightKind {
    /// The kinds in a table, the most frequent first.
    pub(crate) fn of(table: &[InFlight]) -> Vec<InFlightKind> {
        let mut kinds: Vec<InFlightKind> = Vec::new();
        for operation in table {
            let at = kinds.iter().position(|kind| kind.operation == operation.operation);
            let at = at.unwrap_or_else(|| {
                let operation = operation.operation;
                let oldest = Duration::ZERO;
                kinds.push(InFlightKind { operation, count: 0, orphans: 0, oldest });
                kinds.len() - 1
            });
            kinds[at].count += 1;
            kinds[at].orphans += usize::from(operation.orphan);
            kinds[at].oldest = kinds[at].oldest.max(operation.age.unwrap_or_default());
        }
        kinds.sort_by_key(|kind| (std::cmp::Reverse(kind.count), kind.operation));
        kinds
    }
}

impl fmt::Display for InFlightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oldest = self.oldest.as_secs_f64();
        write!(f, "{} {} (oldest {oldest:.3} s", self.count, self.operation)?;
        match self.orphans {
            0 => f.write_str(")"),
            orphans => write!(f, ", {orphans} orphans)"),
        }
    }
}

impl Driver {
    /// Which tasks wait for which operations: numbers of tasks, the kernel's names of opcodes.
    pub(crate) fn waiting(&self) -> Vec<(u32, &'static str)> {
        let inner = self.inner();
        let waiting = |(_, head): (_, &Head)| Some((head.waits()?, opcode::name(head.opcode())));
        inner.arena.iter_active().filter_map(waiting).collect()
    }

    /// What is in flight, youngest first; what is of the same age, in no order.
    pub fn in_flight_table(&self) -> Vec<InFlight> {
        let now = self.now.get();
        let inner = self.inner();
        let mut table = Vec::with_capacity(inner.arena.active() as usize);
        let active = inner.arena.iter_active();
        table.extend(active.map(|(key, head)| InFlight::of(key, head, now)));
        drop(inner);
        table.sort_by_key(|operation| operation.age);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recv(age: u64, orphan: bool) -> InFlight {
        let age = Some(Duration::from_millis(age));
        InFlight { operation: "RECV", user_data: 7, age, orphan, bounded: false }
    }

    #[test]
    fn kinds_are_counted_with_the_age_of_the_oldest() {
        let accept = InFlight { operation: "ACCEPT", age: None, ..recv(0, false) };
        let kinds = InFlightKind::of(&[accept, recv(20, false), recv(1500, true)]);
        let shown: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["2 RECV (oldest 1.500 s, 1 orphans)", "1 ACCEPT (oldest 0.000 s)"]);
    }

    #[test]
    fn one_operation_is_shown_with_its_age_or_with_what_it_waits_for() {
        assert_eq!(recv(20, true).to_string(), "RECV 0x7 for 0.020 s (orphan)");
        let sent = InFlight { operation: "SEND_ZC", age: None, ..recv(0, false) };
        assert_eq!(sent.to_string(), "SEND_ZC 0x7 until its notification");
    }
}
