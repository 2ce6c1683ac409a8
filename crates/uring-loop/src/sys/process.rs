//! Children by descriptor: pidfds, signals through them, and what `waitid` tells.
//!
//! A pidfd names a process for good; a number is given anew once its process was waited for. What
//! nix 0.31 lacks of this stands here in `libc`'s words.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::ptr;
use std::time::{Duration, Instant};

use super::check;

/// A descriptor of a child that was not waited for yet; close-on-exec (pidfd_open(2), 5.3).
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: fresh from the kernel, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// ESRCH, as the kernel would say it.
pub(crate) fn no_process() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

/// ESRCH: it has ended, and was waited for.
pub(crate) fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// ECHILD: there is no such child to wait for.
pub(crate) fn is_no_child(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECHILD)
}

/// Sends a signal to the process (pidfd_send_signal(2), 5.1).
pub(crate) fn send_signal(pidfd: RawFd, number: i32) -> io::Result<()> {
    pidfd_send_signal(pidfd, number, 0)
}

/// Sends a signal to the process group that the process leads, or led (6.9). Kernels without that
/// do it by number, which is safe as long as the leader was not waited for: `None` if it was.
pub(crate) fn send_signal_to_group(pidfd: RawFd, pid: Option<u32>, number: i32) -> io::Result<()> {
    /// `PIDFD_SIGNAL_PROCESS_GROUP`.
    const PROCESS_GROUP: u32 = 1 << 2;
    match pidfd_send_signal(pidfd, number, PROCESS_GROUP) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        result => return result,
    }
    let Some(pid) = pid else { return Err(io::Error::from_raw_os_error(libc::ESRCH)) };
    // SAFETY: takes two numbers.
    check(libc::c_long::from(unsafe { libc::killpg(pid as libc::pid_t, number) })).map(drop)
}

fn pidfd_send_signal(pidfd: RawFd, number: i32, flags: u32) -> io::Result<()> {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: the pointer may be null, then the kernel fills the information in.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, no_info, flags) })
        .map(drop)
}

/// Whether the child has ended, without waiting; if it has, it is reaped (waitid(2), 5.4).
///
/// Fails with ECHILD if its status was taken by somebody else.
pub(crate) fn try_wait(pidfd: RawFd) -> io::Result<Option<ExitStatus>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG;
    // SAFETY: there is room for what is written.
    let result = unsafe { libc::waitid(libc::P_PIDFD, pidfd as u32, info.as_mut_ptr(), options) };
    check(libc::c_long::from(result))?;
    // SAFETY: all zeroes are a valid value, which the kernel has changed or not.
    let info = unsafe { info.assume_init() };
    // SAFETY: zero if there was nothing to tell, otherwise what `waitid` fills in.
    let ended = unsafe { info.si_pid() } != 0;
    Ok(ended.then(|| status(&info)))
}

/// The same for a child that ends any moment: it is waited for so long, by blocking.
pub(crate) fn reap(pidfd: RawFd, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = try_wait(pidfd)? {
            return Ok(Some(status));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let milliseconds = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1);
        let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry. Whatever it comes to, a signal's coming (EINTR) too, is looked at
        // next: children that end together send many.
        unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
    }
}

/// What `waitid` has written about a child that ended, as the older calls code it (wait(2)).
pub(crate) fn status(info: &libc::siginfo_t) -> ExitStatus {
    // SAFETY: filled in by waitid(2), with the fields of SIGCHLD.
    let number = unsafe { info.si_status() };
    ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => (number & 0xff) << 8,
        libc::CLD_DUMPED => number | 0x80,
        _ => number,
    })
}

/// Makes the program the leader of a new session, without a terminal (setsid(2)).
pub(crate) fn lead_session(command: &mut Command) {
    // SAFETY: what runs between fork and exec is one system call that takes nothing; setsid is
    // async-signal-safe.
    unsafe {
        command.pre_exec(|| check(libc::c_long::from(libc::setsid())).map(drop));
    }
}

#[cfg(test)]
#[expect(clippy::zombie_processes, reason = "they are waited for by descriptor")]
mod tests {
    use super::*;

    fn run(script: &str) -> ExitStatus {
        let child = Command::new("sh").args(["-c", script]).spawn().expect("a shell");
        let pidfd = pidfd_open(child.id()).expect("a descriptor");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
        loop {
            if let Some(status) = reap(fd, Duration::from_millis(100)).expect("our child") {
                return status;
            }
        }
    }

    #[test]
    fn a_status_is_what_std_would_say() {
        assert_eq!(run("exit 0").code(), Some(0));
        assert_eq!(run("exit 255").code(), Some(255));
        let killed = run("kill -9 $$");
        assert_eq!((killed.code(), killed.signal(), killed.core_dumped()), (None, Some(9), false));
    }

    #[test]
    fn a_child_that_was_reaped_is_not_there_for_a_second_wait() {
        let child = Command::new("true").spawn().expect("it is there");
        let pidfd = pidfd_open(child.id()).expect("a descriptor");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
        while try_wait(fd).expect("our child").is_none() {
            std::thread::yield_now();
        }
        let gone = try_wait(fd).expect_err("it was taken");
        assert_eq!(gone.raw_os_error(), Some(libc::ECHILD));
        let gone = send_signal(fd, libc::SIGTERM).expect_err("there is nobody");
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }
}
