//! Pipes: to and from children, between processes, and through names in the file system.
//!
//! A [`PipeReader`] reads into buffers that the loop lends, as a
//! [`TcpStream`](crate::net::TcpStream) receives; a [`PipeWriter`] writes buffers of the caller's.
//! A [`PipeStream`] is one of each, or one alone, as a stream of bytes like any other.
//! Both can be made of any descriptor that is read or written where it stands: a pipe, a terminal,
//! a character device, an inherited stdin. Files can, too, but have nothing to wait for.
//!
//! ```
//! uring_loop::run(async {
//!     let (mut reader, mut writer) = uring_loop::pipe::pipe()?;
//!     writer.write_all("hello").await.0?;
//!     drop(writer);
//!     assert_eq!(&*reader.recv().await?, b"hello");
//!     assert!(reader.recv().await?.is_empty(), "the end");
//!     # Ok::<(), std::io::Error>(())
//! })?
//! # ;
//! # Ok::<(), std::io::Error>(())
//! ```

mod reader;
mod stream;
mod watch;
mod writer;

use std::io;

pub use reader::{PipeReader, Recv};
pub use stream::PipeStream;
pub use writer::PipeWriter;

use crate::driver::Driver;
use crate::driver::fd::Fd;

/// Makes a pipe: what is written to one end is read from the other (pipe(7)). Neither is inherited
/// by children, unless it is given to one.
///
/// # Errors
///
/// Those of pipe2(2): EMFILE, ENFILE.
///
/// # Panics
///
/// If no loop runs on this thread.
#[doc(alias = "os.pipe")]
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let driver = Driver::current();
    let (reader, writer) = driver.pipe()?;
    let reader = PipeReader::new(Fd::new(driver.clone(), reader));
    Ok((reader, PipeWriter::fresh(Fd::new(driver, writer))))
}
