//! System calls of the process pool that neither std nor nix has in the shape needed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// A descriptor that becomes readable when the process `pid` ends: pidfd_open(2), Linux 5.3. For
/// a child not yet waited for, so the id cannot have passed to another process.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us, close-on-exec; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends what goes without blocking, and the descriptors along with the first byte (`SCM_RIGHTS`,
/// unix(7)): the number of bytes, 0 if there is no room, and then no descriptor has gone either.
pub(crate) fn send_some(
    socket: &UnixStream,
    parts: &[IoSlice<'_>],
    fds: &[RawFd],
) -> io::Result<usize> {
    match send(socket, parts, fds, MsgFlags::MSG_DONTWAIT) {
        Err(nix::Error::EAGAIN) => Ok(0),
        other => Ok(other?),
    }
}

/// Sends everything, and the descriptors along with the first byte; waits for room.
pub(crate) fn send_all(
    socket: &UnixStream,
    head: &[u8],
    body: &[u8],
    mut fds: &[RawFd],
) -> io::Result<()> {
    let mut slices = [IoSlice::new(head), IoSlice::new(body)];
    let mut parts = &mut slices[..];
    let mut left = head.len() + body.len();
    while left > 0 {
        let count = send(socket, parts, fds, MsgFlags::empty())?;
        left -= count;
        IoSlice::advance_slices(&mut parts, count);
        fds = &[];
    }
    Ok(())
}

fn send(
    socket: &UnixStream,
    parts: &[IoSlice<'_>],
    fds: &[RawFd],
    flags: MsgFlags,
) -> nix::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let message = if fds.is_empty() { &[] } else { &rights[..] };
    let flags = flags | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<UnixAddr>(socket.as_raw_fd(), parts, message, flags, None) {
            Err(nix::Error::EINTR) => {}
            other => return other,
        }
    }
}

/// Where the descriptors that come with bytes are kept until their frame is complete.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) fds: VecDeque<OwnedFd>,
    /// Room for one message's.
    space: Vec<u8>,
}

impl Arrived {
    pub(crate) fn new() -> Arrived {
        // The most that unix(7) allows.
        Arrived { fds: VecDeque::new(), space: nix::cmsg_space!([RawFd; 253]) }
    }

    /// Takes those of one frame; `None` if they have not come.
    pub(crate) fn take(&mut self, count: u8) -> Option<Vec<OwnedFd>> {
        let count = usize::from(count);
        (count <= self.fds.len()).then(|| self.fds.drain(..count).collect())
    }
}

/// Receives into `room`: the number of bytes, 0 at the end of the stream, `None` if nothing is
/// there and `wait` is not set.
pub(crate) fn receive(
    socket: &UnixStream,
    room: &mut [u8],
    arrived: &mut Arrived,
    wait: bool,
) -> io::Result<Option<usize>> {
    let mut flags = MsgFlags::MSG_CMSG_CLOEXEC;
    flags.set(MsgFlags::MSG_DONTWAIT, !wait);
    let Arrived { fds, space } = arrived;
    let mut parts = [IoSliceMut::new(room)];
    let message = loop {
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(space), flags) {
            Ok(message) => break message,
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) => return Ok(None),
            // The other end closed with bytes of ours unread: to us the same as an end.
            Err(nix::Error::ECONNRESET) => return Ok(Some(0)),
            Err(error) => return Err(error.into()),
        }
    };
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        // nix does not read a truncated list, so what did come stays open: in a worker, which is
        // about to end, or in a parent that loses one worker by it.
        let text = "descriptors got lost on the way: this process may have too many open files";
        return Err(io::Error::other(text));
    }
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(passed) = part {
            // SAFETY: the kernel just made these descriptors for us; each is taken up once.
            fds.extend(passed.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok(Some(message.bytes))
}

/// poll(2) until a deadline, if any. Interruptions by signals end it like a time-out.
pub(crate) fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    let timeout = match deadline {
        None => PollTimeout::NONE,
        Some(deadline) => {
            // Rounded up: returning early would make the caller spin.
            let left = deadline.saturating_duration_since(Instant::now());
            let millis = left.saturating_add(Duration::from_nanos(999_999)).as_millis();
            PollTimeout::try_from(millis.min(i32::MAX as u128) as i32).expect("not negative")
        }
    };
    match poll(fds, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The monotonic clock in nanoseconds: the same for all processes of the machine.
pub(crate) fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes to the timespec it is given, which lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Ends a child and all processes in the group it leads.
///
/// The child must not have been waited for: then its process id, which is also the group's, cannot
/// have passed to another process.
pub(crate) fn kill_group(leader: u32) {
    use nix::sys::signal::{kill, killpg};
    let leader = nix::unistd::Pid::from_raw(leader as libc::pid_t);
    // Refused only if there is nothing left to end.
    if !mutant!("group-survives") {
        let _ = killpg(leader, Signal::SIGKILL);
    }
    // A child that has not come as far as its group is ended by itself.
    let _ = kill(leader, Signal::SIGKILL);
}

/// Which file the descriptor stands for; `None` if it stands for none.
pub(crate) fn inode_of(file: &impl AsFd) -> Option<u64> {
    nix::sys::stat::fstat(file).ok().map(|stat| stat.st_ino)
}

/// Whether standard input is a unix socket.
pub(crate) fn stdin_is_a_socket() -> bool {
    let mode = nix::sys::stat::fstat(io::stdin()).map(|stat| stat.st_mode);
    mode.is_ok_and(|mode| mode & libc::S_IFMT == libc::S_IFSOCK)
}

/// Moves standard input to a descriptor of its own and puts /dev/null in its place.
pub(crate) fn take_stdin() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}

/// Makes SIGINT do nothing. Not by `SIG_IGN`: programs started from here would inherit that.
pub(crate) fn disregard_interrupts() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, so it is safe at any point of the program.
    unsafe { sigaction(Signal::SIGINT, &action) }?;
    Ok(())
}

/// Ends the process at once: no destructors, no `atexit`.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit may be called at any time from any thread.
    unsafe { libc::_exit(code) }
}
