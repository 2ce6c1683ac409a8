//! A limit that may be none: then the wait is for as long as it takes.
//!
//! In Python: *Basic ideas*, `asyncio.wait_for` with `timeout=None`.

use std::io;
use std::time::Duration;

use uring_loop::time::{Elapsed, sleep, timeout_scope};

use crate::course::{println, run};

async fn save() -> &'static str {
    sleep(Duration::from_secs(600)).await;
    "saved, at last"
}

async fn save_within(limit: Option<Duration>) -> Result<&'static str, Elapsed> {
    timeout_scope(limit, async |_| save().await).await
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        println!("{:?}", save_within(Some(Duration::from_secs(60))).await);
        println!("{:?}", save_within(None).await);
    })
}
