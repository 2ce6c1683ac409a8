//! The behaviour of the loop through its public API, on the kernel's ring.

mod tasks;
