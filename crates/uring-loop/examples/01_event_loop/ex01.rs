//! Making a coroutine starts nothing. The loop does, and stops when the coroutine has ended.
//!
//! In Python: *A guide to asyncio*, ex01.py.

use std::io;

use crate::course::{event_loop, println};

async fn coroutine() {
    println!("in coroutine");
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("starting coroutine");
    let coroutine = coroutine();
    println!("entering event loop");
    event_loop.run_until_complete(coroutine)?;
    println!("closing event loop");
    event_loop.close();
    Ok(())
}
