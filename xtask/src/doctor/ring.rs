//! What the kernel grants a ring: the rung of the set-up ladder, and why each higher one was
//! refused.
//!
//! THE JOINT WITH THE LIBRARY: this one function is to be filled from `uring_loop`'s probe, which
//! knows by trying; this file only puts its words into rows.

use super::report::{Group, Row};

pub(super) fn group() -> Group {
    Group { title: "ring", rows: vec![Row::new("set-up ladder", "not built in")] }
}
