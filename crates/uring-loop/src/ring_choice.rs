//! Which ring a loop has, and the notice when it is not the kernel's.

use std::env;
use std::io;
use std::sync::Once;

use crate::driver::ring::Ring;
use crate::sys::probe::Refused;
use crate::sys::uring::Wanted;

/// Which ring a loop is to have; see [`Builder::ring`](crate::Builder::ring).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RingChoice {
    /// That of the kernel; the soft one where io_uring is refused, with a notice in the log.
    #[default]
    Auto,
    /// That of the kernel. If it refuses, there is no loop, and the error says why.
    Kernel,
    /// One in user space, by epoll and a few helper threads: a system call per operation, where the
    /// kernel takes many in one.
    Soft,
}

impl RingChoice {
    /// What was chosen in the program, or else by `URING_LOOP_RING`.
    pub(crate) fn decide(self) -> io::Result<Self> {
        let by_environment = match env::var("URING_LOOP_RING").as_deref() {
            Ok("" | "auto") | Err(_) => RingChoice::Auto,
            Ok("kernel") => RingChoice::Kernel,
            Ok("soft") => RingChoice::Soft,
            Ok(other) => {
                let text = format!("URING_LOOP_RING={other}: it can be `auto`, `kernel` or `soft`");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        Ok(if self == RingChoice::Auto { by_environment } else { self })
    }
}

/// Makes the ring that was chosen.
pub(crate) fn make(choice: RingChoice, wanted: &Wanted) -> io::Result<Ring> {
    if choice == RingChoice::Soft {
        return Ring::soft(wanted);
    }
    let refused = match Ring::kernel(wanted) {
        Err(error) if choice == RingChoice::Auto => error,
        made => return made,
    };
    match refused.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
        Some(refusal) if refusal.leaves_soft_ring() => {
            notice(refusal);
            Ring::soft(wanted)
        }
        _ => Err(refused),
    }
}

/// Tells once per process that loops do without io_uring.
fn notice(refusal: &Refused) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "{refusal}. Until then event loops run on epoll and helper threads: everything works, \
             at a system call per operation. URING_LOOP_RING=soft chooses that without this \
             notice, URING_LOOP_RING=kernel makes it an error."
        );
    });
}
