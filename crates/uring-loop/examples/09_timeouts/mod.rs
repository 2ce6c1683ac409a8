//! Chapter 9: timeouts and shields.
//!
//! A timeout is a limit for whatever is awaited. When it is over, what runs inside is asked to
//! end, unless it stands behind a shield.

mod no_limit;
mod shielded;
mod wait_for;

use crate::course::{Chapter, Demo};

pub(crate) const CHAPTER: Chapter = Chapter {
    title: "9. Timeouts and shields",
    demos: &[
        Demo::new("wait_for", wait_for::main, "what takes too long is cancelled"),
        Demo::new("shielded", shielded::main, "unless it is shielded"),
        Demo::new("no_limit", no_limit::main, "no limit at all"),
    ],
};
