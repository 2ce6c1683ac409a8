//! Whole files in one line.

use std::io;
use std::path::Path;

use super::File;
use super::error::at;
use crate::driver::buf::IoBuf;

/// Everything that is in a file.
///
/// # Errors
///
/// Those of opening and reading it, with the path.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
///
/// # Examples
///
/// ```
/// let kind = uring_loop::run(uring_loop::fs::read("/proc/sys/kernel/ostype"))??;
/// assert_eq!(kind, b"Linux\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    File::open(path).await?.rest_from(0).await
}

/// Everything that is in a file of text.
///
/// # Errors
///
/// As [`read`](fn@read); `InvalidData` if it is not UTF-8.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Strict: nothing changes.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let bytes = read(path).await?;
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    String::from_utf8(bytes).map_err(|error| at("reading", path)(wrong(error)))
}

/// Makes a file of these bytes, or replaces all that is in it by them. It waits until the file is
/// closed, not until the bytes are on the disk: [`File::sync_all`] does.
///
/// # Errors
///
/// Those of opening, writing and closing it, with the path. The file may hold a part of the bytes
/// then.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Weak: the file may be empty, or hold a part of the bytes. Write to another name and
/// [`rename`](super::rename) where that matters.
pub async fn write(path: impl AsRef<Path>, bytes: impl IoBuf) -> io::Result<()> {
    let file = File::create(path).await?;
    file.write_all_at(bytes, 0).await.0?;
    file.close().await
}
