//! A file is read: first everything waits for it, then something else goes on meanwhile.
//!
//! In Python: *Concepts of asynchronous I/O*, the two ways to read a file.

use std::{fs, io};

use uring_loop::{spawn_eager, unblock};

use crate::course::{println, run};

fn read() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/ostype")
}

fn do_some_code_with(text: &str) {
    println!("do some code with {:?}", text.trim());
}

pub(crate) fn main() -> io::Result<()> {
    println!("do some code");
    println!("reading");
    let text = read()?; // the thread stands still until the file is there
    do_some_code_with(&text);

    run(async {
        println!("do some code");
        println!("reading");
        let reading = spawn_eager(unblock(read)); // asks for it, and does not wait
        println!("something else");
        let text = reading.await???; // only this task stands still
        do_some_code_with(&text);
        Ok(())
    })?
}
