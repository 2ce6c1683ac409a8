//! The same with the time of day: two seconds, where one after the other takes three.
//!
//! In Python: *Basic ideas*, `say_after()` with tasks.

use std::io;
use std::time::Duration;

use uring_loop::spawn;
use uring_loop::time::sleep;

use crate::course::{println, run, time_of_day};

async fn say_after(delay: Duration, what: &str) {
    sleep(delay).await;
    println!("{what}");
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let task1 = spawn(say_after(Duration::from_secs(1), "hello"));
        let task2 = spawn(say_after(Duration::from_secs(2), "world"));
        println!("started at {}", time_of_day());
        task1.await?;
        task2.await?;
        println!("finished at {}", time_of_day());
        Ok(())
    })?
}
