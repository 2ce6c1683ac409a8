//! Why a ring was refused, and what to do about it.

use std::fmt;
use std::fs;
use std::io;

const SET_UP: &str = "io_uring_setup";

/// A refused set-up, with its likely cause and its fix.
///
/// It travels inside an [`io::Error`]; `error.get_ref()` downcasts to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What was asked of the kernel.
    pub what: &'static str,
    /// The kernel's answer, 0 if it never came to that.
    pub errno: i32,
    /// The likely cause.
    pub cause: String,
    /// What to do.
    pub fix: String,
}

/// What the machine says about itself that bears on a refusal; read from `/proc`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circumstances {
    /// `kernel.io_uring_disabled`: 0 for all, 1 for members of a group, 2 for nobody.
    pub(crate) disabled: Option<u32>,
    /// Whether a seccomp filter stands over this process.
    pub(crate) seccomp: bool,
    /// Soft RLIMIT_MEMLOCK in bytes, `None` if unlimited or unknown.
    pub(crate) memlock: Option<u64>,
    /// `uname -r`.
    pub(crate) kernel: String,
}

impl Circumstances {
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Circumstances {
            disabled: text("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            seccomp: text("/proc/thread-self/status")
                .lines()
                .any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2")),
            memlock: nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK)
                .ok()
                .map(|(soft, _)| soft)
                .filter(|soft| *soft != libc::RLIM_INFINITY),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Refused {
    /// `io_uring_setup` said no.
    pub(crate) fn ring(error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let (cause, fix) = explain_ring(errno, &Circumstances::read());
        Refused { what: SET_UP, errno, cause, fix }
    }

    /// A call that makes a descriptor, and that every loop needs, said no.
    pub(crate) fn descriptor(what: &'static str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let other = || (error.to_string(), format!("see {what}(2)"));
        let (cause, fix) = explain_descriptors(errno).unwrap_or_else(other);
        Refused { what, errno, cause, fix }
    }

    /// `IORING_REGISTER_PBUF_RING` said no.
    pub(crate) fn buffers(error: &io::Error, entries: u16) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let (cause, fix) = match errno {
            libc::ENOMEM => explain_memory(&Circumstances::read()),
            libc::EINVAL => (
                format!("the kernel knows no ring of {entries} provided buffers"),
                "use a kernel of 5.19 or later, and a power of two of buffers up to 32768".into(),
            ),
            _ => (error.to_string(), "see io_uring_register(2)".into()),
        };
        Refused { what: "io_uring_register(PBUF_RING)", errno, cause, fix }
    }

    /// Whether it is io_uring that cannot be had here, so that a loop has to do without: not if
    /// descriptors or something else is short that any ring needs.
    pub fn leaves_soft_ring(&self) -> bool {
        const OF_IO_URING: [i32; 6] =
            [0, libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EINVAL, libc::ENOMEM];
        self.what == SET_UP && OF_IO_URING.contains(&self.errno)
    }

    /// The kernel has io_uring, but not enough of it.
    pub(crate) fn old(missing: &str) -> Self {
        Refused {
            what: SET_UP,
            errno: 0,
            cause: format!("kernel {} lacks {missing}", Circumstances::read().kernel),
            fix: "use Linux 6.1 or later".into(),
        }
    }
}

/// Cause and fix of a refused `io_uring_setup`; pure, so that every row can be tested.
pub(crate) fn explain_ring(errno: i32, at: &Circumstances) -> (String, String) {
    match (errno, at.disabled) {
        (libc::EPERM, Some(2)) => (
            "io_uring is switched off for the whole machine: kernel.io_uring_disabled = 2".into(),
            "as root: sysctl -w kernel.io_uring_disabled=0".into(),
        ),
        (libc::EPERM, Some(1)) => (
            "io_uring is reserved for a group: kernel.io_uring_disabled = 1".into(),
            "join the group in kernel.io_uring_group, or as root: \
             sysctl -w kernel.io_uring_disabled=0"
                .into(),
        ),
        (libc::EPERM | libc::EACCES, _) if at.seccomp => (
            "a seccomp filter forbids io_uring_setup (the default profiles of Docker and \
             containerd do)"
                .into(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the profile, e.g. \
             docker run --security-opt seccomp=profile.json"
                .into(),
        ),
        (libc::EPERM | libc::EACCES, _) => (
            "a security module or a sandbox forbids io_uring".into(),
            "look for a denial in the kernel log (dmesg, audit) and allow io_uring there".into(),
        ),
        (libc::ENOSYS, _) => (
            format!("kernel {} has no io_uring, or a sandbox hides it", at.kernel),
            "use Linux 6.1 or later with CONFIG_IO_URING; gVisor and some seccomp profiles answer \
             ENOSYS: allow io_uring there"
                .into(),
        ),
        (libc::ENOMEM, _) => explain_memory(at),
        (libc::EINVAL, _) => (
            format!("kernel {} takes none of the set-up flags", at.kernel),
            "use Linux 6.1 or later (5.19 is the oldest that may do)".into(),
        ),
        (other, _) => explain_descriptors(other).unwrap_or_else(|| {
            let text = io::Error::from_raw_os_error(other).to_string();
            let fix = "see io_uring_setup(2); `cargo xtask doctor` prints what this machine offers";
            (text, fix.into())
        }),
    }
}

fn explain_descriptors(errno: i32) -> Option<(String, String)> {
    let (cause, fix) = match errno {
        libc::EMFILE => (
            "this process has no descriptor left (RLIMIT_NOFILE)",
            "raise it: ulimit -n 65536, or LimitNOFILE= in the unit",
        ),
        libc::ENFILE => {
            ("the machine has no open file left (fs.file-max)", "as root: sysctl -w fs.file-max=…")
        }
        _ => return None,
    };
    Some((cause.into(), fix.into()))
}

fn explain_memory(at: &Circumstances) -> (String, String) {
    let limit = match at.memlock {
        Some(bytes) => format!("RLIMIT_MEMLOCK is {} KiB", bytes / 1024),
        None => "RLIMIT_MEMLOCK is unlimited, so the machine or its cgroup is out of memory".into(),
    };
    (
        format!("no memory for the ring may be locked: {limit}"),
        "raise it (ulimit -l 65536, LimitMEMLOCK= in the unit, --ulimit memlock=… for docker), \
         grant CAP_IPC_LOCK, or ask the builder for a smaller ring and fewer buffers"
            .into(),
    )
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused", self.what)?;
        if self.errno != 0 {
            write!(f, " ({})", io::Error::from_raw_os_error(self.errno))?;
        }
        write!(f, ": {}. To fix it: {}", self.cause, self.fix)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        let kind = match refused.errno {
            libc::EPERM | libc::EACCES => io::ErrorKind::PermissionDenied,
            libc::ENOMEM => io::ErrorKind::OutOfMemory,
            libc::ENOSYS | libc::EINVAL | 0 => io::ErrorKind::Unsupported,
            errno => io::Error::from_raw_os_error(errno).kind(),
        };
        io::Error::new(kind, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(disabled: u32, seccomp: bool) -> Circumstances {
        Circumstances {
            disabled: Some(disabled),
            seccomp,
            memlock: Some(64 << 10),
            kernel: "5.4.0".into(),
        }
    }

    #[test]
    fn each_refusal_names_its_cause() {
        for (errno, circumstances, cause, fix) in [
            (libc::EPERM, at(2, false), "io_uring_disabled = 2", "sysctl"),
            (libc::EPERM, at(1, true), "io_uring_disabled = 1", "io_uring_group"),
            (libc::EPERM, at(0, true), "seccomp", "profile"),
            (libc::EPERM, at(0, false), "security module", "audit"),
            (libc::ENOSYS, at(0, false), "5.4.0", "6.1"),
            (libc::ENOMEM, at(0, false), "64 KiB", "ulimit -l"),
            (libc::EMFILE, at(0, false), "RLIMIT_NOFILE", "ulimit -n"),
        ] {
            let (said_cause, said_fix) = explain_ring(errno, &circumstances);
            assert!(said_cause.contains(cause), "{errno}: {said_cause}");
            assert!(said_fix.contains(fix), "{errno}: {said_fix}");
        }
    }

    #[test]
    fn a_refusal_travels_inside_an_io_error() {
        let error = io::Error::from(Refused::old("DEFER_TASKRUN"));
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
        assert!(refused.expect("it is a Refused").cause.contains("DEFER_TASKRUN"));
    }
}
