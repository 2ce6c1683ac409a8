//! The flags of every command, declared once.
//!
//! Misuse is refused here, by clap, with exit code 2; what a command does is in its own module.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::ci;

/// The project's own commands.
#[derive(Parser, Debug)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        cargo xtask ci                  everything a change must pass\n  \
        cargo xtask ci fmt clippy tidy  only these sections\n  \
        cargo xtask tidy                the house rules alone: a second\n  \
        cargo xtask doctor              will an event loop run well on this machine?\n  \
        cargo xtask sim --seeds 500     programs on kernels where everything goes wrong\n  \
        cargo xtask fuzz                bytes of all sorts for whatever takes some\n  \
        cargo xtask bench --quick       threads, coroutines, processes: a minute of figures"
)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the checks a change must pass, in named and timed sections
    Ci(CiFlags),
    /// Check the house rules: file and function length, where unsafe may be, docs
    #[command(after_help = "Examples:\n  \
        cargo xtask tidy\n  \
        cargo xtask tidy 2>/dev/null | cut -d: -f1 | sort | uniq -c   breaches per file")]
    Tidy,
    /// Say what this machine offers an event loop, what is missing, and how to fix it
    Doctor(DoctorFlags),
    /// Measure pieces of work under models of concurrency, and say which won and why
    Bench(BenchFlags),
    /// Run scenarios on simulated kernels where everything goes wrong, seed after seed
    Sim(SimFlags),
    /// Feed what takes bytes from outside, and programs of operations, under libFuzzer
    Fuzz(FuzzFlags),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask ci\n  \
    cargo xtask ci test doctest       only these two\n  \
    cargo xtask ci --list             what there is\n  \
    cargo xtask ci --keep-going       do not stop at the first failure\n  \
    cargo xtask ci --with-benches     also the peers' package (slow to build)\n  \
    sudo cargo xtask ci --sysctl      the io_uring_disabled tests, alone on the machine\n  \
    sudo cargo xtask ci --sysctl -- ./target/debug/examples/1_hello")]
pub(crate) struct CiFlags {
    /// Run only these sections, in the usual order
    #[arg(value_name = "SECTION", hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(ci::names()))]
    pub(crate) sections: Vec<String>,
    /// List the sections and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Run every section even after one failed
    #[arg(long, short)]
    pub(crate) keep_going: bool,
    /// Also check `benches`, which builds the runtimes it compares with
    #[arg(long)]
    pub(crate) with_benches: bool,
    /// Remove what a section alone has built once it is over: the whole run needs half the disk
    #[arg(long)]
    pub(crate) sweep: bool,
    /// Set kernel.io_uring_disabled to 2, run the tests meant for that (or COMMAND), set it back.
    /// Root only; every other program on the machine is refused new rings meanwhile
    #[arg(long, conflicts_with_all = ["sections", "list", "keep_going", "with_benches", "sweep"])]
    pub(crate) sysctl: bool,
    /// The command that --sysctl runs in place of the tests
    #[arg(last = true, value_name = "COMMAND", requires = "sysctl")]
    pub(crate) command: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask doctor\n  \
    cargo xtask doctor --json | jq '.groups[].rows[] | select(.finding)'\n\n\
    Exit code 1 means that an event loop cannot run here as things stand; what merely costs speed\n\
    is printed and leaves the exit code at 0.")]
pub(crate) struct DoctorFlags {
    /// Print one JSON object (it names its format version) in place of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench --quick              all of it, within a minute after building\n  \
    cargo xtask bench echo                 one workload (nine rounds)\n  \
    cargo xtask bench coroutines           one model, beside one thread in sequence\n  \
    cargo xtask bench mixed/loop-per-core  one pair\n  \
    cargo xtask bench --quick asyncio      a model by its name, Python's too\n  \
    cargo xtask bench echo --peers         beside tokio, monoio, glommio and compio\n  \
    cargo xtask bench --list               what there is\n  \
    cargo xtask bench --html target/bench/DATE.json   the report of a record anew\n  \
    cargo xtask bench --compare before.json after.json   what changed beyond noise\n\n\
    Builds in release first. Every figure is a median over interleaved rounds. Beside the record,\n\
    which goes to target/bench, a report is written as a page for a browser. Exit code 1 means\n\
    that a run failed or gave a wrong result.")]
pub(crate) struct BenchFlags {
    /// Only workloads and models whose name contains this, or WORKLOAD/MODEL; several by commas
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Less of everything, and no Python unless asked for: ends within 60 s, building excluded
    #[arg(long)]
    pub(crate) quick: bool,
    /// Python's threads, processes, asyncio and gevent too [default: yes, but not with --quick].
    /// The interpreter is $PYTHON, or else python3
    #[arg(long, overrides_with = "no_python")]
    pub(crate) python: bool,
    /// tokio, monoio, glommio, compio and rayon too, on the same work in the same rounds
    #[arg(long)]
    pub(crate) peers: bool,
    /// No Python
    #[arg(long, overrides_with = "python")]
    pub(crate) no_python: bool,
    /// Where the record goes [default: target/bench/DATE.json]; with --compare, the comparison as
    /// JSON, to stdout unless a file is named
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub(crate) json: Option<Option<PathBuf>>,
    /// Say what changed from one record to another beyond noise, and end: nothing is measured
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    #[arg(conflicts_with_all = ["filter", "quick", "list", "html"])]
    pub(crate) compare: Vec<PathBuf>,
    /// Make the report of a record anew, beside it, and end: nothing is measured
    #[arg(long, value_name = "RECORD", conflicts_with_all = ["filter", "quick", "json", "list"])]
    pub(crate) html: Option<PathBuf>,
    /// With --html: also draw the curves of three workloads, as SVG, for where no page can be
    #[arg(long, value_name = "FILE", requires = "html")]
    pub(crate) picture: Option<PathBuf>,
    /// List what would be run and end
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask sim                                    a hundred seeds\n  \
    cargo xtask sim --seeds 5000 --start 1000          for a night\n  \
    cargo xtask sim --seeds 1 --start 17 --scenario files   one run again\n  \
    cargo xtask sim --kernel --seeds 5                 on this machine's kernel\n\n\
    A failure says what failed and how to run it again. Exit code 1 means that there was one.")]
pub(crate) struct SimFlags {
    /// So many seeds
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) start: u64,
    /// Only this scenario
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Start no further seed after so many seconds
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// On the machine's kernel, with what the scenarios do to themselves
    #[arg(long)]
    pub(crate) kernel: bool,
    /// Go on after a failure
    #[arg(long, short)]
    pub(crate) keep_going: bool,
    /// List the scenarios and end
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cargo xtask fuzz                                   a minute of each target\n  \
    cargo xtask fuzz operations --seconds 3600         one, for an hour\n  \
    cargo xtask fuzz operations --replay FILE          an input again\n  \
    cargo xtask fuzz operations --merge                keep what was found as seeds\n\n\
    What is found beside the seeds stays in target/fuzz/found, what fails in\n\
    target/fuzz/failures. Exit code 1 means that something failed.")]
pub(crate) struct FuzzFlags {
    /// Only these targets
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// So many seconds each
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Run these inputs once, and nothing else
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "targets")]
    pub(crate) replay: Vec<PathBuf>,
    /// Add to the seeds what was found and reaches more of the code
    #[arg(long, conflicts_with = "replay")]
    pub(crate) merge: bool,
    /// List the targets and end
    #[arg(long)]
    pub(crate) list: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declarations_hold_together() {
        Flags::command().debug_assert();
    }

    #[test]
    fn an_unknown_section_is_misuse() {
        let error = Flags::try_parse_from(["xtask", "ci", "nonsense"]).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn bench_takes_a_filter_and_a_file() {
        let flags = Flags::try_parse_from(["xtask", "bench", "echo", "--quick", "--json", "x"]);
        let Command::Bench(bench) = flags.expect("well formed").command else { panic!() };
        assert_eq!(bench.filter.as_deref(), Some("echo"));
        assert!(bench.quick && !bench.list && bench.json.is_some());
        assert!(Flags::try_parse_from(["xtask", "bench", "echo", "copy"]).is_err());
    }

    #[test]
    fn two_records_are_compared_and_nothing_is_measured_then() {
        let parse = |words: &[&str]| {
            let flags = Flags::try_parse_from([&["xtask", "bench"], words].concat());
            flags.map(|flags| match flags.command {
                Command::Bench(bench) => bench,
                _ => panic!("not bench"),
            })
        };
        let bench = parse(&["--compare", "a", "b", "--json"]).expect("well formed");
        assert!(bench.compare.len() == 2 && bench.json == Some(None));
        assert!(parse(&["--compare", "a"]).is_err());
        assert!(parse(&["--compare", "a", "b", "--quick"]).is_err());
        assert!(parse(&["--html", "a", "--quick"]).is_err());
    }

    #[test]
    fn sysctl_runs_alone_and_takes_a_command() {
        assert!(Flags::try_parse_from(["xtask", "ci", "--sysctl", "fmt"]).is_err());
        assert!(Flags::try_parse_from(["xtask", "ci", "--", "true"]).is_err());
        let flags = Flags::try_parse_from(["xtask", "ci", "--sysctl", "--", "echo", "-n"]);
        let Command::Ci(ci) = flags.expect("well formed").command else { panic!("not ci") };
        assert_eq!(ci.command, ["echo", "-n"]);
    }
}
