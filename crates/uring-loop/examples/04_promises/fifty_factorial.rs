//! A task computes 50! and sets a promise; the run waits for that, not for the task.
//!
//! In Python: *Concepts of asynchronous I/O*, `slow_operation()`.

use std::io;
use std::time::Duration;

use uring_loop::Promise;
use uring_loop::time::sleep;

use crate::course::{event_loop, println};

async fn slow_operation(promise: Promise<String>, n: u32) {
    sleep(Duration::from_secs(1)).await;
    promise.set_result(factorial(n)).expect("nobody else sets it");
}

/// n!, which soon is longer than any integer of the language.
fn factorial(n: u32) -> String {
    let mut digits = vec![1]; // the lowest first
    for factor in 2..=n {
        let mut carry = 0;
        for digit in &mut digits {
            carry += *digit * factor;
            *digit = carry % 10;
            carry /= 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    digits.iter().rev().map(u32::to_string).collect()
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let promise = Promise::new();
    drop(event_loop.spawn(slow_operation(promise.clone(), 50)));
    println!("{}", event_loop.run_until_complete(promise)??);
    Ok(())
}
