//! Children: programs that are started, talked to, and waited for, without blocking the loop.
//!
//! [`Command`] says what to run, [`Child`] is what runs. A child's end is waited for by the ring
//! (`IORING_OP_WAITID`, 6.7; before, a poll of its pidfd): there is no handler of SIGCHLD and no
//! thread. Signals go through a pidfd, so that none hits another process that got the same number.
//!
//! # What becomes of a child
//!
//! | | |
//! |---|---|
//! | [`Child::wait`] is dropped | nothing: the next one gets the status |
//! | the [`Child`] is dropped | it runs on, and is reaped by the loop when it ends: no zombie |
//! | … with [`kill_on_drop`](Command::kill_on_drop) | it is killed, and reaped |
//! | the loop ends | what was killed is reaped; other children run on, and are reaped by whoever gets them when this process ends |
//!
//! A child starts with none of this process's handlers. What is ignored stays ignored, but for
//! SIGPIPE, which has its default action again. What the thread that spawns it has blocked stays
//! blocked; this crate blocks nothing.
//!
//! # Time
//!
//! Starting a program blocks the loop until the kernel has begun to execute it: vfork(2) and
//! execve(2), or fork(2) for a [`Command`] that asks for more than these can do (`uid`, `pre_exec`,
//! …). That is a fraction of a millisecond for the first, and grows with the memory of this
//! process for the second.
//!
//! Who waits for a child holds a [virtual clock](crate::hold): a limit in its time never comes.
//!
//! ```
//! use uring_loop::process::Command;
//!
//! uring_loop::run(async {
//!     let output = Command::new("echo").arg("hello").output().await?;
//!     assert!(output.status.success());
//!     assert_eq!(output.stdout, b"hello\n");
//!     # Ok::<(), std::io::Error>(())
//! })?
//! # ;
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
mod communicate;
mod exit;
mod stdio;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::Child;
pub(crate) use child::no_process;
pub use command::Command;
pub use exit::Wait;
