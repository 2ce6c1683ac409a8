//! Sleeping on a word of shared memory, and waking who sleeps there (futex(2)).

use std::io;
use std::rc::Rc;

use nix::errno::Errno;
use uring_loop::op::{Cqe, Driver, Op, Sqe};

use super::memory::Memory;
use crate::wire::BY_FUTEX;

/// `IORING_OP_FUTEX_WAIT`, 6.7.
const FUTEX_WAIT: u8 = 51;
/// `FUTEX2_SIZE_U32`; without `FUTEX2_PRIVATE`, the word is found by the memory behind it.
const SIZE_U32: i32 = 2;
/// `FUTEX_BITSET_MATCH_ANY`.
const ANY: u64 = 0xffff_ffff;

/// Waits for as long as a word says [`BY_FUTEX`], or until it is woken.
struct Wait {
    memory: Rc<Memory>,
    word: usize,
}

// SAFETY: the entry points to a word of `memory`, which stays mapped for as long as the operation
// has its `Rc`. The kernel only reads the word, which is an atomic.
unsafe impl Op for Wait {
    type Output = io::Result<()>;
    /// Nobody may ever come.
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = FUTEX_WAIT;
        sqe.fd = SIZE_U32;
        sqe.addr = self.memory.futex(self.word);
        sqe.off = BY_FUTEX;
        sqe.addr3 = ANY;
    }

    fn complete(self, cqe: Cqe) -> io::Result<()> {
        match cqe.into_result() {
            // The word says something else already.
            Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Sleeps until woken, or not at all if the word does not say [`BY_FUTEX`].
pub(crate) async fn wait(memory: Rc<Memory>, word: usize) -> io::Result<()> {
    Driver::current().submit(Wait { memory, word }).await
}

/// Whether the kernel has the operation: it is tried, on a word that says nothing.
pub(crate) async fn is_there(memory: Rc<Memory>, word: usize) -> bool {
    wait(memory, word).await.is_ok()
}

/// Wakes who sleeps on a word.
pub(crate) fn wake(memory: &Memory, word: usize) {
    // SAFETY: FUTEX_WAKE (without FUTEX_PRIVATE_FLAG) takes an address, which is that of a mapped
    // word, and a count; the rest is ignored. It writes nothing.
    let woken = unsafe {
        libc::syscall(libc::SYS_futex, memory.futex(word), libc::FUTEX_WAKE, 1, 0_usize, 0_usize, 0)
    };
    debug_assert!(woken >= 0, "waking {word} of {memory:?}: {}", Errno::last());
}

#[cfg(test)]
mod tests {
    use super::super::memory::sealed;
    use super::*;
    use crate::wire::{self, Words};

    #[test]
    fn one_who_sleeps_is_woken_by_another_mapping_and_one_who_need_not_does_not_sleep() {
        let file = sealed(wire::size(8)).expect("made");
        let one = Memory::map(&file).expect("mapped");
        wire::prepare(one.words(), 8);
        let bell = wire::ends(&one, 0).expect("ours").bell;
        uring_loop::run(async move {
            let place = bell.place(true);
            if !is_there(one.clone(), place).await {
                println!("skipped: this kernel has no IORING_OP_FUTEX_WAIT (6.7)");
                return;
            }
            assert!(bell.arm_unless(BY_FUTEX, || Ok(false)).expect("no lie"));
            let waker = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let other = Memory::map(&file).expect("mapped");
                let bell = wire::ends(&other, 1).expect("ours").bell;
                assert_eq!(bell.ring(), BY_FUTEX);
                wake(&other, bell.place(false));
            });
            wait(one.clone(), place).await.expect("woken");
            waker.join().expect("no panic");
            // Awake now: it returns at once.
            wait(one, place).await.expect("nothing to wait for");
        })
        .expect("it runs");
    }
}
