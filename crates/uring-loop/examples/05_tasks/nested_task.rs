//! A task runs by itself from its start on. Its handle cancels it, or is awaited for its result.
//!
//! In Python: *Basic ideas*, `nested()` as a task.

use std::io;

use uring_loop::spawn;

use crate::course::{println, run};

async fn nested() -> u32 {
    42
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let task = spawn(nested());
        println!("{}", task.await?);
        Ok(())
    })?
}
