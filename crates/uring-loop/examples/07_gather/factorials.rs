//! Three tasks compute factorials and sleep between two steps: they take turns.
//!
//! In Python: *Basic ideas*, `factorial()`.

use std::io;
use std::time::Duration;

use uring_loop::gather;
use uring_loop::time::sleep;

use crate::course::{println, run};

async fn factorial(name: &str, number: u32) {
    let mut f = 1;
    for i in 2..=number {
        println!("Task {name}: Compute factorial({i})...");
        sleep(Duration::from_secs(1)).await;
        f *= i;
    }
    println!("Task {name}: factorial({number}) = {f}");
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        gather!(factorial("A", 2), factorial("B", 3), factorial("C", 4)).await?;
        Ok(())
    })?
}
