//! Two coroutines wait for an event; a callback sets it, and both go on.
//!
//! In Python: *A guide to asyncio*, ex19.py.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::Event;
use uring_loop::{call_later, gather};

use crate::course::{event_loop, println};

fn set_event(event: &Event) {
    println!("setting event in callback");
    event.set();
}

async fn coro1(event: Rc<Event>) {
    println!("coro1 waiting for event");
    event.wait().await;
    println!("coro1 triggered");
}

async fn coro2(event: Rc<Event>) {
    println!("coro2 waiting for event");
    event.wait().await;
    println!("coro2 triggered");
}

async fn wait_for_it() -> io::Result<()> {
    let event = Rc::new(Event::new());
    println!("event start state: {}", event.is_set());

    let later = event.clone();
    call_later(Duration::from_millis(100), move || set_event(&later));

    gather!(coro1(event.clone()), coro2(event.clone())).await?;
    println!("event and state: {}", event.is_set());
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    event_loop()?.run_until_complete(wait_for_it())?
}
