//! The same page from three mirrors: the first answer counts. The others are dropped where they
//! wait, and what they hold is dropped with them. No task is needed for that.
//!
//! In Python: `asyncio.wait` with `FIRST_COMPLETED`, and a `cancel` of the rest.

use std::io;
use std::time::Duration;

use uring_loop::race;
use uring_loop::time::sleep;

use crate::course::{println, run};

struct Connection(&'static str);

impl Drop for Connection {
    fn drop(&mut self) {
        println!("the connection to {} is closed", self.0);
    }
}

async fn fetch(mirror: &'static str, seconds: u64) -> String {
    let connection = Connection(mirror);
    sleep(Duration::from_secs(seconds)).await;
    format!("the page, from {}", connection.0)
}

async fn first_of_three() {
    let page = race((fetch("Sydney", 3), fetch("Zurich", 1), fetch("Boston", 2))).await;
    println!("{page}");
}

pub(crate) fn main() -> io::Result<()> {
    run(first_of_three())
}
