//! One after the other, a second and two: that takes three.
//!
//! In Python: *Basic ideas*, `say_after()`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;

use crate::course::{println, run, time_of_day};

async fn say_after(delay: Duration, what: &str) {
    sleep(delay).await;
    println!("{what}");
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        println!("started at {}", time_of_day());
        say_after(Duration::from_secs(1), "hello").await;
        say_after(Duration::from_secs(2), "world").await;
        println!("finished at {}", time_of_day());
    })
}
