//! Tells systemd how it stands (sd_notify(3)): a datagram to the socket that it names.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::monotonic;

/// Whoever wants to hear, or nobody.
#[derive(Debug)]
pub(super) struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    pub(super) fn new() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Notify(None) };
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(&name),
        };
        Notify(address.ok().and_then(|address| Some((UnixDatagram::unbound().ok()?, address))))
    }

    /// Nobody waits for it, so nothing is said about a failure.
    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.0 {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// systemd orders what it hears by this clock.
    pub(super) fn reloading(&self) {
        let now = monotonic().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }
}
