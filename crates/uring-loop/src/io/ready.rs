//! Waiting until a descriptor is ready: for what this crate has no type for.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::rc::Rc;

use crate::callback::Callback;
use crate::driver::{Driver, Op};
use crate::ops::ring::PollKept;
use crate::report::{Report, ReportKind};

/// Waits until a descriptor has something to read: bytes, the end, a connection to accept, an error
/// (`IORING_OP_POLL_ADD`, 5.1).
///
/// It is for descriptors of other libraries, of timerfd or inotify say, and for the doorbell of a
/// process pool. What this crate has a type for it also has methods for, and those are better: an
/// operation that is complete has been done, one that is ready may yet fail.
///
/// Readiness is a *level*, as with poll(2): who waits again without having read is told again, and
/// a regular file is always ready. It is a hint, too: another thread or process that has the same
/// descriptor may be faster, so reading should not block (`O_NONBLOCK`).
///
/// The wait keeps `fd`, so that it stays open as long as the kernel looks at it: give it an
/// [`Rc`] or an [`Arc`](std::sync::Arc) of what owns the descriptor, a duplicate
/// ([`try_clone`](std::os::fd::OwnedFd::try_clone)), or the owner itself.
///
/// Who waits does not hold a [virtual clock](crate::hold()).
///
/// # Errors
///
/// Those of poll(2).
///
/// # Panics
///
/// If it is polled where no loop runs.
///
/// # Cancel safety
///
/// Strict: nothing was read. `fd` is dropped when the kernel has let go of it, in one of the loop's
/// next turns.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::rc::Rc;
/// use uring_loop::io::wait_readable;
///
/// uring_loop::run(async {
///     let (here, mut there) = UnixStream::pair()?; // as a library in C may give
///     here.set_nonblocking(true)?;
///     let here = Rc::new(here);
///     std::thread::spawn(move || there.write_all(b"hello"));
///     wait_readable(here.clone()).await?;
///     let mut bytes = [0; 64];
///     let count = (&*here).read(&mut bytes)?; // does not block
///     assert_eq!(&bytes[..count], b"hello");
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub async fn wait_readable(fd: impl AsFd + 'static) -> io::Result<()> {
    Driver::current().submit(PollKept::readable(fd)).await
}

/// Waits until a descriptor takes something that is written to it, or has failed
/// (`IORING_OP_POLL_ADD`, 5.1). All else is as with [`wait_readable`].
///
/// # Errors
///
/// Those of poll(2).
///
/// # Panics
///
/// If it is polled where no loop runs.
///
/// # Cancel safety
///
/// Strict: nothing was written. `fd` is dropped when the kernel has let go of it, in one of the
/// loop's next turns.
pub async fn wait_writable(fd: impl AsFd + 'static) -> io::Result<()> {
    Driver::current().submit(PollKept::writable(fd)).await
}

/// Calls `f` on this thread's loop whenever a descriptor has something to read, until it breaks
/// off, is [cancelled](Callback::cancel), or the loop ends.
///
/// `f` is called again as long as there is something: it should read, without blocking, and break
/// off at the end, which does not go away. When nothing will be called any more, `fd` is dropped.
///
/// `f` runs as a callback of the loop. A panic in it ends the watching, and is reported to the
/// loop's exception handler; so is a descriptor that cannot be watched
/// ([`WatchFailed`](crate::ReportKind::WatchFailed)).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::ops::ControlFlow;
/// use std::os::unix::net::UnixStream;
/// use uring_loop::io::on_readable;
///
/// let mut event_loop = uring_loop::EventLoop::new()?;
/// let (here, mut there) = UnixStream::pair()?;
/// here.set_nonblocking(true)?;
/// there.write_all(b"hello")?;
/// drop(there);
/// event_loop.call_soon(|| {
///     let mut heard = Vec::new();
///     on_readable(here, move |mut here: &UnixStream| {
///         let mut bytes = [0; 4];
///         let count = here.read(&mut bytes).expect("it is ready, and nobody else reads");
///         heard.extend_from_slice(&bytes[..count]);
///         if count > 0 {
///             return ControlFlow::Continue(());
///         }
///         assert_eq!(heard, b"hello");
///         uring_loop::stop();
///         ControlFlow::Break(())
///     });
/// });
/// event_loop.run_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "add_reader")]
#[track_caller]
pub fn on_readable<F>(fd: F, f: impl FnMut(&F) -> ControlFlow<()> + 'static) -> Callback
where
    F: AsFd + 'static,
{
    watch("on_readable", fd, PollKept::readable, f)
}

/// Calls `f` on this thread's loop whenever a descriptor takes something that is written to it.
/// All else is as with [`on_readable`]; a descriptor takes something nearly always, so `f` breaks
/// off as soon as it has nothing to write.
///
/// # Panics
///
/// If no loop runs on this thread.
#[doc(alias = "add_writer")]
#[track_caller]
pub fn on_writable<F>(fd: F, f: impl FnMut(&F) -> ControlFlow<()> + 'static) -> Callback
where
    F: AsFd + 'static,
{
    watch("on_writable", fd, PollKept::writable, f)
}

#[track_caller]
fn watch<F, P>(
    what: &'static str,
    fd: F,
    poll: fn(Rc<F>) -> P,
    mut f: impl FnMut(&F) -> ControlFlow<()> + 'static,
) -> Callback
where
    F: AsFd + 'static,
    P: Op<Output = io::Result<()>>,
{
    let fd = Rc::new(fd);
    let next = async move || match Driver::current().submit(poll(fd.clone())).await {
        Ok(()) => Some(fd.clone()),
        Err(error) => {
            let message = format!("a descriptor is watched no more ({what}): {error}");
            Report::new(ReportKind::WatchFailed, message).send();
            None
        }
    };
    Callback::each(what, next, move |fd| f(&fd))
}
