//! The methods that writers and transports share. They are written once, here; each hands on to
//! what is under it.

/// Implements them for a type whose `outlet` has methods of these names.
macro_rules! flow_methods {
    ($Handle:ident) => {
        impl $Handle {
            /// Closes it at once, with what was not sent.
            pub fn abort(&self) {
                self.outlet.abort();
            }

            /// Whether it was closed or lost, or is about to be.
            pub fn is_closing(&self) -> bool {
                self.outlet.is_closing()
            }

            /// How many bytes were written and are not sent yet.
            #[doc(alias = "get_write_buffer_size")]
            pub fn buffered(&self) -> usize {
                self.outlet.size()
            }

            /// The low and the high water mark, in bytes: 16 KiB and 64 KiB at first.
            #[doc(alias = "get_write_buffer_limits")]
            pub fn limits(&self) -> (usize, usize) {
                self.outlet.limits()
            }

            /// Sets the water marks. Of one that is not given, the low is a quarter of the high; of
            /// none, they are as at first.
            ///
            /// # Panics
            ///
            /// If the low one is above the high one.
            #[doc(alias = "set_write_buffer_limits")]
            pub fn set_limits(
                &self,
                low: impl Into<Option<usize>>,
                high: impl Into<Option<usize>>,
            ) {
                self.outlet.set_limits(low.into(), high.into());
            }

            /// The address of the other end, as it was at the start.
            #[doc(alias = "get_extra_info")]
            #[doc(alias = "peername")]
            pub fn peer_address(&self) -> Option<&Address> {
                self.outlet.peer_address()
            }

            /// The address of this end, as it was at the start.
            #[doc(alias = "sockname")]
            pub fn local_address(&self) -> Option<&Address> {
                self.outlet.local_address()
            }
        }
    };
}

/// Implements those of a connection, for a type with an [`Outlet`](super::outlet::Outlet).
macro_rules! connection_methods {
    ($Handle:ident) => {
        crate::stream::methods::flow_methods!($Handle);

        impl $Handle {
            /// Whether [`write_eof`](Self::write_eof) can do what it says: one direction of this
            /// kind of connection can end by itself.
            pub fn can_write_eof(&self) -> bool {
                self.outlet.link.stream().is_some_and(|stream| stream.can_half_close())
            }

            /// The stream below, for what it alone can tell; `None` once the connection is closed.
            pub fn stream(&self) -> Option<Rc<dyn ByteStream>> {
                self.outlet.link.stream()
            }
        }
    };
}

pub(crate) use {connection_methods, flow_methods};
