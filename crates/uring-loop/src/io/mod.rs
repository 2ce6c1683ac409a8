//! Streams of bytes, whatever carries them: the one trait that sockets, pipes, TLS and memory have
//! in common, and the stream in memory.
//!
//! * [`ByteStream`]: the trait, in polls; [`ByteStreamExt`] has the same as futures.
//! * [`Listener`]: where connections come from.
//! * [`PollIo`]: a stream under the traits of other crates.
//! * [`split`]: the two directions apart, for two tasks.
//! * [`Rewound`]: a stream with bytes put back in front.
//! * [`duplex`]: two ends of a connection that is nothing but memory.
//!
//! And for descriptors that this crate has no type for: [`wait_readable`], [`on_readable`] and
//! their like.
//!
//! What a kind of stream does beyond this is in its own module: [`net`](crate::net) has sockets.
//! Line reading and buffered writing are a layer higher.

mod address;
mod byte_stream;
mod ext;
pub(crate) mod failure;
pub(crate) mod linger;
mod listener;
mod memory;
mod poll_io;
mod ready;
mod rewound;
mod split;

pub(crate) use crate::driver::recvbuf::RecvBuf;
pub use address::Address;
pub use byte_stream::ByteStream;
pub use ext::ByteStreamExt;
pub use listener::Listener;
pub use memory::{MemoryStream, duplex};
pub use poll_io::PollIo;
pub use ready::{on_readable, on_writable, wait_readable, wait_writable};
pub use rewound::Rewound;
pub use split::{ReadHalf, WriteHalf, split};
