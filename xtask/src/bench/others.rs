//! Models that are not ours: which of them take part.

use super::kinds::Model;
use crate::flags::BenchFlags;

/// Whose model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Python,
    /// Another runtime's, by `workload_peers`.
    Peer,
}

/// The models beside ours that take part unasked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Others {
    pub(super) python: bool,
    pub(super) peers: bool,
}

impl Others {
    /// Python takes part unless somebody is in a hurry, or says otherwise; other runtimes when they
    /// are asked for.
    pub(super) fn of(flags: &BenchFlags) -> Self {
        let python = flags.python || !(flags.quick || flags.no_python);
        Self { python, peers: flags.peers }
    }

    /// Whether `model` takes part; one that the filter names always does.
    pub(super) fn take(self, model: &Model, named: bool) -> bool {
        named
            || match model.whose {
                Whose::Ours => true,
                Whose::Python => self.python,
                Whose::Peer => self.peers,
            }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::plan::Plan;
    use super::*;
    use crate::flags::{Command, Flags};

    fn planned(words: &[&str]) -> Vec<&'static str> {
        let flags = Flags::try_parse_from(["xtask", "bench"].iter().chain(words));
        let Command::Bench(flags) = flags.expect("well formed").command else { panic!() };
        let plan = Plan::among(flags.filter.as_deref(), flags.quick, Others::of(&flags));
        let of_echo = plan.pairs.iter().filter(|pair| pair.workload.name == "echo");
        of_echo.map(|pair| pair.model.name).collect()
    }

    #[test]
    fn python_takes_part_where_there_is_time_and_where_it_is_asked_for() {
        let python = |words: &[&str]| planned(words).contains(&"python-asyncio");
        assert!(python(&[]) && python(&["echo"]));
        assert!(!python(&["--quick"]) && !python(&["--no-python"]));
        assert!(python(&["--quick", "--python"]));
        assert!(python(&["--quick", "asyncio"]) && python(&["--quick", "echo/python"]));
    }

    #[test]
    fn other_runtimes_take_part_where_they_are_asked_for() {
        let monoio = |words: &[&str]| planned(words).contains(&"monoio");
        assert!(!monoio(&[]) && !monoio(&["echo"]) && !monoio(&["--quick"]));
        assert!(monoio(&["--peers"]) && monoio(&["--peers", "--quick", "echo"]));
        assert_eq!(planned(&["echo/tokio"]), ["sequential", "tokio", "tokio-multi"]);
    }

    #[test]
    fn the_last_of_two_opposite_flags_holds() {
        assert!(planned(&["--no-python", "--python"]).contains(&"python-threads"));
        assert!(!planned(&["--python", "--no-python"]).contains(&"python-threads"));
    }

    #[test]
    fn a_model_that_is_named_stands_beside_the_baseline_alone() {
        assert_eq!(planned(&["--quick", "echo/gevent"]), ["sequential", "python-gevent"]);
    }
}
