//! The same without `async fn`: functions that return futures, made by `async` blocks. It is the
//! longer form of the same thing, and sometimes needed, since it can say more of the future.
//!
//! Python's longer form is the generator under `asyncio.coroutine`.
//!
//! In Python: *A guide to asyncio*, ex04.py.

#![allow(clippy::manual_async_fn, reason = "it is what this demo shows")]

use std::io;

use crate::course::{event_loop, println};

fn outer() -> impl Future<Output = (&'static str, String)> {
    async {
        println!("in outer");
        println!("waiting for result1");
        let result1 = phase1().await;
        println!("waiting for result2");
        let result2 = phase2(result1).await;
        (result1, result2)
    }
}

fn phase1() -> impl Future<Output = &'static str> + Send {
    async {
        println!("in phase1");
        "result1"
    }
}

fn phase2(argument: &str) -> impl Future<Output = String> + Send {
    let result = format!("result2 derived from {argument}");
    async {
        println!("in phase2");
        result
    }
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("return value: {:?}", event_loop.run_until_complete(outer())?);
    Ok(())
}
