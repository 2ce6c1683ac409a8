//! Promises, tasks and coroutines are awaited in one way, and so they can be gathered.
//!
//! In Python: *Basic ideas*, futures.

use std::io;
use std::time::Duration;

use uring_loop::{Promise, call_later, gather};

use crate::course::{println, run};

fn function_that_returns_a_promise() -> Promise<&'static str> {
    let promise = Promise::new();
    let set_later = promise.clone();
    call_later(Duration::from_secs(1), move || {
        set_later.set_result("a promise").expect("nobody else sets it");
    });
    promise
}

async fn some_coroutine() -> &'static str {
    "a coroutine"
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        println!("{:?}", function_that_returns_a_promise().await?);
        // this is also valid
        let both = gather!(function_that_returns_a_promise(), some_coroutine());
        let (promised, returned) = both.await?;
        println!("{:?} and {returned:?}", promised?);
        Ok(())
    })?
}
