//! All tasks are cancelled but the one that does it. Each says `true`: it had not ended yet.
//!
//! In Python: *Coroutines*, `asyncio.all_tasks`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{all_tasks, current_task, spawn_all};

use crate::course::{println, run};

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let tasks = spawn_all((1..=3).map(|hours| sleep(Duration::from_secs(hours * 3600))));
        for task in all_tasks() {
            if Some(&task) != current_task().as_ref() {
                println!("{}", task.cancel());
            }
        }
        for task in tasks {
            if let Err(error) = task.await {
                println!("{error}");
            }
        }
    })
}
