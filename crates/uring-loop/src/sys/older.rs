//! This kernel taken for an older one, so that tests meet what that one lacks: flags of set-up,
//! opcodes, and (in `driver/ring/older.rs`) flags of entries. `URING_LOOP_KERNEL=6.0` asks for it.
//!
//! What the older one does differently, or has wrong, is not played: for that it has to be booted
//! (`.ci/old-kernel`).

use std::env;
use std::io;

use super::opcode;
use super::uring::Rung;

/// The version that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Older(pub(crate) u32, pub(crate) u32);

impl Older {
    /// What the environment asks for, if this is a program under test.
    pub(super) fn wanted() -> io::Result<Option<Self>> {
        if !cfg!(any(test, feature = "testing")) {
            return Ok(None);
        }
        let Ok(text) = env::var("URING_LOOP_KERNEL") else { return Ok(None) };
        let refused = || {
            let text = format!("URING_LOOP_KERNEL={text}: it can be a version, such as `6.1`");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        Self::parse(&text).map(Some).ok_or_else(refused)
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Older(major.parse().ok()?, minor.parse().ok()?))
    }

    /// Whether it would take the flags of a rung.
    pub(super) fn takes(self, rung: Rung) -> bool {
        self >= match rung {
            Rung::NoSqarray => Older(6, 6),
            Rung::DeferTaskrun => Older(6, 1),
            Rung::CoopTaskrun => Older(5, 19),
        }
    }

    /// Whether a wait would take an absolute deadline.
    pub(super) fn has_absolute_deadlines(self) -> bool {
        self >= Older(6, 12)
    }

    /// Whether it has an opcode. What is older than the oldest ring is not told apart.
    pub(crate) fn knows(self, opcode: u8) -> bool {
        self >= match opcode {
            opcode::SEND_ZC => Older(6, 0),
            opcode::READ_MULTISHOT | opcode::WAITID => Older(6, 7),
            opcode::FTRUNCATE => Older(6, 9),
            _ => OLDEST,
        }
    }
}

/// The oldest that gives a ring.
const OLDEST: Older = Older(5, 19);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        assert_eq!(Older::parse("6.10"), Some(Older(6, 10)));
        assert!(Older(6, 10) > Older(6, 9) && Older(6, 0) > Older(5, 19));
        for text in ["", "6", "6.", "six.one", "6.1.2", "-6.1"] {
            assert_eq!(Older::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_opcode_that_is_younger_than_the_oldest_ring_has_its_version() {
        // `IORING_OP_URING_CMD` (46) was the last of 5.19.
        let young = (47..=u8::MAX).filter(|opcode| opcode::name(*opcode) != opcode::UNKNOWN);
        for opcode in young {
            assert!(!OLDEST.knows(opcode), "{}", opcode::name(opcode));
        }
        assert!(opcode::USED.iter().all(|opcode| OLDEST.knows(*opcode)));
    }

    #[test]
    fn each_version_has_its_rung() {
        let versions = [(5, 15), (5, 19), (6, 0), (6, 1), (6, 5), (6, 6), (6, 18)];
        let tops = versions.map(|(major, minor)| {
            let takes = |rung: &Rung| Older(major, minor).takes(*rung);
            Rung::LADDER.into_iter().find(takes)
        });
        let [coop, defer, best] =
            [Rung::CoopTaskrun, Rung::DeferTaskrun, Rung::NoSqarray].map(Some);
        assert_eq!(tops, [None, coop, coop, defer, defer, best, best]);
    }
}
