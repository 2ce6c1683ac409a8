//! Which signal.

use std::fmt;
use std::iter;

use nix::sys::signal::Signal;

/// A kind of signal, by its number on Linux (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKind(i32);

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $value:ident;)*) => {
        impl SignalKind {
            $($(#[$meta])* pub const $name: SignalKind = SignalKind(Signal::$value as i32);)*

            fn name(self) -> Option<&'static str> {
                match self {
                    $(SignalKind::$name => Some(stringify!($value)),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// SIGALRM: a timer of alarm(2) or setitimer(2).
    ALARM = SIGALRM;
    /// SIGCHLD: a child stopped or ended.
    CHILD = SIGCHLD;
    /// SIGHUP: the terminal is gone, or, by custom, read the configuration again.
    HANGUP = SIGHUP;
    /// SIGINT: Ctrl+C.
    INTERRUPT = SIGINT;
    /// SIGKILL: the end, which no process can refuse. It can be sent, not listened to.
    KILL = SIGKILL;
    /// SIGPIPE: a write to a pipe without readers. Rust programs ignore it.
    PIPE = SIGPIPE;
    /// SIGQUIT: Ctrl+\.
    QUIT = SIGQUIT;
    /// SIGTERM: the polite request to end.
    TERMINATE = SIGTERM;
    /// SIGUSR1.
    USER1 = SIGUSR1;
    /// SIGUSR2.
    USER2 = SIGUSR2;
    /// SIGWINCH: the terminal has another size.
    WINDOW_CHANGE = SIGWINCH;
}

impl SignalKind {
    /// The kind of this number. Whether it can be listened to, [`signals`](super::signals) says.
    pub const fn from_number(number: i32) -> Self {
        SignalKind(number)
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

/// One kind is a set of kinds, for [`signals`](super::signals).
impl IntoIterator for SignalKind {
    type Item = SignalKind;
    type IntoIter = iter::Once<SignalKind>;

    fn into_iter(self) -> Self::IntoIter {
        iter::once(self)
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
