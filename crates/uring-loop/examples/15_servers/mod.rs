//! Chapter 15: servers and protocols.
//!
//! Each demo has its own clients, so that it comes to an end. With `--serve` it is a server that
//! waits for yours, until Ctrl+C.

mod command_server;
mod echo_server;
mod wget;

use std::io;

use uring_loop::{EventLoop, RunError};

use crate::course::{Chapter, Demo, build, builder};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "15. Servers and protocols",
    demos: &[
        Demo::new("command_server", command_server::main, "a server that obeys, and can be ended")
            .serving("127.0.0.1:8000", command_server::serve),
        Demo::new("echo_server", echo_server::main, "every call of a protocol, as it comes")
            .serving("127.0.0.1:10000", echo_server::serve),
        Demo::new("wget", wget::main, "three sites at the same time, line by line")
            .serving("127.0.0.1:8080", wget::serve),
    ],
};

/// A loop that Ctrl+C ends.
fn serving_loop() -> io::Result<EventLoop> {
    build(builder().ctrl_c(true))
}

/// How a server ends: it was stopped, or somebody has pressed Ctrl+C.
fn until_ctrl_c(ended: Result<(), RunError>) -> io::Result<()> {
    match ended {
        Err(RunError::Interrupted) => Ok(()),
        ended => Ok(ended?),
    }
}
