//! Two tasks sleep at the same time: a second and two make two.
//!
//! In Python: *Coroutines*, `asyncio.create_task`.

use std::io;
use std::time::Duration;

use uring_loop::spawn;
use uring_loop::time::sleep;

use crate::course::{println, run};

async fn say(delay: Duration, what: &str) {
    sleep(delay).await;
    println!("{what}");
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let task1 = spawn(say(Duration::from_secs(1), "hello"));
        let task2 = spawn(say(Duration::from_secs(2), "world"));
        task1.await?;
        task2.await?;
        Ok(())
    })?
}
