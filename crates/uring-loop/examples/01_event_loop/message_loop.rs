//! What an event loop is, by hand: get an event, process it, again.
//!
//! Who wants a file read says so and goes on. That the file was read is an event like any other,
//! and brings the text. [`EventLoop`](uring_loop::EventLoop) does the same; its events are the
//! completions of io_uring.
//!
//! In Python: *Concepts of asynchronous I/O*, the message loop.

use std::sync::mpsc::{self, Sender};
use std::{fs, io, thread};

use crate::course::println;

enum Event {
    Clicked,
    KeyPressed(char),
    ReadDone(String),
}

/// Never waits: the events behind this one would wait too.
fn process(event: Event, events: &Sender<Event>) {
    match event {
        Event::Clicked => {
            println!("clicked: please read");
            let events = events.clone();
            thread::spawn(move || {
                let text = fs::read_to_string("/proc/sys/kernel/ostype").unwrap_or_default();
                events.send(Event::ReadDone(text))
            });
        }
        Event::KeyPressed(key) => println!("key: {key}"),
        Event::ReadDone(text) => println!("read: {:?}", text.trim()),
    }
}

pub(crate) fn main() -> io::Result<()> {
    let (sender, events) = mpsc::channel();
    for event in [Event::Clicked, Event::KeyPressed('a'), Event::KeyPressed('b')] {
        sender.send(event).map_err(io::Error::other)?;
    }
    loop {
        let event = events.recv().map_err(io::Error::other)?;
        let last = matches!(event, Event::ReadDone(_));
        process(event, &sender);
        if last {
            return Ok(());
        }
    }
}
