//! Talking with a child to the end: everything in, everything out, at the same time.

use std::io;
use std::process::Output;

use super::Child;
use crate::combine::join;
use crate::driver::buf::IoBuf;
use crate::hold::hold;
use crate::pipe::{PipeReader, PipeWriter};

impl Child {
    /// Gives the child its input, reads all it writes, and waits for its end.
    ///
    /// Input and output go at the same time, so neither side waits for the other for ever. A child
    /// that does not want its input, or not all of it, is no error. What is not piped is left out.
    ///
    /// The outputs end when nobody has their pipes open any more, and that includes children of the
    /// child. They are kept in memory, whatever there is of them.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for input to a child whose stdin is not piped; those of read(2) and write(2);
    /// that of [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Weak: what was read is lost and the pipes are closed; the child runs on, to be killed or
    /// waited for. That is how a limit is set to it, see the example.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use uring_loop::process::{Command, Stdio};
    /// use uring_loop::time::timeout;
    ///
    /// uring_loop::run(async {
    ///     let mut sort = Command::new("sort");
    ///     let mut sort = sort.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    ///     match timeout(Duration::from_secs(10), sort.communicate("pear\napple\n")).await {
    ///         Ok(output) => assert_eq!(output?.stdout, b"apple\npear\n"),
    ///         Err(_) => println!("too slow: {}", sort.kill().await?),
    ///     }
    ///     # Ok::<(), std::io::Error>(())
    /// })?
    /// # ;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn communicate(&mut self, input: impl IoBuf) -> io::Result<Output> {
        if self.stdin.is_none() && !input.bytes().is_empty() {
            let text = "input for a child whose stdin is not piped: Command::stdin(Stdio::piped())";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let _hold = hold("communicate");
        let input = feed(self.stdin.take(), input);
        let outputs = (collect(self.stdout.take()), collect(self.stderr.take()));
        let (fed, stdout, stderr) = join((input, outputs.0, outputs.1)).await;
        fed?;
        let (stdout, stderr) = (stdout?, stderr?);
        Ok(Output { status: self.wait().await?, stdout, stderr })
    }
}

/// Writes the input, and closes the pipe behind it. asyncio, too, lets a child that is not
/// interested have its way (`_feed_stdin` in Lib/asyncio/subprocess.py).
async fn feed(stdin: Option<PipeWriter>, input: impl IoBuf) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await.0 {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

async fn collect(output: Option<PipeReader>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut output) = output {
        output.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
