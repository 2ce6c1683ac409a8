//! One task of a group fails. The others are cancelled, and may clean up; the body ends where it
//! waits. The error that ended the group comes first; one that comes of cleaning up is not lost.
//!
//! In Python: `asyncio.TaskGroup` and its `ExceptionGroup`.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{TaskErrors, TaskGroup, catch_cancel};

use crate::course::{println, run};

async fn download(page: u32) -> Result<(), String> {
    let waited = catch_cancel(sleep(Duration::from_secs(page.into()))).await;
    match waited {
        Ok(()) if page == 2 => return Err("page 2: no route to host".to_owned()),
        Ok(()) => println!("page {page} is here"),
        Err(cancelled) => {
            println!("page {page} is not wanted any more");
            sleep(Duration::from_millis(500)).await;
            if page == 4 {
                return Err("page 4: the disk is full".to_owned());
            }
            println!("page {page} is put away");
            cancelled.propagate().await;
        }
    }
    Ok(())
}

async fn download_all() -> Result<(), TaskErrors<String>> {
    TaskGroup::scope(async |group| {
        for page in 1..=4 {
            group.spawn(download(page));
        }
        sleep(Duration::from_secs(60)).await;
        println!("nobody comes here");
        Ok(())
    })
    .await
}

async fn see_what_failed() {
    match download_all().await {
        Ok(()) => println!("all is well"),
        Err(errors) => {
            println!("{} tasks failed", errors.len());
            for error in errors {
                println!("{error}");
            }
        }
    }
}

pub(crate) fn main() -> io::Result<()> {
    run(see_what_failed())
}
