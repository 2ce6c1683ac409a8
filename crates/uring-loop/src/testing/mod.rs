//! Tools for tests: a simulated ring.

pub(crate) mod sim;
