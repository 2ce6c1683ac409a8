//! The date and time, as another program tells them by a pipe.
//!
//! In Python: *Concepts of asynchronous I/O*, `get_date()`.

use std::io;

use uring_loop::pipe::PipeReader;
use uring_loop::process::{Command, Stdio};

use crate::course::{println, run};

/// One line, without its end.
async fn read_line(reader: &mut PipeReader) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let bytes = reader.recv().await?;
        if bytes.is_empty() {
            break;
        }
        line.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

async fn get_date() -> io::Result<String> {
    let mut date = Command::new("date");
    let mut date = date.arg("+%F %T.%6N").stdout(Stdio::piped()).spawn()?;
    let line = match &mut date.stdout {
        Some(stdout) => read_line(stdout).await?,
        None => String::new(),
    };
    date.wait().await?;
    Ok(line)
}

pub(crate) fn main() -> io::Result<()> {
    let date = run(get_date())??;
    println!("Current date: {date}");
    Ok(())
}
