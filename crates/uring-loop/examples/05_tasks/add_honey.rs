//! A callback that needs to know more than the result captures it.
//!
//! In Python: *Concepts of asynchronous I/O*, `add_ingredient()`.

use std::io;

use uring_loop::JoinError;

use crate::course::{event_loop, println};

async fn make_tea(variety: &str) -> String {
    println!("Now making {variety} tea.");
    format!("{variety} tea")
}

fn add_ingredient(ingredient: &str, made: &Result<String, JoinError>) {
    if let Ok(tea) = made {
        println!("Now adding {ingredient} to the {tea}.");
    }
}

pub(crate) fn main() -> io::Result<()> {
    let mut event_loop = event_loop()?;
    let task = event_loop.spawn(make_tea("herbal"));
    let ingredient = "honey";
    task.on_done(move |made| add_ingredient(ingredient, made));
    println!("{:?}", event_loop.run_until_complete(task)??);
    Ok(())
}
