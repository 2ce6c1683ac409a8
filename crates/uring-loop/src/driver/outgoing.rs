//! Sending that comes to its end by itself: bytes that a stream has taken over, and that reach the
//! kernel whether or not anybody polls again.
//!
//! # Life story of a [`Sending`]
//!
//! It is a box that goes to and fro between its stream and a slot of the driver.
//!
//! | state | the box is | it goes on when |
//! |---|---|---|
//! | *idle* | with the stream, empty, kept for its memory | the stream takes a buffer over |
//! | *sending* | in a slot, the kernel reads its bytes | the entry completes: short, so the rest follows; whole, so it is done |
//! | *waiting* | in the slot; the kernel watches for room, since the last entry said EAGAIN | there is room |
//! | *done* | in the slot, the kernel has let go | the stream looks, and takes it back |
//!
//! The driver goes from *sending* to *waiting* and back within the completion, without a task. So
//! it does not matter who polls, or whether the stream is still there: when a stream goes, it hands
//! its descriptor to the box ([`Outgoing::leave`]), and the descriptor is closed when the box is
//! dropped, behind the last byte; a TCP peer that takes nothing for [`STALL`] ends it. The end of a
//! loop waits for such boxes as long as its patience lasts (`shutdown.rs`). One that was stopped
//! ([`Outgoing::abort`]) goes nowhere any more.

use std::cell::{Cell, OnceCell};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::fd::{Fd, Lease};
use super::op::{self, Resident};
use super::ring::{Cqe, Sqe, opcode};
use super::{Driver, Key};
use crate::ops::net::Shutdown;
use crate::ops::owned;

/// What a stream has left behind is given up if the peer takes nothing for so long. The kernel is
/// no more patient with a closed socket: eight probes (`tcp_orphan_retries`, tcp(7)).
const STALL: Duration = Duration::from_secs(60);

/// How a descriptor is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// By `IORING_OP_SEND` (5.6) with `MSG_WAITALL`: the kernel goes on by itself if there is no
    /// room.
    Socket,
    /// By `IORING_OP_WRITE` (5.6): a pipe takes what fits.
    Pipe,
}

/// Bytes on their way; see the head of this file.
struct Sending {
    buffer: Vec<u8>,
    sent: usize,
    medium: Medium,
    waiting: bool,
    stopped: bool,
    fd: RawFd,
    /// `RWF_*` of a write.
    flags: u32,
    /// What went wrong, as errno; 0 for nothing.
    error: i32,
    /// What has the descriptor, once its stream is gone.
    closes: Option<Rc<Lease>>,
}

impl Sending {
    fn new() -> Self {
        Sending {
            buffer: Vec::new(),
            sent: 0,
            medium: Medium::Socket,
            waiting: false,
            stopped: false,
            fd: -1,
            flags: 0,
            error: 0,
            closes: None,
        }
    }

    fn whole(&self) -> bool {
        self.sent >= self.buffer.len()
    }
}

// The entry points into the heap block of `buffer`, which belongs to the box in the slot and is not
// touched before the terminal completion. The descriptor is the stream's, and then the box's own;
// both close it through the driver, behind the entries.
impl Resident for Box<Sending> {
    const MULTISHOT: bool = false;
    const HOLDS_CLOCK: bool = false;
    const STAGED: bool = true;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.fd = self.fd;
        if self.waiting {
            sqe.opcode = opcode::POLL_ADD;
            sqe.op_flags = u32::from(libc::POLLOUT as u16);
            return;
        }
        owned::point_to(sqe, &self.buffer[self.sent..]);
        match self.medium {
            Medium::Socket => {
                sqe.opcode = opcode::SEND;
                sqe.op_flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
            }
            Medium::Pipe => {
                sqe.opcode = opcode::WRITE;
                // The current position, as write(2).
                sqe.off = u64::MAX;
                sqe.op_flags = self.flags;
            }
        }
    }

    fn more(&mut self, _: Cqe) -> bool {
        false
    }

    fn reclaim(self, _: Cqe) {}

    fn goes_on(&mut self, cqe: Cqe) -> bool {
        let waited = mem::take(&mut self.waiting);
        match cqe.result {
            count @ 0.. if !waited => self.sent += count as usize,
            // There is room, or an error that the next entry will meet.
            0.. => {}
            errno if errno == -libc::EAGAIN && !waited => self.waiting = true,
            errno if errno == -libc::EINTR => {}
            // An old kernel: then without.
            errno if errno == -libc::EOPNOTSUPP && self.flags != 0 => self.flags = 0,
            errno => self.error = -errno,
        }
        if mutant!("short-send-not-gone-on-with") {
            return false;
        }
        self.error == 0 && !self.stopped && !self.whole()
    }
}

/// The sending half of a stream.
#[derive(Default)]
pub(crate) struct Outgoing {
    key: Cell<Option<Key>>,
    /// A box for the next buffer.
    idle: Cell<Option<Box<Sending>>>,
    /// What went wrong, as errno: it stays so. 0 for nothing.
    failed: Cell<i32>,
    ending: Cell<Ending>,
    /// Made when it is first needed.
    lease: OnceCell<Rc<Lease>>,
}

/// How far the end of our direction has come.
#[derive(Clone, Copy, Default)]
enum Ending {
    #[default]
    Open,
    Shutting(Key),
    Shut,
}

impl Outgoing {
    /// Whether bytes are on their way.
    pub(crate) fn busy(&self) -> bool {
        self.key.get().is_some()
    }

    /// Takes a buffer over; its bytes are submitted now.
    ///
    /// # Panics
    ///
    /// If bytes are on their way.
    pub(crate) fn start(
        &self,
        driver: &Driver,
        fd: RawFd,
        medium: Medium,
        buffer: Vec<u8>,
    ) -> io::Result<()> {
        assert!(
            !self.busy(),
            "start_send before poll_ready was ready: the last bytes are not sent"
        );
        self.check_open()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let mut sending = self.idle.take().unwrap_or_else(|| Box::new(Sending::new()));
        let flags = if medium == Medium::Pipe { driver.write_flags() } else { 0 };
        *sending = Sending { buffer, medium, fd, flags, ..Sending::new() };
        self.key.set(Some(driver.place(sending)));
        Ok(())
    }

    /// Fails if nothing can be sent any more.
    pub(crate) fn check_open(&self) -> io::Result<()> {
        match (self.failed.get(), self.ending.get()) {
            (0, Ending::Open) => Ok(()),
            (0, _) => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "this direction of the stream was shut down",
            )),
            (errno, _) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Waits until the kernel has everything that was taken over.
    pub(crate) fn poll_sent(&self, driver: &Driver, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(key) = self.key.get() {
            let (mut payload, cqe) = ready!(driver.poll_terminal(key, cx));
            self.key.set(None);
            // SAFETY: the key came from `place` of a `Box<Sending>`, and the op is done.
            let mut sending = unsafe { op::take::<Box<Sending>>(&raw mut payload) };
            self.failed.set(verdict(&sending, cqe));
            sending.buffer.clear();
            self.idle.set(Some(sending));
        }
        match self.failed.get() {
            0 => Poll::Ready(Ok(())),
            errno => Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
        }
    }

    /// Sends what is left, then ends our direction (`IORING_OP_SHUTDOWN`, 5.11).
    pub(crate) fn poll_shutdown(
        &self,
        driver: &Driver,
        fd: RawFd,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.ending.get() {
                Ending::Open => {
                    ready!(self.poll_sent(driver, cx))?;
                    let key =
                        driver.start(Shutdown::new(fd, std::net::Shutdown::Write, self.lease()));
                    self.ending.set(Ending::Shutting(key));
                }
                Ending::Shutting(key) => {
                    let result = ready!(driver.poll_op::<Shutdown>(key, cx));
                    self.ending.set(Ending::Shut);
                    match result {
                        // The other end is gone altogether: there is nobody to tell.
                        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                        result => return Poll::Ready(result),
                    }
                }
                Ending::Shut => return Poll::Ready(Ok(())),
            }
        }
    }

    /// What keeps the descriptor open for an operation that a worker carries out.
    pub(crate) fn lease(&self) -> Rc<Lease> {
        self.lease.get_or_init(Rc::default).clone()
    }

    /// The direction was shut down by other means.
    pub(crate) fn mark_shut(&self) {
        if matches!(self.ending.get(), Ending::Open) {
            self.ending.set(Ending::Shut);
        }
    }

    /// An empty vector with the memory of a buffer that was sent, or without any.
    pub(crate) fn spare(&self) -> Vec<u8> {
        let mut idle = self.idle.take();
        let spare = idle.as_mut().map(|sending| mem::take(&mut sending.buffer));
        self.idle.set(idle);
        spare.unwrap_or_default()
    }

    /// Gives up what is not sent yet; from now on every send fails.
    pub(crate) fn abort(&self, driver: &Driver) {
        self.stop(driver, libc::ECONNABORTED);
    }

    /// The same, because it took too long.
    pub(crate) fn time_out(&self, driver: &Driver) {
        self.stop(driver, libc::ETIMEDOUT);
    }

    fn stop(&self, driver: &Driver, errno: i32) {
        if self.failed.get() == 0 {
            self.failed.set(errno);
        }
        let Some(key) = self.key.get() else { return };
        // SAFETY: the slot holds a `Box<Sending>`, of which the kernel uses the bytes only.
        let _ = unsafe {
            driver.with_resident(key, |sending: &mut Box<Sending>, _, _| {
                sending.stopped = true;
                sending.error = errno;
            })
        };
        driver.cancel(key);
    }

    /// The stream goes. `true`: bytes, or a shutdown, are on their way and come to their end by
    /// themselves; the descriptor is theirs now, and is closed behind them.
    pub(crate) fn leave(&self, driver: &Rc<Driver>, fd: &impl AsFd) -> bool {
        let fd = fd.as_fd();
        let held = self.lease.get().is_some_and(|lease| Rc::strong_count(lease) > 1);
        let held = held && !mutant!("closed-under-a-worker");
        let sending = self.key.take();
        if held || sending.is_some() {
            self.lease().keep(Fd::new(driver.clone(), fd.as_raw_fd()));
        }
        if let Ending::Shutting(key) = self.ending.replace(Ending::Shut) {
            driver.leave(key);
        }
        if let Some(key) = sending {
            let lease = self.lease();
            // SAFETY: as in `stop`.
            let medium = unsafe {
                driver.with_resident(key, |sending: &mut Box<Sending>, _, _| {
                    sending.closes = Some(lease);
                    sending.medium
                })
            };
            if medium == Some(Medium::Socket) && !mutant!("a-stalled-peer-keeps-what-is-left") {
                driver.limit_stall(fd, STALL);
            }
            driver.leave(key);
        }
        held || sending.is_some()
    }
}

/// What came of it, as errno.
fn verdict(sending: &Sending, cqe: Cqe) -> i32 {
    match sending.error {
        // It was not even submitted, or the end of the loop came before its own.
        0 if !sending.whole() && cqe.result < 0 => -cqe.result,
        0 if !sending.whole() => libc::ECANCELED,
        errno => errno,
    }
}
