//! TLS streams as users see them. One binary, since each costs a link.

mod conformance;
mod drops;
mod end;
mod faults;
mod foreign;
mod handshake;
mod listener;
mod names;
#[cfg(feature = "native-roots")]
mod native_roots;
mod refusals;
mod resumption;
mod sizes;
mod start_tls;
mod support;
