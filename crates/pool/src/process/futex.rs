//! Sleeping on a word, and waking who sleeps there: futex(2).
//!
//! The words lie in memory that processes share, or in that of this one alone; both are slept on in
//! the same way here, so nobody has to say which it is.

#[cfg(loom)]
use loom::sync::atomic::AtomicU32;
use std::io;
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::sys;

/// The most words [`wait_any`] takes: `FUTEX_WAITV_MAX` of linux/futex.h.
pub(super) const MOST: usize = 128;
/// `FUTEX2_SIZE_U32` of linux/futex.h.
const SIZE_U32: u32 = 2;

/// `struct futex_waitv` of linux/futex.h.
#[repr(C)]
struct Wait {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// `struct __kernel_timespec` of linux/time_types.h, which is the same on 32 bits.
#[repr(C)]
struct Moment {
    seconds: i64,
    nanoseconds: i64,
}

/// Sleeps while the word is `value`: `FUTEX_WAIT`. May return for nothing.
pub(super) fn wait(word: &AtomicU32, value: u32) {
    let forever = ptr::null::<libc::timespec>();
    let word = ptr::from_ref(word);
    // SAFETY: the word is alive during the call, four bytes and aligned, and only read; a null
    // timeout means none.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, forever) };
}

/// Wakes one who sleeps on the word: `FUTEX_WAKE`.
pub(super) fn wake(word: &AtomicU32) {
    let word = ptr::from_ref(word);
    // SAFETY: the kernel takes the word's address for a name, and does not read it.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) };
}

/// Sleeps while each word is the value beside it, or until the deadline: futex_waitv(2), Linux
/// 5.16. May return for nothing.
///
/// # Errors
///
/// If the kernel has no such call, or refuses it (a sandbox).
///
/// # Panics
///
/// With more words than [`MOST`].
pub(super) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Option<Instant>) -> io::Result<()> {
    assert!(words.len() <= MOST, "the kernel takes {MOST} words at a time");
    let waits: Vec<Wait> = words
        .iter()
        .map(|(word, value)| Wait {
            value: u64::from(*value),
            address: ptr::from_ref(*word) as u64,
            flags: SIZE_U32,
            reserved: 0,
        })
        .collect();
    let until = deadline.map(monotonic_at);
    let until = until.as_ref().map_or(ptr::null(), ptr::from_ref);
    let (count, no_flags) = (waits.len() as libc::c_uint, 0 as libc::c_uint);
    // SAFETY: `waits` has so many entries of the kernel's layout, and each word is alive during the
    // call, aligned and only read; so is the moment, unless it is null, which means no end.
    let woken = unsafe {
        let clock = libc::CLOCK_MONOTONIC;
        libc::syscall(libc::SYS_futex_waitv, waits.as_ptr(), count, no_flags, until, clock)
    };
    if woken >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // A word has changed; a signal; the deadline.
        error
            if matches!(
                error.raw_os_error(),
                Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT)
            ) =>
        {
            Ok(())
        }
        error => Err(error),
    }
}

/// The moment on the clock that the kernel goes by.
fn monotonic_at(deadline: Instant) -> Moment {
    let left = deadline.saturating_duration_since(Instant::now());
    let at = Duration::from_nanos(sys::monotonic()).saturating_add(left);
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    Moment { seconds, nanoseconds: i64::from(at.subsec_nanos()) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;
    use std::thread;

    #[test]
    fn who_sleeps_on_two_words_is_woken_by_either() {
        for which in 0..2 {
            let words = [AtomicU32::new(7), AtomicU32::new(8)];
            thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    while words[which].load(Ordering::Acquire) != 0 {
                        wait_any(&[(&words[0], 7), (&words[1], 8)], None).unwrap();
                    }
                });
                words[which].store(0, Ordering::Release);
                wake(&words[which]);
                sleeper.join().unwrap();
            });
        }
    }

    #[test]
    fn a_sleep_has_a_deadline_even_a_past_one() {
        let word = AtomicU32::new(1);
        wait_any(&[(&word, 1)], Some(Instant::now())).unwrap();
        wait_any(&[(&word, 1)], Some(Instant::now() + Duration::from_millis(2))).unwrap();
    }

    #[test]
    fn nobody_sleeps_on_a_word_that_has_changed() {
        let word = AtomicU32::new(1);
        wait(&word, 2);
        wait_any(&[(&word, 2)], None).unwrap();
    }
}
