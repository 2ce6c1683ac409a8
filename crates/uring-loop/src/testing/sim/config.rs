//! The sizes and habits of a simulated kernel.

use super::faults::Faults;

/// How a [`super::Sim`] is to be: its seed, its sizes and its faults.
///
/// # Examples
///
/// ```
/// use uring_loop::testing::SimConfig;
///
/// // A completion queue so small that it overflows.
/// let config = SimConfig { seed: 42, completions: 8, ..SimConfig::default() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Entries of the submission queue.
    pub submissions: usize,
    /// Entries of the completion queue.
    pub completions: usize,
    /// Items of completion work per pass (`IO_LOCAL_TW_DEFAULT_MAX`, 20 since Linux 6.13).
    pub work_per_pass: usize,
    /// Bytes that a stream takes before its receiver reads, and a pipe (at least 4096).
    pub send_buffer: usize,
    /// Connections that wait at a listener to be accepted.
    pub backlog: usize,
    /// Descriptors that may be open at once, beyond which EMFILE is answered.
    pub descriptors: usize,
    /// A file operation takes up to this many enters.
    pub file_turns: u32,
    /// A connect takes up to this many enters.
    pub connect_turns: u32,
    /// Zero-copy sends copy nothing, as over a network card. Otherwise they copy after all, and
    /// say so, as over the loopback.
    pub zero_copy: bool,
    /// Virtual time at the start, in nanoseconds.
    pub start: u64,
    /// What goes wrong by chance.
    pub faults: Faults,
    /// Refuse to be set up at all, with this errno.
    pub refuse: Option<i32>,
}

impl Default for SimConfig {
    fn default() -> Self {
        SimConfig {
            seed: 0,
            submissions: 256,
            completions: 1024,
            work_per_pass: 20,
            send_buffer: 64 << 10,
            backlog: 128,
            descriptors: 1 << 20,
            file_turns: 3,
            connect_turns: 1,
            zero_copy: false,
            start: 0,
            faults: Faults::none(),
            refuse: None,
        }
    }
}

impl SimConfig {
    /// A perfect kernel with this seed.
    pub fn seeded(seed: u64) -> Self {
        SimConfig { seed, ..SimConfig::default() }
    }

    /// A kernel with this seed where everything goes wrong now and then.
    pub fn chaos(seed: u64) -> Self {
        SimConfig { seed, faults: Faults::chaos(), ..SimConfig::default() }
    }
}
