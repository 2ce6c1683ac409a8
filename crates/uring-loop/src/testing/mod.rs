//! Tools for tests: a simulated ring.

pub(crate) mod sim;

pub use sim::{
    DescriptorKind, Event, Fault, Faults, Peer, PeerListener, Sim, SimConfig, SimHandle, opcode,
};
