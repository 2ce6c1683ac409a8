//! Where a figure was taken: kernel, processor, commit, compiler, load, command line.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use serde::Serialize;

/// The record that goes with every result.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Seconds since 1970.
    pub time: u64,
    /// The command line that took the figures.
    pub command: Vec<String>,
    /// `git describe` of the working tree, or "unknown".
    pub commit: String,
    /// `rustc --version` of the compiler found now, which is normally the one that built us.
    pub rustc: String,
    /// Whether the comparing program, and so its neighbours, was built without debug assertions.
    pub optimised: bool,
    /// Kernel release and version.
    pub kernel: String,
    /// Processor model.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Frequency governor of core 0, or "none".
    pub governor: String,
    /// TCP congestion control, which loopback obeys too.
    pub congestion_control: String,
    /// One, five and fifteen minute load averages before the first round.
    pub load: String,
    /// Limit of locked memory, which bounds rings on older kernels.
    pub locked_memory_limit: String,
}

/// Looks around now.
#[must_use]
pub fn record() -> Environment {
    Environment {
        time: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
        command: std::env::args().collect(),
        commit: output("git", &["describe", "--always", "--dirty", "--tags"]),
        rustc: output("rustc", &["--version"]),
        optimised: !cfg!(debug_assertions),
        kernel: format!(
            "{} {}",
            read("/proc/sys/kernel/osrelease"),
            read("/proc/sys/kernel/version")
        ),
        processor: line_after("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
        load: load_average(),
        locked_memory_limit: line_after("/proc/self/limits", "Max locked memory"),
    }
}

/// The three load averages, as text.
#[must_use]
pub fn load_average() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "none".to_owned(), |text| text.trim().to_owned())
}

fn line_after(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
    line.trim_matches([':', ' ', '\t']).to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    if text.trim().is_empty() { "unknown".to_owned() } else { text.trim().to_owned() }
}
