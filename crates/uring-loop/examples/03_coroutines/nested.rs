//! A future that is not awaited never runs. Python says so when it finds out; here it is the
//! compiler that warns: "futures do nothing unless you `.await` or poll them". Dropping one on
//! purpose is fine.
//!
//! In Python: *Basic ideas*, `nested()`.

use std::io;

use crate::course::{println, run};

async fn nested() -> u32 {
    println!("in nested");
    42
}

pub(crate) fn main() -> io::Result<()> {
    run(async {
        drop(nested()); // `nested();` would be warned of
        println!("{}", nested().await);
    })
}
