//! Behind a shield the task does not hear of the timeout. It goes on, and its result is had later.
//!
//! In Python: *Basic ideas*, `asyncio.shield`.

use std::io;
use std::time::Duration;

use uring_loop::time::{sleep, timeout};
use uring_loop::{shield, spawn};

use crate::course::{println, run};

async fn save() -> &'static str {
    sleep(Duration::from_secs(2)).await;
    println!("saved");
    "all of it"
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let mut saving = shield(spawn(save()));
        match timeout(Duration::from_secs(1), &mut saving).await {
            Ok(saved) => println!("{}", saved?),
            Err(elapsed) => println!("{elapsed}"),
        }
        println!("{}", saving.await?);
        Ok(())
    })?
}
