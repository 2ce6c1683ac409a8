//! A loop with nothing to do waits for ever. Ctrl+C ends the run, not the program.
//!
//! In Python: *Concepts of asynchronous I/O*, `run_forever()`.

use std::{io, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uring_loop::RunError;

use crate::course::{build, builder, println};

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = build(builder().ctrl_c(true))?;
    // Somebody at the keyboard, once the loop runs.
    event_loop.call_soon(|| {
        println!("^C");
        thread::spawn(|| kill(Pid::this(), Signal::SIGINT));
    });
    match event_loop.run_forever() {
        Err(RunError::Interrupted) => println!("{}", RunError::Interrupted),
        ended => println!("it ended otherwise: {ended:?}"),
    }
    Ok(())
}
