//! A ring in memory.

use std::io;

use crate::driver::ring::{Cqe, Hints, Sqe, Wait};

/// A simulated ring (being written).
#[derive(Debug)]
pub(crate) struct Sim;

impl Sim {
    pub(crate) fn push(&mut self, _: &Sqe) -> bool {
        false
    }
    pub(crate) fn pop(&mut self) -> Option<Cqe> {
        None
    }
    pub(crate) fn unsubmitted(&self) -> u32 {
        0
    }
    pub(crate) fn enter(&mut self, _: Wait) -> io::Result<()> {
        Ok(())
    }
    pub(crate) fn hints(&mut self) -> Hints {
        Hints::default()
    }
    pub(crate) unsafe fn register_buffers(&mut self, _: u64, _: u16, _: u16) -> io::Result<()> {
        Ok(())
    }
}
