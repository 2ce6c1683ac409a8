//! Files and directories over completions, in the words of [`std::fs`].
//!
//! A [`File`] is read and written with owned buffers, at offsets or by its cursor. The functions
//! here do the rest by name. Where io_uring has an opcode, it is used; where it has none (reading a
//! directory, permissions, resolving a path), a helper thread does it, and the docs say so. A
//! simulated ring has files of its own, and all of this works on them.
//!
//! Errors say what was tried and with which path (`opening /x/y: No such file or directory`); their
//! kind is the kernel's, and their [`source`](std::error::Error::source) its answer with the errno.
//!
//! ```
//! use uring_loop::fs;
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! uring_loop::run(async {
//!     fs::create_dir_all(folder.join("a/b")).await?;
//!     fs::write(folder.join("a/b/c"), "text").await?;
//!     fs::rename(folder.join("a/b/c"), folder.join("a/d")).await?;
//!     assert_eq!(fs::read_to_string(folder.join("a/d")).await?, "text");
//!     Ok::<(), std::io::Error>(())
//! })?
//! # ; Ok::<(), std::io::Error>(())
//! ```

mod change;
mod copy;
mod cursor;
mod dir;
mod direct;
mod error;
mod file;
mod helper;
mod input;
mod metadata;
mod names;
mod options;
mod part;
mod reader;
mod registered;
mod stdio;
mod vectored;
mod walk;
mod whole;
mod writer;

pub use copy::copy;
pub use dir::{DirEntry, ReadDir, read_dir};
pub use direct::Alignment;
pub use file::File;
pub use metadata::{FileType, Metadata};
pub use names::{
    canonicalize, create_dir, create_dir_all, exists, hard_link, metadata, read_link, remove_dir,
    remove_dir_all, remove_file, rename, set_permissions, symlink, symlink_metadata,
};
pub use options::OpenOptions;
pub(crate) use part::Part;
pub use reader::{BufReader, Lines};
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use walk::{Walk, WalkEntry, walk};
pub use whole::{read, read_to_string, write};
pub use writer::BufWriter;
