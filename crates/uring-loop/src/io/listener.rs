//! What streams come from.

use std::future::Future;
use std::io;

use super::{Address, ByteStream};

/// Somewhere that connections come from, whatever they are made of.
pub trait Listener {
    /// What they are.
    type Stream: ByteStream + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// One that a later call may not meet; asking again at once is fine.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection that was accepted for a dropped call is given to the next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Where it listens.
    fn local_address(&self) -> Option<Address> {
        None
    }
}
