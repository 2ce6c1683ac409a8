//! The steps of a program.

use std::time::Duration;

use super::super::bytes::Bytes;
use super::{Machine, PLACES, Started, start};
use crate::op::{Driver, LinkTimeout, Nop};
use crate::testing::{Fault, opcode};
use crate::time::{sleep, timeout};
use crate::yield_now;

/// Operations that a fault may be planned for, and the errors that they may fail with then.
const VICTIMS: &[(u8, &[i32])] = &[
    (opcode::NOP, &[ENOMEM]),
    (opcode::READ, &[EIO, EINTR, EAGAIN]),
    (opcode::WRITE, &[EIO, ENOSPC, EINTR, EAGAIN]),
    (opcode::READ_FIXED, &[EIO, EINTR, EAGAIN]),
    (opcode::WRITE_FIXED, &[ENOSPC, EINTR, EAGAIN]),
    (opcode::OPENAT, &[EMFILE, EINTR]),
    (opcode::FSYNC, &[EIO, EINTR]),
    (opcode::RECV, &[ENOBUFS, EAGAIN]),
    (opcode::ACCEPT, &[EAGAIN]),
];

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const ENOBUFS: i32 = 105;

impl Machine {
    pub(super) async fn step(&mut self, input: &mut Bytes<'_>) {
        let place = input.below(PLACES);
        match input.below(16) {
            0 => self.begin_simple(place, input),
            1 | 2 => self.begin_on_file(place, input),
            3 | 4 => self.begin_on_socket(place, input),
            5 => self.sockets.outside(input),
            6 | 7 => self.poll(place).await,
            8 => self.give_up(place, input),
            9 => self.make_task(place, input),
            10 => self.end_task(input),
            11 => self.plan_fault(input),
            12 => yield_now().await,
            13 => sleep(Duration::from_micros(input.size() as u64)).await,
            14 => self.limit(place, input),
            _ => self.let_go(input),
        }
    }

    fn begin_simple(&mut self, place: usize, input: &mut Bytes<'_>) {
        let errors = self.errors.clone();
        let driver = Driver::current();
        if input.flag() {
            return self.hold(place, true, async move {
                if let Err(error) = driver.submit(Nop).await {
                    errors.check(&error);
                }
            });
        }
        let limit = LinkTimeout::after(Duration::from_micros(1 + input.size() as u64));
        self.hold(place, true, async move {
            let (nop, expired) = driver.chain((Nop, limit)).await;
            // A limit that is over is told of both; so is a first that has failed.
            match (nop, expired.expect("nothing goes wrong with a limit")) {
                (Err(error), false) => errors.check(&error),
                (Ok(()), _) | (Err(_), true) => {}
            }
        });
    }

    fn begin_on_file(&mut self, place: usize, input: &mut Bytes<'_>) {
        let future = self.files.begin(input);
        self.hold(place, true, future);
    }

    fn begin_on_socket(&mut self, place: usize, input: &mut Bytes<'_>) {
        if let Some(future) = self.sockets.begin(input, &self.lent) {
            // A peer that says nothing is waited for until it ends.
            self.hold(place, false, future);
        }
    }

    /// The future goes at once, or when the loop is gone.
    fn give_up(&mut self, place: usize, input: &mut Bytes<'_>) {
        let held = self.futures[place].take();
        match input.below(4) {
            0 => self.kept.extend(held),
            _ => drop(held),
        }
    }

    fn make_task(&mut self, place: usize, input: &mut Bytes<'_>) {
        let Some(held) = self.futures[place].take() else { return };
        let other = input.below(PLACES);
        let other = if input.below(3) > 0 { self.futures[other].take() } else { None };
        self.tasks.push(start(held, other));
    }

    fn end_task(&mut self, input: &mut Bytes<'_>) {
        if self.tasks.is_empty() {
            return;
        }
        let number = input.below(self.tasks.len().min(256));
        let Started { task, ends } = &self.tasks[number];
        match input.below(4) {
            0 | 1 => {
                task.cancel();
            }
            // It goes on without its handle.
            2 if *ends => drop(self.tasks.swap_remove(number)),
            _ => task.abort(),
        }
    }

    /// The future has so much time from now on.
    fn limit(&mut self, place: usize, input: &mut Bytes<'_>) {
        let Some(held) = self.futures[place].take() else { return };
        let limit = Duration::from_micros(input.size() as u64);
        let limited = timeout(limit, held.future);
        self.hold(place, true, async move {
            let _ = limited.await;
        });
    }

    fn plan_fault(&mut self, input: &mut Bytes<'_>) {
        let (victim, errors) = input.pick(VICTIMS);
        let fault = match input.below(8) {
            0 | 1 => {
                let errno = input.pick(errors);
                self.errors.allow(errno);
                Fault::Fail(errno)
            }
            2 => Fault::Short(input.byte().into()),
            3 => Fault::Delay(input.below(6) as u32),
            4 => Fault::Latency(input.size() as u64 * 1000),
            5 => Fault::EndMultishot,
            6 => Fault::LoseCancel,
            _ => return self.sim.next_enter(input.pick(&[EINTR, EAGAIN, EBUSY])),
        };
        self.sim.next(victim, fault);
    }

    /// Something that operations may be at goes.
    fn let_go(&mut self, input: &mut Bytes<'_>) {
        match input.below(4) {
            0 => self.lent.borrow_mut().clear(),
            1 => drop(self.lent.borrow_mut().pop()),
            2 => self.files.close(input),
            _ => self.sockets.close(input),
        }
    }
}
