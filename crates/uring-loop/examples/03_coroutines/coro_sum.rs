//! Calling a coroutine only makes a future. Whoever polls it runs it; the loop is not needed for
//! one that never waits.
//!
//! In Python: *Concepts of asynchronous I/O*, `coro_sum()`.

use std::io;
use std::pin::pin;
use std::task::{Context, Waker};

use crate::course::{event_loop, println};

async fn coro_sum(numbers: &[u32]) -> u32 {
    println!("summing up {numbers:?}");
    let mut answer = 0;
    for number in numbers {
        answer += number;
    }
    answer
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    println!("{}", event_loop.run_until_complete(coro_sum(&[1, 2, 3, 4, 5]))?);

    let sum = pin!(coro_sum(&[1, 2, 3, 4, 5]));
    println!("a future is made; nothing has run");
    // What the loop does with it: here the answer is there at the first poll.
    println!("{:?}", sum.poll(&mut Context::from_waker(Waker::noop())));
    Ok(())
}
