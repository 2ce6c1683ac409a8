//! One side of a TLS connection, as bytes in and bytes out: the only file that moves bytes through
//! rustls. It does no I/O and waits for nothing.
//!
//! It uses rustls' buffered API, since the next version of rustls has no other that stays: what
//! changes then changes here.

use std::io::{BufRead as _, Write as _};

use rustls::pki_types::CertificateDer;
use rustls::{Connection, Error};

use crate::facts::{HandshakeKind, Version};

pub(crate) struct Session {
    connection: Connection,
}

/// How the peer's direction stands after its bytes were taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Open,
    /// It has sent close_notify: there are no more bytes from it.
    Closed,
}

impl Session {
    pub(crate) fn new(mut connection: Connection) -> Self {
        // Back pressure is the carrier's; what is handed over is encrypted whole.
        connection.set_buffer_limit(None);
        Session { connection }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether there is something for the peer.
    pub(crate) fn has_output(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes in what the peer sent, all of it, and adds what it says in plain text to `plain`: also
    /// the part in front of an error.
    pub(crate) fn take_in(&mut self, mut input: &[u8], plain: &mut Vec<u8>) -> Result<Peer, Error> {
        while !input.is_empty() {
            // In pieces of a few KiB, as rustls takes them. Its buffers do not fill up, since each
            // piece is processed; a handshake message that is too large is the exception.
            let taken = self.connection.read_tls(&mut input);
            let count = taken.map_err(|error| Error::General(error.to_string()))?;
            let processed = self.connection.process_new_packets();
            self.drain(plain);
            if processed?.peer_has_closed() {
                return Ok(Peer::Closed);
            }
            if count == 0 {
                return Err(Error::General("rustls takes no more input".into()));
            }
        }
        Ok(Peer::Open)
    }

    fn drain(&mut self, plain: &mut Vec<u8>) {
        let mut reader = self.connection.reader();
        loop {
            let count = match reader.fill_buf() {
                Ok(chunk) => {
                    plain.extend_from_slice(chunk);
                    chunk.len()
                }
                // There is nothing; its errors come from `process_new_packets` too.
                Err(_) => 0,
            };
            if count == 0 {
                return;
            }
            reader.consume(count);
        }
    }

    /// Encrypts, and adds it to `output` behind what else there is for the peer.
    pub(crate) fn encrypt(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
        let before = output.len();
        let written = self.connection.writer().write_all(plain);
        written.map_err(|error| Error::General(error.to_string()))?;
        self.take_output(output);
        // A record is longer than its text. rustls stops sending, and says nothing, when the keys
        // of TLS 1.2 have encrypted as many records as they may; those of 1.3 are renewed.
        if output.len() - before < plain.len() {
            return Err(Error::EncryptError);
        }
        Ok(())
    }

    /// Adds what there is for the peer to `output`.
    pub(crate) fn take_output(&mut self, output: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let written = self.connection.write_tls(output);
            written.expect("writing to a vector does not fail");
        }
    }

    /// Says close_notify, unless that or a fatal alert was said.
    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
    }

    pub(crate) fn update_keys(&mut self) -> Result<(), Error> {
        self.connection.refresh_traffic_keys()
    }

    pub(crate) fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.connection.peer_certificates().unwrap_or_default().to_vec()
    }

    pub(crate) fn alpn_protocol(&self) -> Option<Vec<u8>> {
        self.connection.alpn_protocol().map(<[u8]>::to_vec)
    }

    pub(crate) fn version(&self) -> Version {
        match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => Version::Tls12,
            _ => Version::Tls13,
        }
    }

    pub(crate) fn cipher_suite(&self) -> &'static str {
        let suite = self.connection.negotiated_cipher_suite();
        suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown")
    }

    pub(crate) fn handshake_kind(&self) -> HandshakeKind {
        match self.connection.handshake_kind() {
            Some(rustls::HandshakeKind::Resumed) => HandshakeKind::Resumed,
            Some(rustls::HandshakeKind::FullWithHelloRetryRequest) => HandshakeKind::FullWithRetry,
            _ => HandshakeKind::Full,
        }
    }

    /// The name that the client asked for; of a server.
    pub(crate) fn asked_name(&self) -> Option<String> {
        match &self.connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        }
    }
}
