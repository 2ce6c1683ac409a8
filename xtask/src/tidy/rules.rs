//! The tables of the house rules: limits, and what may stand where. Edit here.
//!
//! A place is a file, or a folder when it ends in `/`; `*` stands for one name. An entry that
//! nothing needs any more is reported, so that the lists shrink when they can.

use std::fmt;

use super::source::has_word;

/// Columns of a line; a line with an address in it, and a row of a table, may be longer.
pub(super) const COLUMNS: usize = 100;
/// Lines of a function.
pub(super) const FUNCTION: usize = 70;
/// Lines of a file of the product: reported, and refused.
pub(super) const FILE_WARN: usize = 450;
pub(super) const FILE: usize = 600;

/// Functions that are longer, with their length. This list only shrinks: no entry is added, and a
/// number is lowered when the function has become shorter.
pub(super) const LONG_FUNCTIONS: &[LongFunction] = &[];

pub(super) struct LongFunction {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) lines: usize,
}

/// Something that may stand in few places. Tests are free of it.
pub(super) struct Confined {
    pub(super) what: What,
    /// The rule holds under this folder.
    pub(super) within: &'static str,
    /// … except here.
    pub(super) places: &'static [&'static str],
    pub(super) why: &'static str,
}

pub(super) enum What {
    /// This word by itself.
    Word(&'static str),
    /// This text.
    Text(&'static str),
    /// A call of a function of this module; its constants and types are free.
    CallInto(&'static str),
    /// An access with a memory ordering. A counter that hands out numbers has no protocol, so
    /// `fetch_add(1, Ordering::Relaxed)` is free.
    Atomics,
}

pub(super) const CONFINED: &[Confined] = &[
    Confined {
        what: What::Word("unsafe"),
        within: "crates/",
        places: &[
            "crates/uring-loop/src/sys/",
            "crates/uring-loop/src/driver/",
            "crates/uring-loop/src/ops/",
            "crates/uring-loop/src/task/",
            "crates/uring-loop/src/cancel/",
            "crates/uring-loop/src/context.rs",
            "crates/uring-loop/src/event_loop.rs",
            "crates/uring-loop/src/handle.rs",
            // `pre_exec`, whose caller makes the promise.
            "crates/uring-loop/src/process/command.rs",
            "crates/uring-loop/src/turn/",
            "crates/uring-loop/src/sync/lock.rs",
            "crates/uring-loop/src/sync/rwlock.rs",
            "crates/uring-loop/src/sync/waitlist.rs",
            "crates/uring-loop/src/time/wheel.rs",
            "crates/uring-loop/src/wake.rs",
            // It plays the kernel, which writes through pointers.
            "crates/uring-loop/src/testing/sim/memory.rs",
            "crates/uring-loop/src/testing/sim/mod.rs",
            // It installs a seccomp filter.
            "crates/uring-loop/examples/deny_io_uring.rs",
            "crates/shard/src/spsc.rs",
            "crates/shard/src/sys/",
            "crates/pool/src/process/",
            "crates/pool/src/thread/scope.rs",
        ],
        why: "unsafe code has an address: see CONFINED in xtask/src/tidy/rules.rs",
    },
    Confined {
        what: What::Word("unsafe"),
        within: "xtask/",
        places: &[],
        why: "this crate has no unsafe code",
    },
    Confined {
        what: What::CallInto("libc"),
        within: "crates/",
        places: &[
            "crates/*/src/sys/",
            "crates/*/src/sys.rs",
            "crates/uring-loop/src/testing/sim/memory.rs",
            "crates/uring-loop/examples/deny_io_uring.rs",
            "crates/pool/src/process/futex.rs",
            "crates/pool/src/process/sys.rs",
            "crates/pool/src/process/image.rs",
        ],
        why: "the kernel and C are called in the one `sys` of a crate",
    },
    Confined {
        what: What::Text("libc::"),
        within: "crates/",
        places: &[
            "crates/*/src/sys/",
            "crates/*/src/sys.rs",
            "crates/uring-loop/src/driver/",
            "crates/uring-loop/src/ops/",
            // It plays the kernel, and speaks its numbers.
            "crates/uring-loop/src/testing/sim/",
            "crates/uring-loop/examples/deny_io_uring.rs",
            "crates/pool/src/process/",
        ],
        why: "numbers and layouts of the kernel stay in the low layers",
    },
    Confined {
        what: What::Word("thread_local"),
        within: "crates/uring-loop/",
        places: &["crates/uring-loop/src/context.rs"],
        why: "the only thread_local of the loop is in context.rs",
    },
    Confined {
        what: What::Atomics,
        within: "crates/",
        places: &[
            "crates/uring-loop/src/driver/bufpool.rs",
            "crates/uring-loop/src/sys/fork.rs",
            "crates/uring-loop/src/sys/signal.rs",
            "crates/uring-loop/src/testing/sim/memory.rs",
            "crates/uring-loop/src/task/",
            // Hints without a protocol: a choice that is made by stale ones is only worse.
            "crates/shard/src/server/load.rs",
            "crates/shard/src/spsc.rs",
            "crates/shard/src/wire.rs",
            // The floors it measures against are single words.
            "crates/pool/src/process/claim.rs",
            "crates/pool/src/process/diary.rs",
            "crates/pool/src/process/hub.rs",
            "crates/pool/src/process/init.rs",
            "crates/pool/src/process/kick.rs",
            "crates/pool/src/process/ring.rs",
            "crates/pool/src/thread/crew.rs",
            "crates/pool/src/thread/ranks.rs",
        ],
        why: "atomics are in few files, each with an essay of its protocol and a loom model",
    },
    Confined {
        what: What::Text(".unwrap()"),
        within: "",
        places: &[],
        why: "say why it cannot fail: expect(\"why\"), or return the error",
    },
];

impl What {
    pub(super) fn is_in(&self, line: &str) -> bool {
        match self {
            Self::Word(word) => has_word(line, word),
            Self::Text(text) => line.contains(text),
            Self::CallInto(module) => calls_into(line, module),
            Self::Atomics => {
                let line = line.replace("fetch_add(1, Ordering::Relaxed)", "");
                ORDERINGS.iter().any(|name| line.contains(&format!("Ordering::{name}")))
            }
        }
    }
}

const ORDERINGS: &[&str] = &["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

fn calls_into(line: &str, module: &str) -> bool {
    let path = format!("{module}::");
    line.match_indices(&path).any(|(at, _)| {
        let rest = &line[at + path.len()..];
        let name = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        name.starts_with('(') && name.len() < rest.len()
    })
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => write!(f, "`{text}`"),
            Self::CallInto(module) => write!(f, "calls of {module}"),
            Self::Atomics => f.write_str("atomics"),
        }
    }
}

/// The layers of `uring-loop`, by the modules of its root: a file uses its own and lower ones.
pub(super) const LAYERED: &str = "crates/uring-loop/src/";
pub(super) const LAYERS: &[Layer] = &[
    Layer { level: 0, modules: &["sys"] },
    Layer { level: 1, modules: &["driver", "ops"] },
    Layer { level: 2, modules: &["task", "time", "cancel"] },
    Layer { level: 3, modules: &["sync", "queue", "combine", "promise"] },
    Layer { level: 4, modules: &["io", "net", "fs", "pipe", "process", "signal"] },
    Layer { level: 5, modules: &["stream", "protocol"] },
];

pub(super) struct Layer {
    pub(super) level: usize,
    pub(super) modules: &'static [&'static str],
}

/// Where the halves meet: they may use everything, and be used from layer 2 up.
pub(super) const JOINT: &[&str] = &[
    "blocking",
    "builder",
    "callback",
    "context",
    "debug",
    "dump",
    "event_loop",
    "handle",
    "hold",
    "interrupt",
    "locals",
    "loop_thread",
    "metrics",
    "remote_task",
    "ring_choice",
    "runner",
    "statistics",
    "turn",
];
pub(super) const JOINT_FROM: usize = 2;

/// Layers that are not under the ones named: L3 never touches the kernel (it is tested without a
/// ring), L5 is made of what L2 to L4 show.
pub(super) const NOT_UNDER: &[(usize, &[usize])] = &[(3, &[0, 1]), (5, &[0, 1])];

/// Modules used from anywhere, and using anything: hooks, the probe's report, the test tools, and
/// small things without a side of their own.
pub(super) const EVERYWHERE: &[&str] = &[
    // What macros expand to, in the crates of users.
    "__private",
    "channel",
    "fuzzing",
    "probe",
    "remote_callback",
    "report",
    "run_error",
    "spin",
    "testing",
    "trace",
    "wake",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orderings_of_memory_are_not_orderings_of_values() {
        assert!(What::Atomics.is_in("a.load(Ordering::Acquire);"));
        assert!(!What::Atomics.is_in("x.cmp(&y) == Ordering::Less;"));
    }

    #[test]
    fn a_counter_that_hands_out_numbers_is_no_protocol() {
        assert!(!What::Atomics.is_in("let id = NEXT.fetch_add(1, Ordering::Relaxed);"));
        assert!(
            What::Atomics.is_in("x.fetch_add(1, Ordering::Relaxed) + y.load(Ordering::Relaxed)")
        );
        assert!(What::Atomics.is_in("x.fetch_add(n, Ordering::Relaxed)"));
    }

    #[test]
    fn calls_are_told_from_constants_and_types() {
        let calls = What::CallInto("libc");
        assert!(calls.is_in("unsafe { libc::munmap(p, n) }"));
        assert!(calls.is_in("f(libc::EAGAIN, libc::getpid())"));
        assert!(!calls.is_in("Some(libc::EINTR | libc::ETIME) => (),"));
        assert!(!calls.is_in("message: libc::msghdr,"));
    }
}
