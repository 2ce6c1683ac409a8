//! The run waits for a promise, a callback sets it. All who have a clone of it have the same one.
//!
//! In Python: *A guide to asyncio*, ex07.py.

use std::io;

use uring_loop::Promise;

use crate::course::{event_loop, println};

fn mark_done(promise: &Promise<&'static str>, result: &'static str) {
    println!("setting future result to {result:?}");
    promise.set_result(result).expect("nobody else sets it");
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let all_done = Promise::new();
    println!("scheduling mark_done");
    let promise = all_done.clone();
    event_loop.call_soon(move || mark_done(&promise, "the result"));

    println!("entering event loop");
    let result = event_loop.run_until_complete(all_done.clone())??;
    println!("returned result: {result:?}");
    println!("closing event loop");
    event_loop.close();

    println!("future result: {:?}", all_done.result()?.expect("it was returned above"));
    Ok(())
}
