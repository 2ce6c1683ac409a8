//! Ctrl+C: the first asks the main task to end, the second ends the run.
//!
//! As `asyncio.Runner` does it, and with the same limits: only on the thread of `main`, and only if
//! nobody else has taken SIGINT.

use std::cell::Cell;
use std::rc::Rc;

use crate::signal::{SignalKind, signals};
use crate::sys::signal::{ForceOnSecond, interrupt_is_ours};
use crate::task::{Task, TaskRef};
use crate::turn::Core;

/// How often Ctrl+C was pressed while a run listened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupts {
    None,
    /// The main task was asked to end, or, without one, the loop was stopped.
    Asked,
    /// The loop was stopped, whatever the main task does.
    Forced,
}

/// Whether a loop listens for Ctrl+C while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CtrlC {
    /// If this is the thread of `main` and Ctrl+C would end the process.
    Auto,
    Always,
    Never,
}

impl CtrlC {
    fn applies(self) -> bool {
        match self {
            CtrlC::Auto => interrupt_is_ours(),
            CtrlC::Always => true,
            CtrlC::Never => false,
        }
    }
}

/// Listens while it lives.
pub(crate) struct Guard {
    listener: Task<()>,
    heard: Rc<Cell<Interrupts>>,
    _force: ForceOnSecond,
}

impl Guard {
    /// Listens on the loop, which is the current one, on behalf of `main`. `None`: it shall not, or
    /// cannot.
    pub(crate) fn new(core: &Core, wanted: CtrlC, main: Option<TaskRef>) -> Option<Self> {
        if !wanted.applies() {
            return None;
        }
        let mut pressed = signals(SignalKind::INTERRUPT).ok()?;
        let heard = Rc::new(Cell::new(Interrupts::None));
        let tell = heard.clone();
        let listen = async move {
            pressed.recv().await;
            ForceOnSecond::seen();
            tell.set(Interrupts::Asked);
            let asked = main.is_some_and(|main| main.cancel());
            if asked {
                pressed.recv().await;
                ForceOnSecond::seen();
                tell.set(Interrupts::Forced);
            }
            crate::stop();
        };
        let listener = core.spawn_callback(listen, std::panic::Location::caller());
        let listener = listener.named("Ctrl+C");
        Some(Guard { listener, heard, _force: ForceOnSecond::new() })
    }

    pub(crate) fn heard(&self) -> Interrupts {
        self.heard.get()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
