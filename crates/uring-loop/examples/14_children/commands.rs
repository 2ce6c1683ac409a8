//! Lines of commands, each answered by a child; one that goes wrong says so.
//!
//! In Python: *Concepts of asynchronous I/O*, the commands of the server.

use std::io;

use uring_loop::process::Command;

use crate::course::{println, run};

const LINES: [&str; 6] = ["add 1 2 3", "ADD 4 5", "foo", "add x", "", "shutdown"];

/// What the program answers on its output, or why it failed.
async fn answer(program: &mut Command) -> io::Result<String> {
    let output = program.output().await?;
    let text = if output.status.success() { output.stdout } else { output.stderr };
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// Has `expr` add the numbers.
async fn add(numbers: &[&str]) -> io::Result<String> {
    let mut sum = Command::new("expr");
    sum.env("LC_ALL", "C").arg("0");
    for number in numbers {
        sum.args(["+", number]);
    }
    answer(&mut sum).await
}

async fn obey() -> io::Result<()> {
    for line in LINES {
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default().to_lowercase();
        let arguments: Vec<_> = words.collect();
        match command.as_str() {
            "add" => println!("{}", add(&arguments).await?),
            "shutdown" => {
                println!("Okay. Shutting down.");
                break;
            }
            _ => println!("Invalid command: {command}"),
        }
    }
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    run(obey())?
}
