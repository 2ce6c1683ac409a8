//! What to run, and how.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use super::Child;
use crate::blocking::LIMIT_OF_THREADS;
use crate::driver::Driver;
use crate::sys;

/// A program to be started, with its arguments, environment and streams.
///
/// It wraps [`std::process::Command`], and can be made of one. What is not said is inherited.
///
/// # Examples
///
/// ```
/// use uring_loop::process::{Command, Stdio};
///
/// uring_loop::run(async {
///     let child = Command::new("sh")
///         .args(["-c", "exit $CODE"])
///         .env("CODE", "7")
///         .stdin(Stdio::null())
///         .spawn()?;
///     assert_eq!(child.wait().await?.code(), Some(7));
///     # Ok::<(), std::io::Error>(())
/// })?
/// # ;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    std: std::process::Command,
    kill_on_drop: bool,
    /// Which of stdin, stdout and stderr were said.
    said: [bool; 3],
}

impl Command {
    /// Runs `program`, which is looked for in `PATH` if it has no slash in it.
    #[doc(alias = "create_subprocess_exec")]
    #[doc(alias = "Popen")]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// Runs a line by the shell, `/bin/sh`. What comes from outside does not belong into it: give
    /// it as [`arg`](Self::arg), and the line has it as `$0`, `$1` …
    #[doc(alias = "create_subprocess_shell")]
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        command
    }

    /// One more argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(argument);
        self
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = A>) -> &mut Self {
        self.std.args(arguments);
        self
    }

    /// What the program sees as its own name, instead of `program`.
    #[doc(alias = "executable")]
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg0(name);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(name, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<N, V>(&mut self, variables: impl IntoIterator<Item = (N, V)>) -> &mut Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(variables);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(name);
        self
    }

    /// Inherits no variable of the environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// Where the program starts. A relative `program` is not looked for from there reliably.
    #[doc(alias = "cwd")]
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(folder);
        self
    }

    /// What the child reads: [`piped`](Stdio::piped), [`null`](Stdio::null),
    /// [`inherit`](Stdio::inherit) (the default), a file, a descriptor, the pipe of another child.
    #[doc(alias = "PIPE")]
    #[doc(alias = "DEVNULL")]
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.said[0] = true;
        self.std.stdin(stdin);
        self
    }

    /// Where the child writes; see [`stdin`](Self::stdin).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.said[1] = true;
        self.std.stdout(stdout);
        self
    }

    /// Where the child writes what concerns its user; see [`stdin`](Self::stdin).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.said[2] = true;
        self.std.stderr(stderr);
        self
    }

    /// Puts the child into a process group, by its number; 0 makes it the leader of a new one,
    /// which Ctrl+C at the terminal does not reach, and [`Child::signal_group`] does.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.std.process_group(group);
        self
    }

    /// Makes the child the leader of a new session, without a terminal, and of a process group
    /// (setsid(2)). It cannot be asked for twice, nor with [`process_group`](Self::process_group).
    #[doc(alias = "start_new_session")]
    pub fn setsid(&mut self) -> &mut Self {
        sys::process::lead_session(&mut self.std);
        self
    }

    /// The user that the child becomes; this takes privileges.
    pub fn uid(&mut self, user: u32) -> &mut Self {
        self.std.uid(user);
        self
    }

    /// The group that the child becomes; this takes privileges.
    pub fn gid(&mut self, group: u32) -> &mut Self {
        self.std.gid(group);
        self
    }

    /// Runs `f` in the child, before the program is executed. If it fails, so does the spawn.
    ///
    /// # Safety
    ///
    /// As [`pre_exec`](CommandExt::pre_exec) of std: `f` runs in a copy of this process that has
    /// this one thread, where locks of others, the allocator's too, may be held for ever. It may
    /// do only what is async-signal-safe (signal-safety(7)), and nothing with an event loop.
    #[doc(alias = "preexec_fn")]
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Self
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller's promise is the callee's requirement.
        unsafe { self.std.pre_exec(f) };
        self
    }

    /// Kills the child (SIGKILL) when its [`Child`] is dropped. Default: it runs on.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the program. This blocks until it is being executed; see the
    /// [module](super#time).
    ///
    /// # Errors
    ///
    /// Those of fork(2) and execve(2), with the name of the program.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        let driver = Driver::current();
        let spawned = self.std.spawn();
        let child = spawned.and_then(|child| Child::adopt(&driver, child, self.kill_on_drop));
        child.map_err(|error| self.explain(&error))
    }

    /// Runs the program to its end, and tells how it ended.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Cancel safety
    ///
    /// Weak: the child runs on, or is killed with [`kill_on_drop`](Self::kill_on_drop).
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        let mut child = self.spawn()?;
        drop(child.stdin.take());
        child.wait().await
    }

    /// Runs the program to its end, and gives what it has written. Unless they were said, stdout
    /// and stderr are piped, and stdin is null.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::communicate`].
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Cancel safety
    ///
    /// Weak: what was read is lost; the child runs on, or is killed with
    /// [`kill_on_drop`](Self::kill_on_drop).
    #[doc(alias = "check_output")]
    pub async fn output(&mut self) -> io::Result<Output> {
        self.spawn_unsaid(Stdio::null)?.communicate("").await
    }

    /// Starts the program with pipes for all that was not said.
    #[track_caller]
    pub(crate) fn spawn_piped(&mut self) -> io::Result<Child> {
        self.spawn_unsaid(Stdio::piped)
    }

    /// Unless they were said: stdin as here, and pipes for the other two.
    #[track_caller]
    fn spawn_unsaid(&mut self, stdin: fn() -> Stdio) -> io::Result<Child> {
        self.say_unsaid(stdin(), Stdio::piped(), Stdio::piped());
        let spawned = self.spawn();
        self.say_unsaid(Stdio::inherit(), Stdio::inherit(), Stdio::inherit());
        spawned
    }

    fn say_unsaid(&mut self, stdin: Stdio, stdout: Stdio, stderr: Stdio) {
        let [said_stdin, said_stdout, said_stderr] = self.said;
        if !said_stdin {
            self.std.stdin(stdin);
        }
        if !said_stdout {
            self.std.stdout(stdout);
        }
        if !said_stderr {
            self.std.stderr(stderr);
        }
    }

    /// What it wraps, for options that are not here.
    pub fn as_std(&mut self) -> &mut std::process::Command {
        &mut self.std
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let program = self.std.get_program().display();
        let limit = if error.kind() == io::ErrorKind::WouldBlock { LIMIT_OF_THREADS } else { "" };
        let text = match self.std.get_current_dir() {
            Some(folder) => {
                format!("spawning `{program}` in `{}`: {error}{limit}", folder.display())
            }
            None => format!("spawning `{program}`: {error}{limit}"),
        };
        io::Error::new(error.kind(), text)
    }
}

impl From<std::process::Command> for Command {
    /// For [`Command::output`], the streams of a command that comes like this count as not said.
    fn from(std: std::process::Command) -> Self {
        Command { std, kill_on_drop: false, said: [false; 3] }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.std, f)
    }
}
