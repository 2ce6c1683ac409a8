//! A child that was started.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitStatus;
use std::rc::Rc;

use super::exit::{Exit, Wait, lost};
use crate::driver::Driver;
use crate::driver::fd::Fd;
use crate::pipe::{PipeReader, PipeWriter};
use crate::signal::SignalKind;
use crate::sys;

/// A child of this process, made by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it does not end the child, unless [`kill_on_drop`](super::Command::kill_on_drop) was
/// asked for; the loop reaps it when it ends.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::process::{Command, Stdio};
/// use uring_loop::time::timeout;
///
/// uring_loop::run(async {
///     let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     let mut stdin = cat.stdin.take().unwrap();
///     stdin.write_all("meow").await.0?;
///     drop(stdin); // cat reads to the end
///     assert_eq!(&*cat.stdout.as_mut().unwrap().recv().await?, b"meow");
///     assert!(cat.wait().await?.success());
///
///     let sleeper = Command::new("sleep").arg("3600").spawn()?;
///     if timeout(Duration::from_millis(10), sleeper.wait()).await.is_err() {
///         let status = sleeper.kill().await?;
///         assert!(!status.success());
///     }
///     Ok::<(), std::io::Error>(())
/// })?
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "Process")]
pub struct Child {
    /// What the child reads, if it was [`piped`](super::Stdio::piped). A child that reads to the
    /// end of it ends only when this is dropped.
    pub stdin: Option<PipeWriter>,
    /// What the child writes, if it was piped.
    pub stdout: Option<PipeReader>,
    /// What it writes to stderr, if that was piped.
    pub stderr: Option<PipeReader>,
    exit: Exit,
    id: u32,
    kill_on_drop: bool,
}

impl Child {
    /// Takes over what std has started. If there is no descriptor for it, it is killed and waited
    /// for: nobody would reap it.
    pub(super) fn adopt(
        driver: &Rc<Driver>,
        mut child: std::process::Child,
        kill_on_drop: bool,
    ) -> io::Result<Self> {
        let id = child.id();
        let pidfd = match sys::process::pidfd_open(id) {
            Ok(pidfd) => pidfd,
            // It has ended and is gone, as children are while SIGCHLD is ignored.
            Err(error) if sys::process::is_no_process(&error) => return Err(lost(&error)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let fd = |owned| Fd::from_owned(driver.clone(), owned);
        Ok(Child {
            stdin: child.stdin.take().map(|end| PipeWriter::fresh(fd(end.into()))),
            stdout: child.stdout.take().map(|end| PipeReader::new(fd(end.into()))),
            stderr: child.stderr.take().map(|end| PipeReader::new(fd(end.into()))),
            exit: Exit::new(fd(pidfd)),
            id,
            kill_on_drop,
        })
    }

    /// The number of the process. Another one may have it once this has been waited for.
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the end of the child (`IORING_OP_WAITID`, 6.7; before, a poll of its pidfd).
    ///
    /// Any number of tasks may wait, and it may be asked for again. A child that reads its piped
    /// stdin to the end waits for `stdin` to be dropped first, and one that fills its piped stdout
    /// for somebody to read that: [`communicate`](Self::communicate) does both.
    ///
    /// # Errors
    ///
    /// If the status is lost, since the program ignores SIGCHLD or waits for its children
    /// elsewhere.
    ///
    /// # Panics
    ///
    /// If it is polled where no loop runs.
    ///
    /// # Cancel safety
    ///
    /// Strict: the child runs on, and the next `wait` gives its status.
    pub fn wait(&self) -> Wait<'_> {
        Wait::new(&self.exit)
    }

    /// The status, if the child has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    #[doc(alias = "returncode")]
    #[doc(alias = "poll")]
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.exit.try_wait()
    }

    /// Sends a signal. One to a child that has ended, and that nobody has waited for yet, goes
    /// nowhere.
    ///
    /// # Errors
    ///
    /// Those of kill(2); ESRCH if the child was waited for.
    #[doc(alias = "send_signal")]
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        if kind == SignalKind::KILL {
            self.exit.mark_killed();
        }
        sys::process::send_signal(self.exit.raw(), kind.number())
    }

    /// Sends a signal to the process group of the child, which leads one after
    /// [`Command::process_group(0)`](super::Command::process_group) or
    /// [`setsid`](super::Command::setsid): to its own children too, that is.
    ///
    /// # Errors
    ///
    /// Those of kill(2); ESRCH if there is no such group.
    #[doc(alias = "killpg")]
    pub fn signal_group(&self, kind: SignalKind) -> io::Result<()> {
        if kind == SignalKind::KILL {
            self.exit.mark_killed();
        }
        let not_reaped = self.exit.known().is_none().then_some(self.id);
        sys::process::send_signal_to_group(self.exit.raw(), not_reaped, kind.number())
    }

    /// Asks the child to end (SIGTERM). As [`signal`](Self::signal).
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(SignalKind::TERMINATE)
    }

    /// Kills the child (SIGKILL), without waiting for its end. A child that has ended is no error.
    ///
    /// # Errors
    ///
    /// Those of kill(2): EPERM, for a child that has become another user.
    pub fn start_kill(&self) -> io::Result<()> {
        self.signal_if_there(SignalKind::KILL)
    }

    /// Sends a signal, which to a child that was waited for goes nowhere, too.
    pub(crate) fn signal_if_there(&self, kind: SignalKind) -> io::Result<()> {
        match self.signal(kind) {
            Err(error) if sys::process::is_no_process(&error) => Ok(()),
            result => result,
        }
    }

    /// Kills the child (SIGKILL) and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Strict: the signal is sent at once, and the status is there for the next `wait`.
    pub async fn kill(&self) -> io::Result<ExitStatus> {
        self.start_kill()?;
        self.wait().await
    }
}

/// What a signal fails with to a child that is gone.
pub(crate) fn no_process() -> io::Error {
    sys::process::no_process()
}

impl AsFd for Child {
    /// Its pidfd.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.exit.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A forked copy of this process has a copy of this, too, which says nothing.
        let ours = !self.exit.is_of_another_process();
        if self.kill_on_drop && ours && self.exit.known().is_none() {
            // It has ended, or is another user's: then this is all that can be done.
            let _ = self.start_kill();
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id)
            .field("status", &self.exit.known())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;

    use super::Child;
    use crate::EventLoop;
    use crate::process::Command;

    #[test]
    fn killed_children_that_do_not_die_share_one_wait_at_the_end_of_the_loop() {
        let mut event_loop = EventLoop::new().expect("a ring");
        let start = || Command::new("sleep").arg("1000").spawn().expect("it is there");
        let children = async { (0..40).map(|_| start()).collect::<Vec<Child>>() };
        let mut children = event_loop.run_until_complete(children).expect("not stopped");
        let numbers: Vec<_> =
            children.iter().map(|child| Pid::from_raw(child.id() as i32)).collect();
        // As if the kernel had them in hand.
        children.iter().for_each(|child| child.exit.mark_killed());
        let kept = children.split_off(20);
        drop(children); // Their end is waited for by the loop.
        let begin = Instant::now();
        drop(event_loop);
        drop(kept);
        let took = begin.elapsed();
        for number in numbers {
            kill(number, Signal::SIGKILL).expect("it runs");
            waitpid(number, None).expect("our child");
        }
        assert!(took >= Duration::from_millis(100), "they are given time: {took:?}");
        // One after the other would be 4 s.
        assert!(took < Duration::from_secs(2), "{took:?} for all of them");
    }
}
