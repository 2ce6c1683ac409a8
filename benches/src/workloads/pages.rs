//! Memory: what the processes of a model have for themselves, and what the kernel keeps for them.

use std::fmt;
use std::fs;

use anyhow::Context;

use super::meter;

/// What memory there is at a moment, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pages {
    /// Of this process and its descendants: their pages, those that several have shared out among
    /// them (the proportional set size of smaps_rollup).
    pub user: u64,
    /// The kernel's, of the whole machine (meminfo).
    pub kernel: Kernel,
}

/// What the kernel keeps, of the whole machine, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Of threads.
    pub stacks: u64,
    /// Of processes.
    pub tables: u64,
    /// Of everything that has a record: threads, sockets, timers.
    pub slab: u64,
}

impl Pages {
    /// Looks.
    ///
    /// # Errors
    ///
    /// When /proc doesn't say.
    pub fn now() -> anyhow::Result<Self> {
        let mut user = 0;
        for pid in meter::family(std::process::id()) {
            // One that has ended meanwhile is no error.
            if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
                // A process that is about to end has no memory any more.
                user += kilobytes(&text, "Pss:").unwrap_or(0);
            }
        }
        let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
        let field = |name| kilobytes(&text, name).with_context(|| format!("no {name} in meminfo"));
        let kernel = Kernel {
            stacks: field("KernelStack:")?,
            tables: field("PageTables:")?,
            slab: field("Slab:")?,
        };
        Ok(Self { user, kernel })
    }

    /// What was added since `before` for each of `units`.
    #[must_use]
    pub fn each(self, before: Self, units: usize) -> Self {
        let each = |after: u64, before: u64| after.saturating_sub(before) / units.max(1) as u64;
        Self {
            user: each(self.user, before.user),
            kernel: Kernel {
                stacks: each(self.kernel.stacks, before.kernel.stacks),
                tables: each(self.kernel.tables, before.kernel.tables),
                slab: each(self.kernel.slab, before.kernel.slab),
            },
        }
    }
}

impl Kernel {
    /// All of it.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.stacks + self.tables + self.slab
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stacks, tables, slab } = *self;
        write!(f, "{} stack, {} page tables, {} slab", Bytes(stacks), Bytes(tables), Bytes(slab))
    }
}

/// Bytes as one reads them.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |unit: u64| self.0 as f64 / unit as f64;
        match self.0 {
            bytes if bytes < 1 << 10 => write!(f, "{bytes} B"),
            bytes if bytes < 1 << 20 => write!(f, "{:.1} KiB", of(1 << 10)),
            bytes if bytes < 1 << 30 => write!(f, "{:.1} MiB", of(1 << 20)),
            _ => write!(f, "{:.1} GiB", of(1 << 30)),
        }
    }
}

/// The number of kB behind `name` at the begin of a line, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|count| count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_counted() {
        const SIZE: usize = 64 << 20;
        let before = Pages::now().unwrap();
        let memory = vec![1_u8; SIZE];
        let each = Pages::now().unwrap().each(before, 1);
        assert!(each.user >= SIZE as u64 / 2, "{each:?}");
        assert!(before.kernel.stacks > 0 && before.kernel.tables > 0 && before.kernel.slab > 0);
        drop(memory);
    }

    #[test]
    fn memory_that_shrank_is_no_cost() {
        let (less, more) =
            (Pages { user: 5, ..Pages::default() }, Pages { user: 9, ..Pages::default() });
        assert_eq!(less.each(more, 2).user, 0);
        assert_eq!(more.each(less, 2).user, 2);
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(Bytes(1023).to_string(), "1023 B");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(3 << 30).to_string(), "3.0 GiB");
    }
}
