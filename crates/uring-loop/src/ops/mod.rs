//! Operations by family: data, how the entry is filled in, what the completion means.
//!
//! One file per family of the kernel. Each op is a plain struct; that its memory stays valid while
//! the kernel uses it is the promise of `unsafe impl Op`.

pub(crate) mod control;
pub(crate) mod fs;
pub(crate) mod message;
pub(crate) mod net;
pub(crate) mod owned;
pub(crate) mod paths;
pub(crate) mod pipe;
pub(crate) mod proc;
pub(crate) mod ring;
