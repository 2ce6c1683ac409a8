//! Programs that measure: ours, the peers and the hand-written floors.
//!
//! * `child_*`, `echo_*`, `exec_*`, `file_*`, `http_*`, `lines_*`, `msg_*`, `pool_*`, `sync_*`,
//!   `tls_*`, `udp_*` are the measured programs: one binary per peer, a fresh process per
//!   measurement. What they share is here: [`children`], [`exec`], [`files`], [`http`], [`lines`],
//!   [`msg`], [`pools`], [`serve`], [`sync`], [`tls`], [`udp`]; [`once`], [`spent`],
//!   [`companion`], [`pin`], [`uring`], [`word`].
//! * `compare` drives them in interleaved rounds: [`load`], [`process`], [`usage`], [`noise`],
//!   [`rounds`], [`stats`], [`environment`], [`report`].
//! * `workload` does one piece of work under one model of concurrency and measures that:
//!   [`workloads`]; [`foreign`] are models that are not ours. `cargo xtask bench` drives it.
//!
//! The peers themselves are linked by the binaries only, never by this library.

pub mod children;
pub mod companion;
pub mod environment;
pub mod exec;
pub mod files;
pub mod foreign;
pub mod http;
pub mod lines;
pub mod load;
pub mod msg;
pub mod noise;
pub mod once;
pub mod pin;
pub mod pools;
pub mod process;
pub mod report;
pub mod rounds;
pub mod serve;
pub mod spent;
pub mod stats;
pub mod sync;
pub mod tls;
pub mod udp;
pub mod uring;
pub mod usage;
pub mod word;
pub mod workloads;
