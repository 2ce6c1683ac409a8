//! Programs over the public interface that assert their own end state, for the simulated ring and
//! the kernel's alike: `rig` runs them and looks for what they leave.
//!
//! Whatever is left to chance follows from a seed, faults of the simulated kernel included. A
//! scenario asserts that bytes are right, or that an error is one that may be.

pub(crate) mod chance;
mod connect;
mod echo;
mod everything;
mod files;
mod groups;
mod half_close;
mod pipes;
pub(crate) mod place;
mod protocols;
pub(crate) mod rig;
mod udp;
mod unix;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use place::Place;

/// A program, by name.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: fn(Place) -> Pin<Box<dyn Future<Output = ()>>>,
    ending: Ending,
}

/// What becomes of the loop when the program's main task is over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// What was dropped comes to its end, and then nothing may be left.
    Rest,
    /// The loop is dropped with all that is under way.
    Drop,
    /// All tasks are cancelled first, as `run` does it.
    Finish,
}

macro_rules! scenario {
    ($name:literal, $run:path, $about:literal) => {
        scenario!($name, $run, $about, Rest)
    };
    ($name:literal, $run:path, $about:literal, $ending:ident) => {
        Scenario {
            name: $name,
            about: $about,
            run: |place| Box::pin($run(place)),
            ending: Ending::$ending,
        }
    };
}

/// All there are.
pub(crate) const ALL: &[Scenario] = &[
    scenario!("echo", echo::run, "many TCP clients; cancels, aborts and resets"),
    scenario!("half-close", half_close::run, "both directions of a connection end by themselves"),
    scenario!("files", files::run, "reads, writes, copies and directories on a bad disk"),
    scenario!("unix", unix::run, "Unix streams that carry descriptors"),
    scenario!("udp", udp::run, "datagrams, and receives that are given up"),
    scenario!("connect", connect::run, "names with several addresses, some of them dead"),
    scenario!("pipes", pipes::run, "pipes of which either end goes first"),
    scenario!("protocols", protocols::run, "connections, datagrams and children that call back"),
    scenario!("groups", groups::run, "task groups that fail, in limits that expire"),
    scenario!("everything", everything::all_at_once, "the scenarios above, some cancelled"),
    scenario!("drop", everything::in_the_middle, "the loop is dropped amid all that", Drop),
    scenario!("finish", everything::in_the_middle, "the loop is ended amid all that", Finish),
];

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scenario").field(&self.name).finish()
    }
}
