//! TCP over completions.
//!
//! A [`TcpStream`] receives by default into buffers that the loop lends ([`TcpStream::recv`]), so
//! that an idle connection holds none.

mod addr;
mod extras;
mod limits;
mod listener;
#[cfg(test)]
mod sizes;
mod split;
mod stream;
mod write_all;

pub use addr::{ToAddress, resolve};
pub use listener::TcpListener;
pub use split::{RecvHalf, SendHalf};
pub use stream::{Recv, TcpStream};
pub use write_all::WriteAll;
