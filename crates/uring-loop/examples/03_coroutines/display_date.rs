//! The time of day, each second, for five seconds.
//!
//! In Python: *Basic ideas*, `display_date()`.

use std::io;
use std::time::Duration;

use uring_loop::time::{now, sleep};

use crate::course::{println, run, time_of_day};

const SECOND: Duration = Duration::from_secs(1);

async fn display_date() {
    let end = now() + 5 * SECOND;
    loop {
        println!("{}", time_of_day());
        if now() + SECOND >= end {
            break;
        }
        sleep(SECOND).await;
    }
}

pub(crate) fn main() -> io::Result<()> {
    run(display_date())
}
