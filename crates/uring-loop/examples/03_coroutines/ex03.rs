//! Coroutines in a chain: the second needs what the first gave.
//!
//! In Python: *A guide to asyncio*, ex03.py.

use std::io;

use crate::course::{event_loop, println};

async fn outer() -> (&'static str, String) {
    println!("in outer");
    println!("waiting for result1");
    let result1 = phase1().await;
    println!("waiting for result2");
    let result2 = phase2(result1).await;
    (result1, result2)
}

async fn phase1() -> &'static str {
    println!("in phase1");
    "result1"
}

async fn phase2(argument: &str) -> String {
    println!("in phase2");
    format!("result2 derived from {argument}")
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("return value: {:?}", event_loop.run_until_complete(outer())?);
    Ok(())
}
