//! A promise calls back when it is done: all its callbacks, in the order in which they came.
//!
//! In Python: *A guide to asyncio*, ex09.py.

use std::io;

use uring_loop::Promise;

use crate::course::{event_loop, println};

fn callback(promise: &Promise<&'static str>, n: u32) {
    if let Ok(Ok(result)) = promise.result() {
        println!("{n}: future done: {result}");
    }
}

fn register_callbacks(all_done: &Promise<&'static str>) {
    println!("registering callbacks on future");
    all_done.on_done(|promise| callback(promise, 1));
    all_done.on_done(|promise| callback(promise, 2));
}

async fn finish(all_done: Promise<&'static str>) -> io::Result<()> {
    register_callbacks(&all_done);
    println!("setting result of future");
    Ok(all_done.set_result("the result")?)
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    event_loop.run_until_complete(finish(Promise::new()))?
}
