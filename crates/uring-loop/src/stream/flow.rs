//! What everything that is written to without waiting has in common: water marks, and what is
//! written in vain.

/// Above this many bytes a writer should wait, unless it is said otherwise: 64 KiB, as in asyncio.
const HIGH: usize = 64 << 10;
/// From so many writes to a lost connection on, the log hears of it.
const PATIENT_WRITES: u32 = 5;

/// When whoever writes should wait: above the high mark, until it is down to the low one.
#[derive(Debug)]
pub(crate) struct WaterMarks {
    low: usize,
    high: usize,
    paused: bool,
}

impl Default for WaterMarks {
    fn default() -> Self {
        Self::new()
    }
}

impl WaterMarks {
    pub(crate) const fn new() -> Self {
        WaterMarks { low: HIGH / 4, high: HIGH, paused: false }
    }

    /// Low and high.
    pub(crate) fn get(&self) -> (usize, usize) {
        (self.low, self.high)
    }

    /// What is not said follows from the other as in asyncio's `Lib/asyncio/transports.py`.
    ///
    /// # Panics
    ///
    /// If the low one is above the high one.
    pub(crate) fn set(&mut self, low: Option<usize>, high: Option<usize>) {
        let high = high.unwrap_or_else(|| low.map_or(HIGH, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        assert!(low <= high, "the low water mark ({low}) is above the high one ({high})");
        (self.low, self.high) = (low, high);
    }

    /// Whether there is too much.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Looks at how much there is. `true`: [`is_paused`](Self::is_paused) has changed by that.
    pub(crate) fn look(&mut self, size: usize) -> bool {
        let mark = if self.paused { self.low } else { self.high };
        std::mem::replace(&mut self.paused, size > mark) != self.paused
    }
}

/// Counts what is written to something that is closed or lost.
#[derive(Debug, Default)]
pub(crate) struct Vain(u32);

impl Vain {
    /// One more write; one of many is told to the log.
    pub(crate) fn note(&mut self) {
        self.0 = self.0.saturating_add(1);
        if self.0 >= PATIENT_WRITES {
            tracing::warn!("a write to a connection that is closed or lost is dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_too_much_from_above_the_high_mark_down_to_the_low_one() {
        let mut marks = WaterMarks::new();
        marks.set(Some(2), Some(5));
        let paused: Vec<bool> = [5, 6, 3, 2, 5, 6, 0]
            .map(|size| {
                let before = marks.is_paused();
                let changed = marks.look(size);
                assert_eq!(changed, before != marks.is_paused());
                marks.is_paused()
            })
            .to_vec();
        assert_eq!(paused, [false, true, true, false, false, true, false]);
    }

    #[test]
    fn a_mark_that_is_not_said_follows_from_the_other() {
        let mut marks = WaterMarks::new();
        assert_eq!(marks.get(), (16 << 10, 64 << 10));
        marks.set(Some(100), None);
        assert_eq!(marks.get(), (100, 400));
        marks.set(None, Some(100));
        assert_eq!(marks.get(), (25, 100));
        marks.set(None, None);
        assert_eq!(marks.get(), (16 << 10, 64 << 10));
        marks.set(Some(usize::MAX), None);
        assert_eq!(marks.get(), (usize::MAX, usize::MAX));
    }
}
