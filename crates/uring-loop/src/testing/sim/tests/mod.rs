//! The simulation's own tests: entries made by hand, no driver.

mod buffers;
mod cancel;
mod chaos;
mod differential;
mod differential_files;
mod differential_io;
mod differential_net;
mod differential_pipes;
mod differential_random;
mod faults;
mod files;
mod links;
mod network;
mod queues;
mod real;
mod rig;
mod sockets;
mod time;
mod twin;
