//! The same coroutine twice: as an `async fn`, and as the state machine that the compiler makes of
//! one.
//!
//! Python had generators in the place of the second, before it had `async`.
//!
//! In Python: *Concepts of asynchronous I/O*, `hello()` in 3.4 and in 3.5.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use uring_loop::time::{Sleep, sleep};

use crate::course::{event_loop, println};

async fn hello() {
    println!("Hello world!");
    sleep(Duration::from_secs(1)).await;
    println!("Hello again!");
}

enum Hello {
    Start,
    Sleeping(Pin<Box<Sleep>>),
    Done,
}

impl Future for Hello {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Hello::Start => {
                    println!("Hello world!");
                    *self = Hello::Sleeping(Box::pin(sleep(Duration::from_secs(1))));
                }
                Hello::Sleeping(sleep) => {
                    // Not ready: this returns, and is called again when the second is over.
                    ready!(sleep.as_mut().poll(cx));
                    println!("Hello again!");
                    *self = Hello::Done;
                }
                Hello::Done => return Poll::Ready(()),
            }
        }
    }
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    event_loop.run_until_complete(hello())?;
    event_loop.run_until_complete(Hello::Start)?;
    Ok(())
}
