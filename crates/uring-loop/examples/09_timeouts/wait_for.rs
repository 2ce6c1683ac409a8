//! A task that takes two seconds is given one: it is cancelled, and the waiter is told.
//!
//! In Python: *Basic ideas*, `asyncio.wait_for`.

use std::io;
use std::time::Duration;

use uring_loop::spawn;
use uring_loop::time::{sleep, timeout};

use crate::course::{println, run};

async fn save() -> &'static str {
    sleep(Duration::from_secs(2)).await;
    println!("saved");
    "all of it"
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let mut saving = spawn(save());
        match timeout(Duration::from_secs(1), &mut saving).await {
            Ok(saved) => println!("{}", saved?),
            Err(elapsed) => println!("{elapsed}"),
        }
        println!("done: {}", saving.is_done());
        Ok(())
    })?
}
