//! A server that obeys: `add` adds numbers, `shutdown` ends it, from inside of a call of its
//! protocol. What was written before that still reaches the client, here a thread with a plain
//! socket.
//!
//! As a server to talk to, with `nc 127.0.0.1 8000` in another terminal (`add 1 2 3`, `shutdown`):
//!
//! ```sh
//! cargo run -p uring-loop --example 15_servers -- command_server --serve
//! ```
//!
//! In Python: *Concepts of asynchronous I/O*, `ServeProtocol`.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::ParseIntError;
use std::thread;

use uring_loop::buf::RecvBuf;
use uring_loop::protocol::{Protocol, Transport, create_server};
use uring_loop::{EventLoop, stop};

use super::{serving_loop, until_ctrl_c};
use crate::course::{event_loop, println};

/// Who sends so much without the end of a line has no command to give.
const LONGEST_LINE: usize = 4096;

#[derive(Default)]
struct Commands {
    transport: Option<Transport>,
    /// The begin of a line.
    begun: Vec<u8>,
}

impl Protocol for Commands {
    fn connection_made(&mut self, transport: Transport) {
        self.transport = Some(transport);
        self.write("Welecome.");
    }

    fn data_received(&mut self, data: RecvBuf) {
        self.begun.extend_from_slice(&data);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.obey(&String::from_utf8_lossy(&line));
        }
        if self.begun.len() > LONGEST_LINE {
            self.write("Error: the line is too long");
            self.transport().close();
        }
    }
}

impl Commands {
    fn transport(&self) -> &Transport {
        self.transport.as_ref().expect("connection_made comes first")
    }

    fn write(&self, message: &str) {
        self.transport().write_all([message, "\n"]);
    }

    fn obey(&self, line: &str) {
        let mut words = line.trim().split(' ');
        let command = words.next().unwrap_or_default().to_lowercase();
        match command.as_str() {
            "add" => match add(words) {
                Ok(sum) => self.write(&sum.to_string()),
                Err(error) => self.write(&format!("Error: {error}\n")),
            },
            "shutdown" => {
                self.write("Okay. Shutting down.");
                stop();
            }
            _ => self.write(&format!("Invalid command: {command}")),
        }
    }
}

fn add<'a>(numbers: impl Iterator<Item = &'a str>) -> Result<i128, ParseIntError> {
    numbers.map(|number| number.parse::<i64>().map(i128::from)).sum()
}

/// Runs the server until it is told to shut down.
fn run(
    mut event_loop: EventLoop,
    address: &str,
    listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let server = event_loop.run_until_complete(create_server(Commands::default, address))??;
    listening(server.addresses()[0].ip().expect("TCP"));
    until_ctrl_c(event_loop.run_forever())?;
    // Whoever is still connected is sent what was written, and then the end.
    server.close();
    event_loop.finish();
    Ok(())
}

pub(crate) fn serve(address: &str) -> io::Result<()> {
    run(serving_loop()?, address, |address| println!("listening on {address}"))
}

const LINES: [&str; 6] = ["add 1 2 3", "ADD 4 5", "foo", "add x", "", "shutdown"];

/// The client: gives its commands one after the other, and shows what comes back.
fn talk(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    let mut answers = BufReader::new(&stream).lines();
    let mut show_answer = || -> io::Result<String> {
        let answer = answers.next().transpose()?.unwrap_or_else(|| "(the end)".to_owned());
        println!("{answer}");
        Ok(answer)
    };
    show_answer()?;
    for line in LINES {
        println!("> {line}");
        writeln!(&stream, "{line}")?;
        // The message of an error ends its line itself.
        if show_answer()?.starts_with("Error") {
            show_answer()?;
        }
    }
    show_answer()?;
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    let mut client = None;
    run(event_loop()?, "127.0.0.1:0", |address| {
        client = Some(thread::spawn(move || talk(address)));
    })?;
    let talked = client.map(thread::JoinHandle::join);
    talked.expect("it listened").expect("the client does not panic")
}
