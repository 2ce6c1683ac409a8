//! What an idle connection is made of, so that nobody makes it larger by accident.
//!
//! The figures are those of a 64-bit machine; `docs/RATIONALE.md` adds them up.

use super::{TcpStream, UnixStream, WriteAll};
use crate::driver::recvbuf::RecvBuf;
use crate::task::raw::Header;

#[test]
fn an_idle_connection_stays_small() {
    assert_eq!(size_of::<TcpStream>(), 24);
    assert_eq!(size_of::<UnixStream>(), 24);
    assert_eq!(size_of::<RecvBuf>(), 8);
    assert_eq!(size_of::<WriteAll<'_, RecvBuf>>(), 32);
    assert_eq!(size_of::<Header>(), 120);
}
