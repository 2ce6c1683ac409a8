//! A completion-based event loop on io_uring.

mod driver;
mod sys;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
