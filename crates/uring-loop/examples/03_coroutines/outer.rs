//! A coroutine awaits another, and goes on with what that returns.
//!
//! In Python: *Concepts of asynchronous I/O*, `outer()` and `nested()`.

use std::io;

use crate::course::{event_loop, println};

async fn nested(numbers: &[u32]) -> Vec<u32> {
    println!("The \"nested\" function ran with args: {numbers:?}");
    numbers.iter().map(|number| number + 1).collect()
}

async fn outer(numbers: &[u32]) -> Vec<u32> {
    println!("The \"outer\" function ran with args: {numbers:?}");
    let doubled: Vec<_> = numbers.iter().map(|number| number * 2).collect();
    nested(&doubled).await
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("{:?}", event_loop.run_until_complete(outer(&[2, 3, 5, 8]))?);
    Ok(())
}
