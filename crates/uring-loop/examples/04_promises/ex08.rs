//! A coroutine awaits a promise as it awaits anything.
//!
//! In Python: *A guide to asyncio*, ex08.py.

use std::io;

use uring_loop::{Promise, call_soon};

use crate::course::{event_loop, println};

fn mark_done(promise: &Promise<&'static str>, result: &'static str) {
    println!("setting future result to {result:?}");
    promise.set_result(result).expect("nobody else sets it");
}

async fn wait_for_it() -> io::Result<()> {
    let all_done = Promise::new();
    println!("scheduling mark_done");
    let promise = all_done.clone();
    call_soon(move || mark_done(&promise, "the result"));

    let result = all_done.await?;
    println!("returned result: {result:?}");
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    event_loop.run_until_complete(wait_for_it())??;
    println!("closing event loop");
    event_loop.close();
    Ok(())
}
