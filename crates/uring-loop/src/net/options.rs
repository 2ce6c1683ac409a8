//! The options of TCP sockets that many programs set (tcp(7), socket(7)). They are written once,
//! here, for streams and for sockets that are not connected yet. Every other option is reached
//! through `socket()`.

/// When a connection that is silent is asked whether it still stands (SO_KEEPALIVE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first question (TCP_KEEPIDLE); whole seconds.
    pub idle: std::time::Duration,
    /// Between questions that are not answered (TCP_KEEPINTVL); whole seconds.
    pub interval: std::time::Duration,
    /// So many unanswered questions end the connection (TCP_KEEPCNT).
    pub retries: u32,
}

impl Default for Keepalive {
    /// A dead peer is noticed after two minutes. (The kernel's own defaults take more than two
    /// hours.)
    fn default() -> Self {
        let seconds = std::time::Duration::from_secs;
        Keepalive { idle: seconds(60), interval: seconds(15), retries: 4 }
    }
}

/// Implements them for a type with a method `socket`.
macro_rules! option_methods {
    ($Socket:ident) => {
        impl $Socket {
            /// Turns Nagle's algorithm off (`true`, the default) or on.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
                self.socket().set_tcp_nodelay(nodelay)
            }

            /// Whether Nagle's algorithm is off.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn nodelay(&self) -> io::Result<bool> {
                self.socket().tcp_nodelay()
            }

            /// Has the kernel ask whether a silent peer still stands; `None`, the default: never.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2): EINVAL for a time of zero or beyond nine hours.
            pub fn set_keepalive(
                &self,
                keepalive: Option<$crate::net::Keepalive>,
            ) -> io::Result<()> {
                let Some(keepalive) = keepalive else {
                    return self.socket().set_keepalive(false);
                };
                let parameters = socket2::TcpKeepalive::new()
                    .with_time(keepalive.idle)
                    .with_interval(keepalive.interval)
                    .with_retries(keepalive.retries);
                self.socket().set_tcp_keepalive(&parameters)
            }

            /// How long bytes that were sent may stay unacknowledged before the connection is given
            /// up with `TimedOut` (TCP_USER_TIMEOUT); `None`: as long as the kernel repeats them,
            /// some fifteen minutes.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            #[doc(alias = "TCP_USER_TIMEOUT")]
            pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                self.socket().set_tcp_user_timeout(limit)
            }

            /// What becomes of bytes not yet sent when the socket is closed (SO_LINGER). `None`,
            /// the default: they are sent in the background. Zero: they are dropped, and the peer
            /// gets a reset. Longer times make the close wait, in the kernel's own threads here.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
                self.socket().set_linger(linger)
            }

            /// How many bytes the kernel keeps that were not read yet (SO_RCVBUF). It doubles the
            /// figure, cuts it at `net.core.rmem_max`, and stops adapting it. For windows above 64
            /// KiB it must be set before the socket connects or listens.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
                self.socket().set_recv_buffer_size(bytes)
            }

            /// How many bytes the kernel keeps that were not acknowledged yet (SO_SNDBUF). It
            /// doubles the figure, cuts it at `net.core.wmem_max`, and stops adapting it.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
                self.socket().set_send_buffer_size(bytes)
            }

            /// Acknowledges at once instead of waiting for an answer to do it with (TCP_QUICKACK).
            /// The kernel goes back by itself, so it is to be set again where it matters.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            pub fn set_quickack(&self, at_once: bool) -> io::Result<()> {
                self.socket().set_tcp_quickack(at_once)
            }
        }
    };
}

pub(super) use option_methods;
