//! One callback, when all are done, with all the results.
//!
//! In Python: *Concepts of asynchronous I/O*, `mix()`.

use std::io;

use uring_loop::gather;

use crate::course::{event_loop, println};

async fn make_tea(variety: &str) -> String {
    println!("Now making {variety} tea.");
    format!("{variety} tea")
}

fn mix(teas: &[String]) {
    println!("Mixing the {} together.", teas.join(" and "));
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let teas = ["herbal", "green"].map(|variety| event_loop.spawn(make_tea(variety)));
    let meta_task = event_loop.spawn(gather(teas));
    meta_task.on_done(|gathered| {
        // The outer result is that of the meta task, the inner one that of its teas.
        if let Ok(Ok(teas)) = gathered {
            mix(teas);
        }
    });
    println!("{:?}", event_loop.run_until_complete(meta_task)???);
    Ok(())
}
