//! `Hello`, a second, `...World!`.
//!
//! In Python: *Basic ideas*, the first program.

use std::io;
use std::time::Duration;

use uring_loop::time::sleep;

use crate::course::{println, run};

pub(crate) fn main() -> io::Result<()> {
    run(async {
        println!("Hello");
        sleep(Duration::from_secs(1)).await;
        println!("...World!");
    })
}
