//! The behaviour of the loop through its public API, on the kernel's ring and on the simulated one.

mod callbacks;
mod cancel;
mod cancel_trees;
mod chain;
mod debug;
mod door;
mod drops;
mod drops_kernel;
mod edges;
mod edges_kernel;
mod fork;
mod locals;
mod loop_api;
mod net;
mod promise;
mod promise_bridge;
mod refusal;
mod rungs;
mod runner;
mod shutdown;
mod shutdown_late;
mod signals;
mod support;
mod tasks;
mod time;
