//! What the coroutine returns is the result of the run.
//!
//! In Python: *A guide to asyncio*, ex02.py.

use std::io;

use crate::course::{event_loop, println};

async fn coroutine() -> &'static str {
    println!("in coroutine");
    "result"
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let result = event_loop.run_until_complete(coroutine())?;
    println!("it returned: {result:?}");
    Ok(())
}
